"""Groups on the real tritonserver: what their members find alone, and every frame counted out."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from admission_table import under_way
from edits import slow_down
from fake_triton import run_cli
from local_triton import LocalServer
from stub_onnx import write_detector, write_dynamic_detector, write_group
from tridet import AsyncDetector, Detections, Detector, InvalidInput, Overloaded
from tridet.processing import contract
from tridet_build.manifest.groups import load_groups
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server
PCB = Path(__file__).parents[2] / "models" / "pcb"
BOARDS = sorted((PCB / "samples").glob("*.jpg"))[:2]
MEMBERS = ("pcb", "other")
LOW = {"conf": 0.02}
# Weaker than pcb's defaults, so that one request has to ask for less than pcb would alone.
OTHER = "[thresholds]\nconf = 0.1\nmax_det = 15\n[batch]\nopt = 2\nmax = 4\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The default detector and a stand-in of other classes, alone and as the group ``line``."""
    root = tmp_path_factory.mktemp("groups")
    write_detector(root / "other", OTHER, size=640, classes=5, seed=3)
    write_group(root / "line", MEMBERS)
    manifests = load_manifests([PCB, root / "other"])
    groups = load_groups(root, manifests, all_loaded=True)
    write(manifests, root / "repository", groups)
    with LocalServer(root / "repository") as server:
        yield server


def frame(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(got: Detections, want: Detections) -> None:
    assert got.labels == want.labels
    assert len(got) == len(want)
    np.testing.assert_allclose(got.boxes, want.boxes, atol=1e-2)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)
    np.testing.assert_array_equal(got.class_ids, want.class_ids)


@pytest.mark.parametrize("transport", ["auto", "fit", "raw", "encoded", "shm"])
def test_a_group_finds_what_its_members_find(server: LocalServer, transport: str) -> None:
    options = [{}, LOW, LOW | {"max_det": 4}, LOW | {"iou": 0.1, "agnostic": True}, {"conf": 0.3}]
    images: list[object] = [*BOARDS, frame(900, 700)]
    counts = []
    for image in images:
        for thresholds in options:
            found = {}
            for model in (*MEMBERS, "line"):
                with Detector(server.grpc_url, model, transport=transport) as detector:  # type: ignore[arg-type]
                    found[model] = detector(image, **thresholds)  # type: ignore[call-overload]
            line = found.pop("line")
            parts = line.by_detector()
            assert list(parts) == list(MEMBERS)
            for model, alone in found.items():
                same(parts[model], alone)
            assert len(line) == sum(map(len, found.values()))
            assert (np.diff(line.scores) <= 0).all()
            counts.append([len(part) for part in parts.values()])
    assert np.all(np.max(counts, axis=0) > 3), "each member should find something"
    assert under_way(server) == 0


def test_classes_of_all_members_are_chosen_by_label_or_index(server: LocalServer) -> None:
    with Detector(server.grpc_url, "line", transport="raw") as line:
        info = line.connect()
        assert [list(member.class_ids) for member in info.members] == [
            [0, 1, 2, 3, 4, 5],
            [6, 7, 8, 9, 10],
        ]
        whole = line(BOARDS[0], conf=0.01)
        kept = line(BOARDS[0], conf=0.01, classes=["c1", "short", 9])
        with pytest.raises(InvalidInput, match=r"classes: expected none beside agnostic=True"):
            line(BOARDS[0], classes=["c1"], agnostic=True)
    chosen = [info.labels.index("short"), info.labels.index("c1"), 9]
    # The stand-in's own limit of 15 holds after the choice, as it would alone.
    alone = Detector(server.grpc_url, "other", transport="raw")
    with alone:
        same(kept.by_detector()["other"], alone(BOARDS[0], conf=0.01, classes=["c1", 3]))
    ids = whole.by_detector()["pcb"].class_ids
    assert set(kept.class_ids) <= set(chosen)
    assert (kept.class_ids == chosen[0]).sum() == (ids == chosen[0]).sum()


@pytest.mark.parametrize("encoded", [False, True])
def test_a_batch_of_frames_in_one_request(server: LocalServer, encoded: bool) -> None:
    frames = np.stack([frame(320, 200, seed) // (seed + 1) for seed in range(3)])
    files = [cv2.imencode(".bmp", image)[1] for image in frames]
    data = np.stack(files) if encoded else frames
    tensor = triton.InferInput(
        contract.ENCODED if encoded else contract.IMAGE, list(data.shape), "UINT8"
    )
    tensor.set_data_from_numpy(data)
    suffix = contract.ENCODED_SUFFIX if encoded else ""
    with triton.InferenceServerClient(server.grpc_url) as client:
        line = client.infer(f"line{suffix}", [tensor], parameters=LOW)
        for member in MEMBERS:
            alone = client.infer(f"{member}{suffix}", [tensor], parameters=LOW)
            for name in contract.DETECTIONS:
                got = line.as_numpy(contract.member_output(member, name))
                np.testing.assert_allclose(got, alone.as_numpy(name), atol=1e-2)
            assert len(alone.as_numpy(contract.DETECTION_BOXES)) == 3
    assert under_way(server) == 0


def test_async_twin_and_lists(server: LocalServer) -> None:
    images = [frame(100 + 30 * i, 200, seed=i) for i in range(5)]
    with Detector(server.grpc_url, "line") as line:
        want = line(images, **LOW)

    async def detect() -> list[Detections]:
        async with AsyncDetector(server.grpc_url, "line") as line:
            return await line(images, **LOW)

    for got, expected in zip(asyncio.run(detect()), want, strict=True):
        same(got, expected)


@pytest.mark.parametrize(
    ("model", "tensor", "data", "parameters", "complaint"),
    [
        ("line", "IMAGE", np.zeros((1, 0, 9, 3), np.uint8), {}, "the image is empty"),
        ("line", "IMAGE", np.zeros((5, 9, 9, 3), np.uint8), {}, "batch-size must be <= 4"),
        ("line", "IMAGE", np.zeros((1, 9, 9, 3), np.uint8), {"conf": 7.0}, "conf: expected a"),
        ("line_encoded", "ENCODED", np.zeros((1, 64), np.uint8), {}, "not an image: expected"),
    ],
)
def test_bad_requests_are_invalid_and_leave_nothing_behind(
    server: LocalServer,
    model: str,
    tensor: str,
    data: np.ndarray,
    parameters: dict[str, object],
    complaint: str,
) -> None:
    sent = triton.InferInput(tensor, list(data.shape), "UINT8")
    sent.set_data_from_numpy(data)
    with triton.InferenceServerClient(server.grpc_url) as client:
        for _ in range(3):
            with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT") as caught:
                client.infer(model, [sent], parameters=parameters)
            assert complaint in str(caught.value)
    assert under_way(server) == 0


def test_bad_images_reach_the_caller_as_of_any_detector(
    server: LocalServer, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(BOARDS[0].read_bytes()[:5000])
    for transport in ("auto", "encoded"):
        with (
            Detector(server.grpc_url, "line", transport=transport) as line,  # type: ignore[arg-type]
            pytest.raises(InvalidInput, match=r"broken\.jpg.*truncated"),
        ):
            line(broken)


def test_commands_take_a_group(server: LocalServer, tmp_path: Path) -> None:
    options = ("--url", server.grpc_url, "--model", "line")
    saved = ("--save", tmp_path / "out", "--json", "-", "--format", "jsonl")
    status, out, _ = run_cli("detect", BOARDS[0], *options, *saved)
    assert status == 0
    names = {found["name"] for found in json.loads(out)["detections"]}
    assert any(name.startswith("c") for name in names)
    assert (tmp_path / "out" / BOARDS[0].name).is_file()
    status, out, _ = run_cli("status", "--url", server.grpc_url)
    assert status == 0
    assert "line: pcb + other" in out


def test_members_of_several_input_sizes_get_the_one_that_is_asked_for(tmp_path: Path) -> None:
    write_dynamic_detector(tmp_path / "low", "[thresholds]\nconf = 0.01\n")
    write_dynamic_detector(tmp_path / "high", "[thresholds]\nconf = 0.3\n")
    write_group(tmp_path / "both", ["low", "high"])
    manifests = load_manifests([tmp_path / "low", tmp_path / "high"])
    groups = load_groups(tmp_path, manifests, all_loaded=True)
    write(manifests, tmp_path / "repository", groups)
    image = frame(300, 200)
    sums = []
    with (
        LocalServer(tmp_path / "repository") as server,
        Detector(server.grpc_url, "both") as both,
        Detector(server.grpc_url, "low") as low,
        Detector(server.grpc_url, "high") as high,
    ):
        assert both.connect().input_sizes == (64, 160)
        for imgsz in (64, 96, 160):
            parts = both(image, imgsz=imgsz).by_detector()
            same(parts["low"], low(image, imgsz=imgsz))
            same(parts["high"], high(image, imgsz=imgsz))
            sums.append(float(parts["low"].scores.sum()))
        with pytest.raises(InvalidInput, match="imgsz: expected a multiple of 32 from 64 to 160"):
            both(image, imgsz=192)
    assert len(set(sums)) == 3, "every size should see something else"


# Admission ----------------------------------------------------------------------------------------

FRAME = np.zeros((64, 64, 3), np.uint8)
LIMITS = "[limits]\nmax_in_flight = 4\nmax_wait_s = 30.0\n[batch]\nopt = 1\nmax = 2\n"


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A slow detector and a quick one behind a door for 4 frames, in a group in either order."""
    root = tmp_path_factory.mktemp("slow group")
    for name in ("slow", "quick"):
        write_detector(root / name, LIMITS)
    write_group(root / "slow_first", ["slow", "quick"])
    write_group(root / "slow_last", ["quick", "slow"])
    manifests = load_manifests([root / "slow", root / "quick"])
    write(manifests, root / "repository", load_groups(root, manifests, all_loaded=True))
    slow_down(root / "repository", "slow", 0.2)
    with LocalServer(root / "repository") as server:
        yield server


def outcomes(server: LocalServer, models: list[str]) -> list[str]:
    """Call all models at the same time, once each; give ``served`` or ``overloaded`` of each."""
    got: list[str] = []

    def call(model: str) -> None:
        with Detector(server.grpc_url, model, retries=0) as detector:
            try:
                detector(FRAME)
                got.append("served")
            except Overloaded:
                got.append("overloaded")

    threads = [threading.Thread(target=call, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("model", ["slow_first", "slow_last"])
def test_a_frame_is_under_way_until_its_slowest_branch_is_done(
    slow_server: LocalServer, model: str
) -> None:
    with triton.InferenceServerClient(slow_server.grpc_url) as client:

        def executed() -> int:
            (stats,) = client.get_inference_statistics("slow_detector", as_json=True)["model_stats"]
            return int(stats["inference_stats"]["success"].get("count", 0))

        before = executed()
        caller = threading.Thread(target=outcomes, args=(slow_server, [model]))
        caller.start()
        while caller.is_alive() and not under_way(slow_server):
            time.sleep(0.002)
        assert under_way(slow_server) == 1
        while caller.is_alive() and under_way(slow_server):
            time.sleep(0.002)
        assert executed() == before + 1, "counted out before the slow detector was done"
        caller.join()
    assert under_way(slow_server) == 0


def test_more_than_fit_are_refused_and_all_are_counted_out(slow_server: LocalServer) -> None:
    # Lost frames would fill the 4 places for a minute.
    got = outcomes(slow_server, ["slow_first", "slow_last", "slow", "quick"] * 4)
    assert 4 <= got.count("served") < 16
    assert got.count("served") + got.count("overloaded") == 16
    assert under_way(slow_server) == 0
    with Detector(slow_server.grpc_url, "slow_last", retries=50, timeout_s=60) as detector:
        assert len(detector([FRAME] * 12)) == 12
    for _ in range(3):
        assert outcomes(slow_server, ["slow_first", "slow_last", "slow", "quick"]) == ["served"] * 4
        assert under_way(slow_server) == 0
