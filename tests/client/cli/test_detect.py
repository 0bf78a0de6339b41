"""``tridet detect``: what it reads, prints and leaves behind, and how it ends."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from fake_triton import FakeTriton, detect, detector_config, picture, reject, run_cli
from PIL import Image
from tridet import drawing

MAIN = [sys.executable, "-m", "tridet"]


@pytest.fixture
def boards(tmp_path):
    folder = tmp_path / "boards"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"b{index}.png"), picture(100 + index, 80))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("not an image")
    return folder


def error_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("tridet: error:")]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder(fake, boards):
    code, out, err = run_cli("detect", boards, "--url", fake.url, "--json", "-")
    assert code == 0
    results = json.loads(out)
    assert [Path(result["source"]).name for result in results] == [f"b{i}.png" for i in range(6)]
    for index, result in enumerate(results):
        assert (result["width"], result["height"]) == (100 + index, 80)
        boxes = [found["box"] for found in result["detections"]]
        np.testing.assert_allclose(boxes, detect(picture(100 + index, 80))[0], atol=0.01)
        assert [found["name"] for found in result["detections"]] == ["blue", "red"]
    summary = dict(line.rsplit(maxsplit=1) for line in err.splitlines())
    assert summary["images"] == "6"
    assert summary["detections"] == "12"
    assert summary["  blue"] == summary["  red"] == "6"


@pytest.mark.parametrize("option", ["--output", "--json"])
def test_both_names_of_the_option_for_the_results(fake, boards, tmp_path, option):
    results = tmp_path / "results.csv"
    assert run_cli("detect", boards, option, results, "-q", "--url", fake.url)[0] == 0
    assert len(results.read_text().splitlines()) == 1 + 12
    assert "--output, --json FILE|-" in run_cli("detect", "--help")[1]


def test_quiet_prints_nothing_but_results(fake, boards):
    code, out, err = run_cli("detect", boards / "b0.png", "-q", "--url", fake.url)
    assert (code, out, err) == (0, "", "")


def test_options_become_request_parameters(fake, boards):
    options = ["--conf", "0.4", "--iou", "0.6", "--classes", "red, 0", "--max-det", "7"]
    run_cli("detect", boards / "b0.png", "--agnostic", *options, "--url", fake.url)
    parameters = fake.requests[0].parameters
    assert parameters["conf"].double_param == 0.4
    assert parameters["iou"].double_param == 0.6
    assert parameters["classes"].string_param == "2,0"
    assert parameters["max_det"].int64_param == 7
    assert parameters["agnostic"].bool_param is True


def test_without_options_the_models_defaults_apply(fake, boards):
    run_cli("detect", boards / "b0.png", "--url", fake.url)
    parameters = fake.requests[0].parameters
    assert set(parameters) == {"timeout", "conf", "iou"}
    assert parameters["conf"].double_param == 0.25


def test_url_and_model_come_from_the_environment(fake, boards, monkeypatch):
    fake.models["boards"] = fake.models["pcb"]
    monkeypatch.setenv("TRIDET_URL", fake.url)
    monkeypatch.setenv("TRIDET_MODEL", "boards")
    assert run_cli("detect", boards / "b0.png")[0] == 0


@pytest.mark.parametrize("transport", ["auto", "raw", "encoded", "shm"])
def test_saved_pictures(fake, boards, tmp_path, transport):
    out = tmp_path / "new" / "out"
    code, _, _ = run_cli(
        "detect", boards, "--save", out, "--transport", transport, "--url", fake.url
    )
    assert code == 0
    assert names_in(out) == [f"b{i}.png" for i in range(6)]
    drawn = cv2.imread(str(out / "b3.png"))
    assert drawn.shape == (80, 103, 3)
    assert (drawn != picture(103, 80)).any()
    if transport == "encoded":
        sent = {request.raw_input_contents[0] for request in fake.requests}
        assert sent == {path.read_bytes() for path in boards.glob("b*.png")}


def test_equal_names_from_two_folders_stay_apart(fake, boards, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("b0.png", "b0.jpg", "B0.bmp"):
        cv2.imwrite(str(other / name), picture(200, 80))
    out, labels = tmp_path / "out", tmp_path / "labels"
    options = ["--save", out, "--json", labels, "--format", "yolo", "--url", fake.url]
    assert run_cli("detect", boards / "b0.png", other, *options)[0] == 0
    assert names_in(out) == ["B0-2.bmp", "b0-3.jpg", "b0-4.png", "b0.png"]
    assert names_in(labels) == ["B0-2.txt", "b0-3.txt", "b0-4.txt", "b0.txt"]


def test_save_never_overwrites_a_source(fake, boards):
    before = (boards / "b0.png").read_bytes()
    code, _, err = run_cli("detect", boards, "--save", boards, "--url", fake.url)
    assert code == 1
    assert "is a source itself" in err
    assert (boards / "b0.png").read_bytes() == before


def test_globs(fake, boards):
    (boards / "deep" / "er").mkdir(parents=True)
    cv2.imwrite(str(boards / "deep" / "er" / "b9.png"), picture(64, 64))
    code, out, _ = run_cli("detect", f"{boards}/**/b[19].png", "--json", "-", "--url", fake.url)
    assert code == 0
    assert [Path(image["source"]).name for image in json.loads(out)] == ["b1.png", "b9.png"]


def test_recursive(fake, boards):
    (boards / "deep").mkdir()
    cv2.imwrite(str(boards / "deep" / "b9.JPG"), picture(64, 64))
    assert len(json.loads(run_cli("detect", boards, "--json", "-", "--url", fake.url)[1])) == 6
    out = run_cli("detect", boards, "-r", "--json", "-", "--url", fake.url)[1]
    assert len(json.loads(out)) == 7


def test_stdin(fake, boards, tmp_path, monkeypatch):
    content = io.BytesIO((boards / "b2.png").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    code, out, _ = run_cli(
        "detect", "-", "--json", "-", "--save", tmp_path / "out", "--url", fake.url
    )
    assert code == 0
    (result,) = json.loads(out)
    assert (result["source"], result["width"]) == ("-", 102)
    assert names_in(tmp_path / "out") == ["stdin.jpg"]


def test_failing_sources_are_reported_and_the_rest_is_finished(fake, boards, tmp_path):
    (boards / "b1.png").write_text("text")
    (boards / "b4.png").write_bytes((boards / "b3.png").read_bytes()[:150])
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = boards / "missing.png"
    arguments = [boards, missing, empty, f"{empty}/*.jpg", "--url", fake.url, "--json", "-"]
    code, out, err = run_cli("detect", *arguments)
    assert code == 1
    assert len(json.loads(out)) == 4
    lines = error_lines(err)
    assert len(lines) == 5
    assert sum(str(boards / "b1.png") in line and "not an image" in line for line in lines) == 1
    assert sum(str(boards / "b4.png") in line and "damaged" in line for line in lines) == 1
    assert any(line.endswith("missing.png: cannot read the image: No such file or directory")
               for line in lines)  # fmt: skip
    assert any("no image in this folder" in line for line in lines)
    assert any("no file matches" in line for line in lines)
    assert "failed" in err


def test_refused_by_the_server(fake, boards):
    fake.on_infer = reject("too dark", times=1)
    code, out, err = run_cli("detect", boards, "--workers", 1, "--json", "-", "--url", fake.url)
    assert code == 1
    assert len(json.loads(out)) == 5
    (line,) = error_lines(err)
    assert "b0.png" in line and "too dark" in line


def test_nobody_listens(boards):
    with FakeTriton() as gone:
        pass
    code, out, err = run_cli("detect", boards, "--url", gone.url, "--json", "-")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"tridet: error: no server answers at {gone.url}")


def test_the_server_dies_in_the_middle(fake, tmp_path):
    image = tmp_path / "b.png"
    cv2.imwrite(str(image), picture(64, 64))
    results = tmp_path / "results.jsonl"

    def die_at_the_tenth(*_):
        if fake.calls["ModelInfer"] == 10:
            threading.Thread(target=fake.stop).start()
        if fake.calls["ModelInfer"] >= 10:
            threading.Event().wait(0.2)

    fake.on_infer = die_at_the_tenth
    code, _, err = run_cli(
        "detect", *[image] * 500, "--url", fake.url, "--json", results, "--workers", 4
    )
    assert code == 1
    (line,) = error_lines(err)
    assert f"no server answers at {fake.url}" in line
    done = len(results.read_text().splitlines())
    assert 6 <= done < 20
    assert line.endswith(f"({500 - done} of 500 images not processed)")


def test_grpc_adds_nothing_to_stderr(fake, boards):
    entered = threading.Event()
    fake.on_infer = lambda *_: entered.set() or threading.Event().wait(1)
    command = [*MAIN, "detect", str(boards), "--url", fake.url, "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert entered.wait(60)
    fake.stop()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert [line for line in err.splitlines() if not line.startswith("tridet: error: ")] == []


def test_a_model_that_is_unloaded_in_the_middle_ends_the_run(fake, boards):
    def unload(*_):
        if fake.calls["ModelInfer"] == 3:
            del fake.models["pcb"]

    fake.on_infer = unload
    code, out, err = run_cli(
        "detect", boards, "--workers", 1, "--url", fake.url, "--json", "-", "--quiet"
    )
    assert code == 1
    assert len(json.loads(out)) == 3
    (line,) = err.splitlines()
    assert "has no model 'pcb'" in line and line.endswith("(3 of 6 images not processed)")


def test_overload_fails_single_images(fake, boards):
    fake.on_infer = reject("Exceeds maximum queue size", grpc.StatusCode.UNAVAILABLE, times=4)
    code, _, err = run_cli("detect", boards, "--workers", 1, "--url", fake.url)
    assert code == 1
    (line,) = error_lines(err)
    assert "b0.png" in line and "overloaded" in line


def test_an_unwritable_folder_is_one_line(fake, boards, tmp_path):
    (tmp_path / "file").write_text("")
    for options in (["--save", tmp_path / "file"], ["--json", tmp_path / "no" / "x.json"]):
        code, _, err = run_cli("detect", boards, *options, "--url", fake.url)
        assert code == 1
        (line,) = error_lines(err)
        assert str(options[1].name if options[0] == "--save" else "x.json") in line


def test_a_full_disk_is_one_line_and_leaves_no_half_file(fake, boards, tmp_path, monkeypatch):
    def full(self, _content):
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = run_cli("detect", boards, "--save", tmp_path / "out", "--url", fake.url)
    assert code == 1
    (line,) = error_lines(err)
    assert "No space left on device" in line
    assert names_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--conf", "2"], "--conf"),
        (["--transport", "udp"], "--transport"),
        (["--format", "yolo"], "name a folder with --output"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_usage_errors(arguments, text):
    code, out, err = run_cli("detect", "b.png", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("tridet: error: ") and text in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--classes", "pink"], "classes: expected one of blue, green, red"),
        (["--url", "http://x:8000"], "expected host:port"),
        (["--model", "pcb_detector"], "use that name"),
        (["--tls-ca", "/nowhere.pem"], "tls: cannot read /nowhere.pem"),
    ],
)
def test_other_errors_are_one_line_each(fake, boards, arguments, text):
    code, _, err = run_cli("detect", boards / "b0.png", "-q", "--url", fake.url, *arguments)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: ") and text in line


def test_ctrl_c_ends_at_once_without_a_traceback_or_a_half_file(fake, boards, tmp_path):
    entered, over = threading.Event(), threading.Event()

    def hang(*_):
        entered.set()
        over.wait(60)

    fake.on_infer = hang
    results = tmp_path / "results.json"
    command = [*MAIN, "detect", str(boards), "--url", fake.url, "--json", str(results)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert entered.wait(60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        over.set()
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert names_in(tmp_path) == ["boards"]


def test_a_reader_that_leaves_early_is_no_error(fake, boards):
    command = [*MAIN, "detect", *[str(boards)] * 200, "--url", fake.url, "--format", "jsonl"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert "Traceback" not in err and "Exception" not in err


@pytest.mark.parametrize(
    ("name", "first"), [("x.jsonl", '{"source"'), ("x.csv", "source,"), ("x.json", "[\n{")]
)
def test_the_format_follows_the_files_name(fake, tmp_path, name, first):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    run_cli("detect", tmp_path / "a.png", "--json", tmp_path / name, "--url", fake.url)
    assert (tmp_path / name).read_text().startswith(first)


def test_recursive_results_lie_as_their_images(fake, boards, tmp_path):
    (boards / "deep").mkdir()
    cv2.imwrite(str(boards / "deep" / "b0.png"), picture(64, 64))
    out, labels = tmp_path / "out", tmp_path / "labels"
    options = ["--save", out, "--json", labels, "--format", "yolo", "--url", fake.url]
    assert run_cli("detect", boards, "-r", *options)[0] == 0
    assert (out / "deep" / "b0.png").is_file() and (labels / "deep" / "b0.txt").is_file()
    assert names_in(out) == [*(f"b{i}.png" for i in range(6)), "deep"]


def test_a_full_disk_while_saving_does_not_cost_the_results(fake, boards, tmp_path, monkeypatch):
    def full(self, _content):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    results = tmp_path / "results.json"
    options = ["--save", tmp_path / "out", "--json", results, "--url", fake.url]
    code, _, err = run_cli("detect", boards, *options)
    assert code == 1
    (line,) = error_lines(err)
    assert "No space left on device" in line and ".tmp" not in line
    assert len(json.loads(results.read_text())) == 6
    assert names_in(tmp_path / "out") == []


def test_a_missing_folder_for_the_results_is_named_as_it_was_given(fake, boards, tmp_path):
    target = tmp_path / "no" / "x.json"
    code, _, err = run_cli("detect", boards, "--json", target, "--url", fake.url)
    assert code == 1
    assert error_lines(err) == [f"tridet: error: {target}: No such file or directory"]


def test_skipped_files_are_counted_aloud(fake, boards):
    (boards / "clip.mp4").touch()
    err = run_cli("detect", boards, "--url", fake.url)[2]
    summary = dict(line.rsplit(maxsplit=1) for line in err.splitlines())
    assert (summary["skipped, no images"], summary["  .mp4"], summary["  .txt"]) == ("2", "1", "1")


def test_names_with_codes_for_the_terminal_are_written_out(fake, boards, tmp_path):
    bad = boards / "x\x1b]0;owned\x07\x1b[31m.png"
    bad.write_text("text")
    for arguments in ([bad], [tmp_path / "\x1b[2J*"], [boards / "b0.png", "--save", bad]):
        code, out, err = run_cli("detect", *arguments, "--url", fake.url)
        assert code == 1
        assert "\x1b" not in out + err and "\\x1b" in err


def test_other_formats_are_read_from_a_folder_and_drawn(fake, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    image = Image.fromarray(picture(100, 80)[..., ::-1])
    for suffix in ("tif", "gif", "avif", "ppm", "jp2"):
        image.save(folder / f"{suffix}.{suffix}")
    for transport in ("auto", "encoded"):
        options = ["--save", tmp_path / "out", "--transport", transport, "--json", "-"]
        code, out, _ = run_cli("detect", folder, *options, "--url", fake.url)
        assert code == 0
        assert [[one["name"] for one in found["detections"]] for found in json.loads(out)] == [
            ["blue", "red"]
        ] * 5
    assert names_in(tmp_path / "out") == ["avif.png", "gif.png", "jp2.png", "ppm.ppm", "tif.tif"]


def test_a_warning_is_one_line(fake, boards, tmp_path, monkeypatch):
    def find_none(*_):
        warnings.warn("no font on this machine has it", stacklevel=2)

    monkeypatch.setattr(drawing, "_opencv_has", lambda _: False)
    monkeypatch.setattr(drawing, "_font_with", find_none)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # to be put back
    fake.models["pcb"] = detector_config(labels=json.dumps(["Größe", "green", "red"]))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        options = ["-q", "--save", tmp_path / "out", "--url", fake.url]
        code, _, err = run_cli("detect", boards / "b0.png", *options)
    assert (code, err) == (0, "tridet: warning: no font on this machine has it\n")
