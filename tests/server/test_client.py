"""The client library and command against the real tritonserver."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from local_triton import LocalServer
from onnx import numpy_helper
from stub_onnx import write_detector
from tridet import (
    AsyncDetector,
    ContractMismatch,
    Detections,
    Detector,
    InvalidInput,
    ModelUnknown,
    ServerUnreachable,
)
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write

pytestmark = pytest.mark.server
# Odd sides, thin strips, smaller and larger than the input; 1217 x 683 rounds its two scales apart.
SIZES = [(640, 640), (1217, 683), (683, 1217), (1921, 1081), (333, 1000), (91, 37), (2000, 7)]
LOW = {"conf": 0.02, "iou": 1.0}


def frame(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(got: Detections, want: Detections, atol: float) -> None:
    assert len(got) == len(want) > 0
    np.testing.assert_allclose(got.boxes, want.boxes, atol=atol)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)
    np.testing.assert_array_equal(got.class_ids, want.class_ids)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("transport", ["auto", "fit", "shm"])
def test_transports_agree_with_raw(
    stub_server: LocalServer, transport: str, width: int, height: int
) -> None:
    image = frame(width, height)
    with Detector(stub_server.grpc_url, "large", transport="raw") as raw:
        want = raw(image, **LOW)
    with Detector(stub_server.grpc_url, "large", transport=transport) as detector:  # type: ignore[arg-type]
        got = detector(image, **LOW)
    same(got, want, atol=0.5)
    assert (got.boxes[:, [0, 2]] <= width).all()
    assert (got.boxes[:, [1, 3]] <= height).all()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_encoded_file_equals_raw(
    stub_server: LocalServer, tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), frame(width, height))
    results = []
    for transport in ("raw", "encoded"):
        with Detector(stub_server.grpc_url, "large", transport=transport) as detector:  # type: ignore[arg-type]
            results.append(detector(path, **LOW))
    same(results[1], results[0], atol=1e-3)


def test_async_twin_agrees(stub_server: LocalServer) -> None:
    images = [frame(100 + 30 * i, 200, seed=i) for i in range(5)]
    with Detector(stub_server.grpc_url, "large") as detector:
        want = detector(images, **LOW)

    async def detect() -> list[Detections]:
        async with AsyncDetector(stub_server.grpc_url, "large") as detector:
            return await detector(images, **LOW)

    for got, expected in zip(asyncio.run(detect()), want, strict=True):
        same(got, expected, atol=1e-4)


def test_thresholds_default_to_the_manifests(stub_server: LocalServer) -> None:
    """Also where detectors of one repository disagree and the shared step cannot know."""
    image = frame(640, 640) // 6
    with Detector(stub_server.grpc_url, "large") as detector:
        scores = detector(image).scores
    assert len(scores)
    assert scores.max() < 0.25, "below the nms step's own default, or this test proves nothing"
    assert scores.min() >= 0.05


def test_server_errors_arrive_as_the_clients(stub_server: LocalServer) -> None:
    url = stub_server.grpc_url
    with Detector(url, "small", transport="raw") as detector:
        with pytest.raises(InvalidInput, match="250000 pixels"):
            detector(frame(600, 600))
        assert detector.connect().labels == ("c0", "c1", "c2")
    with pytest.raises(ModelUnknown, match=r"none.*large.*small"), Detector(url, "none"):
        pass
    with pytest.raises(ContractMismatch, match="small_detector"), Detector(url, "small_detector"):
        pass


def tridet(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tridet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_detect_writes_pictures_and_json(stub_server: LocalServer, tmp_path: Path) -> None:
    boards = tmp_path / "in"
    boards.mkdir()
    for i in range(3):
        cv2.imwrite(str(boards / f"{i}.jpg"), frame(700, 500, seed=i))
    (boards / "broken.jpg").write_bytes(b"not a picture")
    arguments = ["--url", stub_server.grpc_url, "--model", "large", "--save", str(tmp_path / "out")]
    command = tridet("detect", str(boards), *arguments, "--json", "-", "--format", "jsonl")
    out, err = command.communicate(timeout=60)
    assert command.returncode != 0
    assert "broken.jpg" in err
    assert "Traceback" not in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]


def test_status_names_steps_and_versions(stub_server: LocalServer) -> None:
    out, err = tridet("status", "--url", stub_server.grpc_url).communicate(timeout=60)
    for word in ("2.51.0", "large", "preprocess_640", "nms", "READY"):
        assert word.lower() in out.lower(), err


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_server_gone_mid_detect_is_one_line(tmp_path: Path, way: str) -> None:
    write_detector(tmp_path / "large", size=640)
    write(load_manifests([tmp_path / "large"]), tmp_path / "repository")
    boards = tmp_path / "in"
    boards.mkdir()
    for i in range(400):
        cv2.imwrite(str(boards / f"{i:03}.bmp"), frame(900, 700, seed=i % 3))
    with LocalServer(tmp_path / "repository") as server:
        options = ["--url", server.grpc_url, "--model", "large", "--json", str(tmp_path / "found")]
        command = tridet("detect", str(boards), *options, "--format", "jsonl", "--quiet")
        deadline = time.monotonic() + 60
        while not any(tmp_path.glob("*found*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        if way == "stop":
            server.stop()
        else:
            server.kill()
        _, err = command.communicate(timeout=60)
    assert command.returncode not in (0, -signal.SIGKILL)
    (line,) = [line for line in err.splitlines() if "error" in line]
    assert server.grpc_url in line
    assert "Traceback" not in err


def test_no_server_at_all() -> None:
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"), Detector("127.0.0.1:9", "pcb"):
        pass


def test_numbers_that_are_none_cost_no_other_detection(tmp_path: Path) -> None:
    """The right value is what the same network finds without the rows that are NaN or infinite."""
    table = write_detector(tmp_path / "one")
    model = onnx.load(tmp_path / "one" / "weights.onnx")
    (stored,) = [one for one in model.graph.initializer if one.name == "scaled"]
    spoilt = numpy_helper.to_array(stored).copy()
    best = np.argsort(-table[4:].max(axis=0))
    for row, column, value in ((4, 0, np.nan), (0, 2, np.inf), (5, 4, -np.inf), (3, 6, np.nan)):
        spoilt[0, row, best[column]] = value
    without = numpy_helper.to_array(stored).copy()
    without[:, 4:, best[[0, 2, 6]]] = 0
    without[0, 5, best[4]] = 0
    for name, values in (("spoilt", spoilt), ("without", without)):
        write_detector(tmp_path / name)
        stored.CopyFrom(numpy_helper.from_array(values, "scaled"))
        onnx.save(model, tmp_path / name / "weights.onnx")
    write(load_manifests([tmp_path / "spoilt", tmp_path / "without"]), tmp_path / "repository")
    with LocalServer(tmp_path / "repository") as server:
        found = {}
        for name in ("spoilt", "without"):
            with Detector(server.grpc_url, name) as detector:
                # Not the weakest: such a row may take the place of one among the K candidates.
                found[name] = detector(frame(64, 64), max_det=25, **LOW)
        same(found["spoilt"], found["without"], atol=1e-3)
        assert json.loads(json.dumps(found["spoilt"].to_dict(), allow_nan=False))
