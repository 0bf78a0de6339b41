"""The tensor contract on the wire, spoken with tritonclient alone to the real tritonserver."""

import io
import json
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from local_triton import LocalServer
from PIL import Image
from reference_pipeline import expected, frame
from stub_onnx import write_stub
from tridet.processing import contract
from tridet.processing.decode import decode
from tridet.processing.parameters import NmsParameters
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server
LOW = {"conf": 0.01}


@pytest.fixture(scope="module")
def client(stub_server: LocalServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(stub_server.grpc_url) as client:
        yield client


def infer(
    client: triton.InferenceServerClient,
    image: np.ndarray,
    *,
    model: str = "small",
    name: str = contract.IMAGE,
    **parameters: object,
) -> list[np.ndarray]:
    kind = {"uint8": "UINT8", "float32": "FP32"}[str(image.dtype)]
    tensor = triton.InferInput(name, image.shape, kind)
    tensor.set_data_from_numpy(image)
    answer = client.infer(model, [tensor], parameters=parameters)
    return [answer.as_numpy(output) for output in contract.DETECTIONS]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 91), (201, 13), (480, 500)])
def test_equals_the_pipeline_in_this_process(
    client: triton.InferenceServerClient,
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "stub.onnx"
    write_stub(path)
    image = frame(height, width)
    thresholds = NmsParameters(conf=0.2, iou=0.5, max_det=20, agnostic=False, classes=(0, 2))
    counts, *got = infer(client, image[None], conf=0.2, iou=0.5, max_det=20, classes="0,2")
    want = expected(image, 64, thresholds, str(path))
    assert counts.tolist() == [[len(want[0])]]
    assert len(want[0]) > 3
    assert [tensor.dtype for tensor in got] == [np.float32, np.float32, np.int32]
    for mine, theirs, atol in zip(got, want, (0.02, 1e-5, 0), strict=True):
        np.testing.assert_allclose(mine[0], theirs, atol=atol)


def test_defaults_are_the_manifests(client: triton.InferenceServerClient) -> None:
    # The two detectors disagree (0.25 and 0.05), so the shared step has the field's usual ones.
    config = client.get_model_config("nms", as_json=True)["config"]
    assert config["parameters"]["conf"]["string_value"] == "0.25"
    for model, conf in (("small", 0.25), ("large", 0.05)):
        parameters = client.get_model_config(model, as_json=True)["config"]["parameters"]
        defaults = json.loads(parameters[contract.PARAM_DEFAULTS]["string_value"])
        assert defaults["conf"] == conf
        assert json.loads(parameters[contract.PARAM_LABELS]["string_value"]) == ["c0", "c1", "c2"]
    scores = infer(client, frame(64, 64)[None])[2]
    assert scores.min() >= 0.25


def test_thresholds_are_request_parameters(client: triton.InferenceServerClient) -> None:
    image = frame(64, 64)[None]
    everything = infer(client, image, iou=1.0, **LOW)[2][0]
    assert len(everything) == 40
    assert (np.diff(everything) <= 0).all()
    assert infer(client, image, iou=1.0, max_det=7, **LOW)[2][0].tolist() == everything[:7].tolist()
    assert set(infer(client, image, classes="1", **LOW)[3][0]) == {1}
    nothing = infer(client, image, conf=1.0)
    assert [tensor.shape for tensor in nothing] == [(1, 1), (1, 0, 4), (1, 0), (1, 0)]
    apart, across = (infer(client, image, iou=0.1, agnostic=a, **LOW)[0] for a in (False, True))
    assert across < apart


def test_several_images_in_one_request(client: triton.InferenceServerClient) -> None:
    images = np.stack([frame(50, 80, seed) * (1 - 0.1 * seed) for seed in range(3)]).astype(
        np.uint8
    )
    counts, boxes, scores, classes = infer(client, images, conf=0.4)
    assert len(set(counts[:, 0])) > 1, "the images should differ, or padding goes untested"
    for row, image in enumerate(images):
        (count,), alone_boxes, alone_scores, alone_classes = (
            tensor[0] for tensor in infer(client, image[None], conf=0.4)
        )
        assert counts[row, 0] == count
        np.testing.assert_allclose(boxes[row, :count], alone_boxes, atol=1e-3)
        np.testing.assert_allclose(scores[row, :count], alone_scores, atol=1e-5)
        np.testing.assert_array_equal(classes[row, :count], alone_classes)
        assert not scores[row, count:].any()


def test_requests_of_different_sizes_and_thresholds_meet_and_part(
    client: triton.InferenceServerClient, stub_server: LocalServer
) -> None:
    asked = [
        (frame(20 + 7 * i, 90 - 5 * i, seed=i), {"conf": 0.05 * i, "max_det": 1 + i})
        for i in range(12)
    ]
    alone = [infer(client, image[None], **parameters) for image, parameters in asked]
    together: dict[int, list[np.ndarray]] = {}

    def call(i: int) -> None:
        with triton.InferenceServerClient(stub_server.grpc_url) as mine:
            together[i] = infer(mine, asked[i][0][None], **asked[i][1])

    def executions() -> tuple[int, int]:
        stats = client.get_inference_statistics("small_detector", as_json=True)["model_stats"][0]
        return int(stats["inference_count"]), int(stats["execution_count"])

    for _ in range(20):
        before = executions()
        threads = [threading.Thread(target=call, args=(i,)) for i in range(len(asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, want in enumerate(alone):
            for mine, theirs in zip(together[i], want, strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-3)
        after = executions()
        if after[1] - before[1] < after[0] - before[0]:
            return
    pytest.fail("twelve concurrent requests never met in one execution of the detector")


@pytest.mark.parametrize("kind", contract.FORMATS)
def test_encoded_equals_the_decoded_frame(client: triton.InferenceServerClient, kind: str) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
    options = {"exif": exif} if turned else {}
    Image.fromarray(cv2.GaussianBlur(frame(60, 90), (0, 0), 2)).save(buffer, kind, **options)
    file = np.frombuffer(buffer.getvalue(), np.uint8)
    pixels = decode(buffer.getvalue(), formats=contract.FORMATS, max_pixels=10**6)
    assert pixels.shape == ((90, 60, 3) if turned else (60, 90, 3))
    got = infer(client, file[None], model="small_encoded", name=contract.ENCODED, **LOW)
    for mine, theirs in zip(got, infer(client, pixels[None], **LOW), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("image", "options", "complaint"),
    [
        (np.zeros((1, 0, 9, 3), np.uint8), {}, "the image is empty: expected pixels, got 9 x 0"),
        (np.zeros((1, 600, 600, 3), np.uint8), {}, "at most 250000 pixels, got 600 x 600 = 360000"),
        (np.zeros((1, 9, 9, 4), np.uint8), {}, "unexpected shape for input 'IMAGE'"),
        (np.zeros((1, 9, 9, 3), np.float32), {}, "data-type is 'FP32', but model"),
        (np.zeros((5, 9, 9, 3), np.uint8), {}, "batch-size must be <= 4"),
        (
            np.zeros((1, 9, 9, 3), np.uint8),
            {"conf": 7.0},
            "conf: expected a number from 0 to 1, got 7",
        ),
        (
            np.zeros((1, 9, 9, 3), np.uint8),
            {"classes": "x"},
            "comma-separated class indices, got 'x'",
        ),
        (np.zeros((1, 9, 9, 3), np.uint8), {"max_det": 0}, "an integer of 1 or more, got 0"),
    ],
)
def test_bad_frame_is_an_invalid_argument(
    client: triton.InferenceServerClient,
    image: np.ndarray,
    options: dict[str, object],
    complaint: str,
) -> None:
    with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT") as caught:
        infer(client, image, **options)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (b"\0" * 64, f"not an image: expected {', '.join(contract.FORMATS)}, got 64 bytes"),
        (cv2.imencode(".jpg", frame(60, 60))[1].tobytes()[:900], "damaged or truncated image"),
        (cv2.imencode(".png", np.zeros((999, 999, 3), np.uint8))[1].tobytes(), "250000 pixels"),
    ],
)
def test_bad_file_is_an_invalid_argument(
    client: triton.InferenceServerClient, file: bytes, complaint: str
) -> None:
    data = np.frombuffer(file, np.uint8)[None]
    with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT") as caught:
        infer(client, data, model="small_encoded", name=contract.ENCODED)
    assert complaint in str(caught.value)


def test_a_bad_request_does_not_hurt_its_neighbours(
    client: triton.InferenceServerClient, stub_server: LocalServer
) -> None:
    good = frame(64, 64)[None]
    want = infer(client, good, **LOW)
    outcomes: list[object] = []

    def call(image: np.ndarray) -> None:
        with triton.InferenceServerClient(stub_server.grpc_url) as mine:
            try:
                outcomes.append(infer(mine, image, **LOW)[2].tolist())
            except InferenceServerException as error:
                outcomes.append(error.status())

    images = [good, np.zeros((1, 0, 9, 3), np.uint8)] * 8
    threads = [threading.Thread(target=call, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(want[2].tolist()) == 8
    assert outcomes.count("StatusCode.INVALID_ARGUMENT") == 8
