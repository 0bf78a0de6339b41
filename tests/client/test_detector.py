"""The blocking detector against a fake Triton: what goes over the wire, and what comes back."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from fake_triton import INPUT_SIZE, LABELS, detect, picture
from tridet import Detector, InvalidInput

SIZES = [(1333, 777), (65, 64), (64, 641), (1921, 1079), (3001, 17), (50, 33), (64, 64)]
TRANSPORTS = ["auto", "fit", "raw", "encoded", "shm"]


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def test_fit_sends_the_resized_frame(fake):
    with Detector(fake.url, "pcb", transport="fit") as detector:
        detector(picture(1920, 1080))
    (request,) = fake.requests
    (tensor,) = request.inputs
    assert request.model_name == "pcb"
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == (
        "IMAGE",
        "UINT8",
        [1, INPUT_SIZE * 1080 // 1920, INPUT_SIZE, 3],
    )
    assert len(request.raw_input_contents[0]) == np.prod(tensor.shape)


def test_fit_sends_small_frames_as_they_are(fake):
    image = picture(50, 33)
    with Detector(fake.url, "pcb", transport="fit") as detector:
        detector(image)
    assert fake.requests[0].raw_input_contents[0] == image.tobytes()


def test_raw_sends_every_pixel_of_a_view(fake):
    image = picture(200, 300)[::-1, ::2]
    with Detector(fake.url, "pcb", transport="raw") as detector:
        detector(image)
    assert list(fake.requests[0].inputs[0].shape) == [1, 300, 100, 3]
    assert fake.requests[0].raw_input_contents[0] == image.tobytes()


def test_encoded_sends_the_files_bytes(fake, tmp_path):
    path = tmp_path / "board.png"
    path.write_bytes(png(picture(300, 200)))
    with Detector(fake.url, "pcb", transport="encoded") as detector:
        detections = detector(path)
    (request,) = fake.requests
    assert request.model_name == "pcb_encoded"
    assert request.inputs[0].name == "ENCODED"
    assert list(request.inputs[0].shape) == [1, path.stat().st_size]
    assert request.raw_input_contents[0] == path.read_bytes()
    assert detections.image_size == (300, 200)


def test_encoded_turns_an_array_into_a_jpeg(fake):
    with Detector(fake.url, "pcb", transport="encoded") as detector:
        detector(picture(300, 200))
    assert fake.requests[0].raw_input_contents[0].startswith(b"\xff\xd8")


def test_shm_sends_a_region_and_reuses_it(fake):
    with Detector(fake.url, "pcb", transport="shm") as detector:
        for size in [(300, 200), (100, 50), (300, 200), (640, 480)]:
            detector(picture(*size))
    assert [list(request.raw_input_contents) for request in fake.requests] == [[]] * 4
    names = [r.inputs[0].parameters["shared_memory_region"].string_param for r in fake.requests]
    assert names[0] == names[1] == names[2] != names[3]
    assert fake.calls["register"] == fake.calls["unregister"] == 2
    assert not fake.regions


def test_auto_sends_the_resized_frame_in_shared_memory_where_it_can(fake):
    with Detector(fake.url, "pcb") as detector:
        detector(picture(1920, 1080))
        detector(picture(1920, 1080))
    for request in fake.requests:
        assert not request.raw_input_contents
        assert list(request.inputs[0].shape) == [1, INPUT_SIZE * 1080 // 1920, INPUT_SIZE, 3]
    assert fake.calls["register"] == 1


def test_auto_sends_over_the_wire_to_a_server_elsewhere(fake):
    """A loopback address may be a port that is forwarded to another machine."""
    fake.shares_memory = False
    with Detector(fake.url, "pcb") as detector:
        boxes = [detector(picture(1920, 1080)).boxes for _ in range(3)]
    assert len(boxes[0]) > 0
    assert [len(request.raw_input_contents) for request in fake.requests] == [1, 1, 1]
    assert fake.calls["register"] == 1, "tried once, not with every frame"


@pytest.mark.parametrize("size", SIZES)
def test_all_transports_give_the_same_boxes(fake, size):
    image = picture(*size)
    boxes, scores, class_ids = detect(image)
    for transport in TRANSPORTS:
        with Detector(fake.url, "pcb", transport=transport) as detector:
            detections = detector(png(image))
        np.testing.assert_allclose(detections.boxes, boxes, atol=0.01)
        np.testing.assert_array_equal(detections.scores, scores)
        np.testing.assert_array_equal(detections.class_ids, class_ids)
        assert detections.image_size == size
        assert detections.boxes.dtype == np.float32
        assert (detections.boxes[:, 2] <= size[0]).all()
        assert (detections.boxes[:, 3] <= size[1]).all()


def test_an_image_without_objects(fake):
    with Detector(fake.url, "pcb") as detector:
        detections = detector(np.zeros((100, 200, 3), np.uint8))
    assert len(detections) == 0
    assert detections.boxes.shape == (0, 4)


@pytest.mark.parametrize("transport", ["fit", "encoded"])
def test_exif_orientation_counts_in_every_transport(fake, transport, tmp_path):
    from PIL import Image

    path = tmp_path / "turned.png"
    turned = np.ascontiguousarray(np.rot90(picture(300, 200)))  # left, so EXIF has to turn it right
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(turned[:, :, ::-1]).save(path, exif=exif)
    with Detector(fake.url, "pcb", transport=transport) as detector:
        detections = detector(path)
        upright = detector(png(picture(300, 200)))
    assert detections.image_size == (300, 200)
    np.testing.assert_allclose(detections.boxes, upright.boxes, atol=0.01)


def parameters_of(request) -> dict[str, object]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in request.parameters.items()
    }


def test_thresholds_travel_as_parameters_over_the_models_defaults(fake):
    image = picture(64, 64)
    with Detector(fake.url, "pcb", conf=0.5, classes=["red", 0], timeout_s=8) as detector:
        detector(image)
        detector(image, conf=1, iou=0.25, max_det=3, classes=[], agnostic=True)
        detector(image, conf=None)
    first, second, third = (parameters_of(request) for request in fake.requests)
    assert 6_500_000 < first.pop("timeout") <= 7_200_000
    assert first == {"conf": 0.5, "iou": 0.45, "classes": "2,0"}
    second.pop("timeout")
    assert second == {"conf": 1.0, "iou": 0.25, "max_det": 3, "classes": "", "agnostic": True}
    assert type(second["conf"]) is float
    assert third["conf"] == 0.5


def test_the_model_describes_itself(fake):
    with Detector(fake.url, "pcb") as detector:
        info = detector.connect()
    assert (info.name, info.labels, info.input_size) == ("pcb", LABELS, INPUT_SIZE)
    assert info.precision == "fp32"
    assert info.defaults["conf"] == 0.25
    assert fake.calls["ModelConfig"] == 1


def test_a_list_keeps_its_order_however_long_each_takes(fake):
    delays = iter([0.2, 0.0, 0.1, 0.0, 0.05, 0.0])
    fake.on_infer = lambda *_: time.sleep(next(delays))
    images = [picture(100 + i, 64) for i in range(6)]
    with Detector(fake.url, "pcb") as detector:
        results = detector(images)
    assert [result.image_size[0] for result in results] == [100, 101, 102, 103, 104, 105]


def test_imap_overlaps_requests_within_its_bound(fake):
    together = threading.Barrier(3)
    fake.on_infer = lambda *_: together.wait(timeout=30)
    with Detector(fake.url, "pcb", timeout_s=30) as detector:
        results = list(detector.imap((picture(64, 64) for _ in range(9)), in_flight=3))
    assert len(results) == 9
    assert fake.most_in_flight == 3


def test_imap_holds_few_images_however_many_there_are(fake):
    alive: weakref.WeakSet[Image] = weakref.WeakSet()
    most = 0

    def images():
        nonlocal most
        for _ in range(200):
            image = Image((64, 64, 3), np.uint8)
            alive.add(image)
            most = max(most, len(alive))
            yield image
            del image

    fake.requests = type("Forgetful", (list,), {"append": lambda *_: None})()
    with Detector(fake.url, "pcb") as detector:
        assert sum(1 for _ in detector.imap(images(), in_flight=4)) == 200
    gc.collect()
    assert most <= 6  # those in flight, and the one at hand on either side
    assert not alive


class Image(np.ndarray):
    """An array that weak references can follow by identity."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def test_imap_raises_the_error_at_its_turn_and_stops(fake):
    taken = []

    def images():
        for name in ["ok", "bad", *["never"] * 50]:
            taken.append(name)
            yield picture(64, 64) if name != "bad" else b"not an image"

    with Detector(fake.url, "pcb") as detector:
        results = detector.imap(images(), in_flight=2)
        assert len(next(results)) == 2
        with pytest.raises(InvalidInput, match="not an image"):
            list(results)
    assert len(taken) < 6


def test_many_threads_share_a_detector(fake):
    with (
        Detector(fake.url, "pcb", transport="shm") as detector,
        ThreadPoolExecutor(8) as pool,
    ):
        sizes = [(100 + i, 80 + i) for i in range(64)]
        results = list(pool.map(lambda size: detector(picture(*size)), sizes))
    assert [result.image_size for result in results] == sizes
    for size, result in zip(sizes, results, strict=True):
        np.testing.assert_allclose(result.boxes, detect(picture(*size))[0], atol=0.01)
    assert fake.calls["register"] == fake.calls["unregister"]


def test_threads_may_make_the_first_call_together(fake):
    detector = Detector(fake.url, "pcb")
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(detector, [picture(64, 64)] * 8))) == 8
    detector.close()


def test_nothing_is_sent_before_the_first_call_and_after_close(fake):
    detector = Detector(fake.url, "pcb")
    assert not fake.calls
    detector.close()
    detector.close()
    with pytest.raises(RuntimeError, match="closed"):
        detector(picture(64, 64))


def test_grpc_url_scheme_is_accepted(fake):
    with Detector(f"grpc://{fake.url}", "pcb") as detector:
        assert len(detector(picture(64, 64))) == 2
