"""Evaluation through the real server: figures, files, going on after an interruption, refusals."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import evaluation
import pytest
from labelled_images import write_yolo
from local_triton import LocalServer
from programs import run_program
from self_contained import check_self_contained
from tridet import Detections, Detector
from tridet_build.datasets.read import read_dataset
from tridet_build.manifest.manifest import load_manifest
from tridet_build.repository.render import write

pytestmark = pytest.mark.server
PCB = Path(__file__).parents[2] / "models" / "pcb"
SAMPLES = PCB / "samples"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    repository = tmp_path_factory.mktemp("pcb")
    write([load_manifest(PCB)], repository)
    with LocalServer(repository) as started:
        yield started


class CountingDetector(Detector):
    """Remembers the images that it was given."""

    def imap(self, images: Iterable[Any], **options: Any) -> Iterator[Detections]:
        paths = list(images)
        self.asked = [Path(path).name for path in paths]
        return super().imap(paths, **options)


def run(arguments: list[str]) -> Any:
    return run_program("evaluate.py", *arguments)


def evaluated(detector: Detector, folder: Path, stop_after: int | None = None) -> Any:
    def progress(done: int, _total: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    return evaluation.evaluate(
        detector,
        read_dataset(SAMPLES),
        None,
        folder,
        evaluation.Request(),
        name="pcb",
        in_flight=2,
        progress=progress,
    )


def test_the_default_detector_on_its_samples(server: LocalServer, tmp_path: Path) -> None:
    done = run([str(SAMPLES), "--url", server.grpc_url, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "mAP50-95" in done.output
    results = evaluation.read_results(tmp_path / "pcb")
    assert (results.images, results.empty_images) == (6, 1)
    labels = json.loads((SAMPLES / "annotations.json").read_text())
    assert results.objects == len(labels["annotations"])
    assert results.map50 is not None
    assert results.map50 > 0.9
    assert results.served.conf == 0.25
    assert results.served.recall > 0.9
    assert results.thresholds == {"conf": 0.001, "iou": 0.7, "max_det": 300}
    assert len((tmp_path / "pcb" / "predictions.jsonl").read_text().splitlines()) == 6
    check_self_contained(tmp_path / "pcb" / "report.html")


def test_it_goes_on_where_it_was(server: LocalServer, tmp_path: Path) -> None:
    with CountingDetector(server.grpc_url, "pcb") as detector:
        with pytest.raises(KeyboardInterrupt):
            evaluated(detector, tmp_path, stop_after=4)
        assert len(detector.asked) == 6
        assert not (tmp_path / "results.json").exists()
        whole = evaluated(detector, tmp_path)
        assert len(detector.asked) == 2
        again = evaluated(detector, tmp_path)
        assert detector.asked == []
    assert again == whole


def test_two_runs_side_by_side(server: LocalServer, tmp_path: Path) -> None:
    for name, conf in (("one", "0.001"), ("two", "0.5")):
        arguments = ["--url", server.grpc_url, "--out", str(tmp_path), "--name", name]
        assert run([str(SAMPLES), *arguments, "--conf", conf]).exit_code == 0
    done = run(["--compare", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    check_self_contained(tmp_path / "report.html")
    assert all(name in (tmp_path / "report.html").read_text() for name in ("one", "two"))


def test_misses_and_false_boxes_are_drawn(stub_server: LocalServer, tmp_path: Path) -> None:
    """The stub's boxes hit nothing that was labelled."""
    data = write_yolo(tmp_path / "data", {"test": ["0 0.1 0.1 0.05 0.05\n", ""]})
    options = ["--url", stub_server.grpc_url, "--model", "small", "--out", str(tmp_path)]
    done = run([str(data), *options])
    assert done.exit_code == 0, done.output
    results = evaluation.read_results(tmp_path / "small")
    assert results.served.missed + results.served.hits == 1
    assert results.served.false > 0
    assert results.served.empty_with_false <= 1
    assert check_self_contained(tmp_path / "small" / "report.html") >= 2


def test_only_the_classes_of_the_data_are_asked_for(
    stub_server: LocalServer, tmp_path: Path
) -> None:
    data = write_yolo(tmp_path / "data", {"val": ["0 0.5 0.5 0.5 0.5\n"]}, names=["c2"])
    options = ["--url", stub_server.grpc_url, "--model", "small", "--out", str(tmp_path)]
    done = run([str(data), *options])
    assert done.exit_code == 0, done.output
    results = evaluation.read_results(tmp_path / "small")
    assert results.thresholds["classes"] == [2]
    assert [each.objects for each in results.classes] == [0, 0, 1]


@pytest.mark.parametrize(
    ("label", "names", "message"),
    [
        ("0 0.5 0.5 0.5 0.5\n", ["cat"], "expected the model's classes (c0, c1, c2), got cat"),
        ("0 0.5 0.5 0.5\n", ["c0"], "malformed line: line 1"),
        ("", ["c0"], "expected objects, found none"),
    ],
)
def test_labels_that_cannot_be_used(
    stub_server: LocalServer, tmp_path: Path, label: str, names: list[str], message: str
) -> None:
    data = write_yolo(tmp_path / "data", {"test": [label]}, names)
    options = ["--url", stub_server.grpc_url, "--model", "small", "--out", str(tmp_path / "out")]
    done = run([str(data), *options])
    assert done.exit_code == 1
    assert message in done.stderr
    assert re.fullmatch(r"evaluate.py: error: [^\n]+\n", done.stderr)
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read(stub_server: LocalServer, tmp_path: Path) -> None:
    data = write_yolo(tmp_path / "data", {"test": ["0 0.5 0.5 0.5 0.5\n"] * 2})
    (tmp_path / "data" / "images" / "test" / "test1.png").write_bytes(b"no picture")
    done = run(
        [str(data), "--url", stub_server.grpc_url, "--model", "small", "--out", str(tmp_path)]
    )
    assert done.exit_code == 1
    assert "test1.png: " in done.stderr
    assert not (tmp_path / "small" / "report.html").exists()


def test_the_scheme_of_the_address_is_that_of_the_command_line(
    stub_server: LocalServer, tmp_path: Path
) -> None:
    data = write_yolo(tmp_path / "data", {"val": ["0 0.5 0.5 0.5 0.5\n"]})
    options = ["--url", f"grpc://{stub_server.grpc_url}", "--model", "small"]
    done = run([str(data), *options, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output


def test_no_server_and_no_model(stub_server: LocalServer, tmp_path: Path) -> None:
    data = write_yolo(tmp_path / "data", {"test": ["0 0.5 0.5 0.5 0.5\n"]})
    done = run([str(data), "--url", stub_server.grpc_url, "--model", "gone"])
    assert done.exit_code == 1
    assert "has no model 'gone'" in done.stderr
    done = run([str(data), "--url", "127.0.0.1:1", "--model", "small"])
    assert done.exit_code == 1
    assert done.stderr.startswith("evaluate.py: error: ")


def test_runs_on_other_images_are_not_compared(server: LocalServer, tmp_path: Path) -> None:
    assert run([str(SAMPLES), "--url", server.grpc_url, "--out", str(tmp_path)]).exit_code == 0
    shutil.copytree(tmp_path / "pcb", tmp_path / "other")
    file = tmp_path / "other" / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "images": 5}))
    done = run(["--compare", str(tmp_path / "pcb"), str(tmp_path / "other")])
    assert done.exit_code == 1
    assert "expected runs on the same images" in done.stderr
    file.write_text("{}")
    done = run(["--compare", str(tmp_path / "pcb"), str(tmp_path / "other")])
    assert "expected results of tools/evaluate.py" in done.stderr
    assert run(["--compare", str(tmp_path / "gone")]).exit_code == 1
