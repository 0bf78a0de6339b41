"""A detector of several input sizes on the real tritonserver: which size a request gets, and that.

Beside it on the same server is a detector of one size, which takes no other.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from fake_triton import run_cli
from local_triton import LocalServer
from reference_pipeline import expected, frame
from stub_onnx import write_detector, write_dynamic_detector
from tridet import Detector, InvalidInput
from tridet.processing import contract
from tridet.processing.parameters import NmsParameters
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.check import check
from tridet_build.repository.render import write
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server
SMALLEST, USUAL, LARGEST = SIZES = (64, 96, 160)
ALL = NmsParameters(conf=0.01, iou=0.9, max_det=300, agnostic=False)
PARAMETERS = {"conf": 0.01, "iou": 0.9, "max_det": 300}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sizes")
    write_dynamic_detector(root / "spanned", "[batch]\nopt = 2\nmax = 4\n", SIZES)
    write_detector(root / "fixed")
    write(load_manifests([root / "spanned", root / "fixed"]), root / "repository")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[LocalServer]:
    with LocalServer(root / "repository") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: LocalServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_url) as client:
        yield client


def infer(
    client: triton.InferenceServerClient, image: np.ndarray, model: str = "spanned", **asked: object
) -> list[np.ndarray]:
    """Return boxes, scores and class ids of one frame."""
    tensor = triton.InferInput(contract.IMAGE, [1, *image.shape], "UINT8")
    tensor.set_data_from_numpy(image[None])
    answer = client.infer(model, [tensor], parameters={**PARAMETERS, **asked})
    return [answer.as_numpy(name)[0] for name in contract.DETECTIONS[1:]]


def same(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    assert len(got[0]) == len(want[0]) > 3
    for mine, theirs, atol in zip(got, want, (0.02, 1e-5, 0), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=atol)


@pytest.mark.parametrize("asked", [*SIZES, 128, None])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 91), (200, 300)])
def test_equals_the_pipeline_in_this_process_at_the_asked_size(
    client: triton.InferenceServerClient, root: Path, asked: int | None, height: int, width: int
) -> None:
    image = frame(height, width)
    got = infer(client, image, **({} if asked is None else {"imgsz": asked}))
    weights = str(root / "spanned" / "weights.onnx")
    same(got, expected(image, asked or USUAL, ALL, weights))


def test_frames_of_different_sizes_at_once(client: triton.InferenceServerClient) -> None:
    jobs = [
        (frame(40 + 3 * number, 90, number), 64 + 32 * (number % 4), number) for number in range(24)
    ]
    alone = [infer(client, image, imgsz=size) for image, size, _ in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: infer(client, job[0], imgsz=job[1]), jobs))
    for got, want in zip(together, alone, strict=True):
        same(got, want)


@pytest.mark.parametrize(
    ("model", "asked", "complaint"),
    [
        ("spanned", 32, "imgsz: expected a multiple of 32 from 64 to 160, got 32"),
        ("spanned", 192, "imgsz: expected a multiple of 32 from 64 to 160, got 192"),
        ("spanned", 100, "imgsz: expected a multiple of 32 from 64 to 160, got 100"),
        ("spanned", -64, "imgsz: expected a multiple of 32 from 64 to 160, got -64"),
        ("spanned", "96", "imgsz: expected a multiple of 32 from 64 to 160, got '96'"),
        ("spanned", True, "imgsz: expected a multiple of 32 from 64 to 160, got True"),
        ("fixed", 96, "imgsz: expected 64, this model's only input size, got 96"),
    ],
)
def test_another_size_is_refused(
    client: triton.InferenceServerClient, model: str, asked: object, complaint: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(client, frame(64, 64), model, imgsz=asked)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert complaint in str(caught.value)


def test_one_size_may_be_named(client: triton.InferenceServerClient) -> None:
    image = frame(50, 70)
    same(infer(client, image, "fixed", imgsz=64), infer(client, image, "fixed"))


def test_the_model_says_its_sizes(server: LocalServer) -> None:
    for model, usual, sizes in (("spanned", USUAL, (SMALLEST, LARGEST)), ("fixed", 64, (64, 64))):
        with Detector(server.grpc_url, model) as detector:
            info = detector.connect()
        assert (info.input_size, info.input_sizes) == (usual, sizes)


@pytest.mark.parametrize("imgsz", [None, *SIZES])
@pytest.mark.parametrize("transport", ["auto", "fit", "shm"])
@pytest.mark.parametrize(("width", "height"), [(96, 96), (317, 183), (21, 170), (50, 30)])
def test_transports_agree(
    server: LocalServer, transport: str, imgsz: int | None, width: int, height: int
) -> None:
    image = frame(height, width)
    with Detector(server.grpc_url, "spanned", transport="raw", **PARAMETERS) as raw:  # type: ignore[arg-type]
        want = raw(image, imgsz=imgsz)
    with Detector(server.grpc_url, "spanned", transport=transport, imgsz=imgsz, **PARAMETERS) as it:  # type: ignore[arg-type]
        got = it(image)
    assert len(got) == len(want) > 3
    np.testing.assert_allclose(got.boxes, want.boxes, atol=0.5)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)
    np.testing.assert_array_equal(got.class_ids, want.class_ids)


def test_encoded_files_take_a_size_too(server: LocalServer) -> None:
    image = frame(120, 200)
    png = cv2.imencode(".png", image)[1].tobytes()
    with Detector(server.grpc_url, "spanned", transport="raw", imgsz=160, **PARAMETERS) as raw:  # type: ignore[arg-type]
        want, usual = raw(image), raw(image, imgsz=96)
    with Detector(server.grpc_url, "spanned", transport="encoded", **PARAMETERS) as encoded:  # type: ignore[arg-type]
        got = encoded(png, imgsz=160)
    np.testing.assert_array_equal(got.boxes, want.boxes)
    assert len(want) != len(usual)


def test_the_client_refuses_other_sizes_itself(server: LocalServer) -> None:
    with (
        Detector(server.grpc_url, "spanned") as detector,
        pytest.raises(InvalidInput, match="imgsz: expected a multiple of 32 from 64 to 160, got 9"),
    ):
        detector(frame(64, 64), imgsz=90)
    with (
        pytest.raises(InvalidInput, match="imgsz: expected 64, this model's only input size, got"),
        Detector(server.grpc_url, "fixed", imgsz=96),
    ):
        pass


def test_detect_at_a_size(server: LocalServer, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), frame(200, 300))
    out = tmp_path / "out.json"
    for size in (SMALLEST, LARGEST):
        code, _, _ = run_cli(
            *("detect", tmp_path / "a.png", "--url", server.grpc_url, "--model", "spanned"),
            *("--json", out, "--conf", "0.01", "--imgsz", size),
        )
        assert code == 0
        (found,) = json.loads(out.read_text())
        boxes = [detection["box"] for detection in found["detections"]]
        with Detector(server.grpc_url, "spanned", conf=0.01) as detector:
            want, usual = (detector(tmp_path / "a.png", imgsz=asked) for asked in (size, None))
        np.testing.assert_allclose(boxes, want.boxes, atol=0.01)
        assert len(boxes) != len(usual)
    code, _, err = run_cli(
        *("detect", tmp_path / "a.png", "--url", server.grpc_url, "--model", "spanned"),
        *("--imgsz", "99"),
    )
    assert code == 1
    assert "imgsz: expected a multiple of 32 from 64 to 160, got 99" in err


@pytest.mark.parametrize("runtime", ["python", "onnxruntime"])
def test_check_accepts_the_repository(root: Path, runtime: str) -> None:
    assert check(root / "repository", runtime=runtime) == []  # type: ignore[arg-type]
