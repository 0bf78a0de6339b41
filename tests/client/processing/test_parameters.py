"""The request parameters: what is refused, on both ends, and the input size that is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from fake_triton import FakeTriton, detector_config, picture
from tridet import AsyncDetector, ContractMismatch, Detector, InvalidInput
from tridet.processing.contract import IMGSZ
from tridet.processing.parameters import NmsParameters, ParameterError, check_imgsz


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with FakeTriton() as fake:
        fake.models["pcb"] = detector_config("pcb", input_sizes="[32, 128]")
        yield fake


def sent(fake: FakeTriton) -> tuple[int | None, list[int]]:
    """Return the last request's imgsz and the height and width of its picture."""
    request = fake.requests[-1]
    asked = request.parameters[IMGSZ].int64_param if IMGSZ in request.parameters else None
    return asked, list(request.inputs[0].shape)[1:3]


@pytest.mark.parametrize("transport", ["auto", "fit", "raw"])
def test_a_calls_size_beats_the_detectors(fake: FakeTriton, transport: str) -> None:
    image = picture(640, 320)
    whole = [320, 640] if transport == "raw" else None
    with Detector(fake.url, "pcb", transport=transport) as detector:  # type: ignore[arg-type]
        detector(image)
        assert sent(fake) == (None, whole or [32, 64])
        detector(image, imgsz=128)
        assert sent(fake) == (128, whole or [64, 128])
    with Detector(fake.url, "pcb", transport=transport, imgsz=96) as detector:  # type: ignore[arg-type]
        for found in detector([image, image]):
            assert len(found) == 2
        assert sent(fake) == (96, whole or [48, 96])
        detector(image, imgsz=np.int64(32))
        assert sent(fake) == (32, whole or [16, 32])


def test_async_twin(fake: FakeTriton) -> None:
    async def main() -> None:
        async with AsyncDetector(fake.url, "pcb", transport="fit") as detector:
            await detector(picture(640, 320), imgsz=128)

    asyncio.run(main())
    assert sent(fake) == (128, [64, 128])


@pytest.mark.parametrize("imgsz", [16, 160, 100, 0, -32, "96", 96.0, True, float("nan")])
def test_other_sizes_are_refused_before_anything_is_sent(fake: FakeTriton, imgsz: object) -> None:
    expected = r"imgsz: expected a multiple of 32 from 32 to 128, got"
    with Detector(fake.url, "pcb") as detector, pytest.raises(InvalidInput, match=expected):
        detector(picture(64, 64), imgsz=imgsz)  # type: ignore[arg-type]
    assert fake.calls["ModelInfer"] == 0


def test_a_model_rendered_before_takes_its_one_size() -> None:
    with FakeTriton() as fake, Detector(fake.url, "pcb") as detector:
        assert detector.connect().input_sizes == (64, 64)
        assert len(detector(picture(640, 320), imgsz=64)) == 2
        with pytest.raises(InvalidInput, match="expected 64, this model's only input size, got 96"):
            detector(picture(640, 320), imgsz=96)


@pytest.mark.parametrize("stated", ["[64]", "64", "[32, true]", '["32", "64"]', "[32, 64, 96]"])
def test_sizes_that_do_not_follow_the_contract(fake: FakeTriton, stated: str) -> None:
    fake.models["pcb"] = detector_config("pcb", input_sizes=stated)
    with (
        pytest.raises(ContractMismatch, match=r"expected tridet\.input_sizes to hold"),
        Detector(fake.url, "pcb"),
    ):
        pass


@pytest.mark.parametrize("size", [64, 96, 128])
def test_check_takes_the_sizes(size: int) -> None:
    assert check_imgsz(size, 64, 128) == size


def test_check_names_the_only_size() -> None:
    with pytest.raises(ParameterError, match="expected 64, this model's only input size, got None"):
        check_imgsz(None, 64, 64)


DEFAULTS = NmsParameters(conf=0.25, iou=0.7, max_det=300, agnostic=False)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"conf": 1.01}, "conf: expected a number from 0 to 1, got 1.01"),
        ({"conf": "0.5"}, "conf: expected a number from 0 to 1, got '0.5'"),
        ({"iou": True}, "iou: expected a number from 0 to 1, got True"),
        ({"iou": float("nan")}, "iou: expected a number from 0 to 1, got nan"),
        ({"max_det": 0}, "max_det: expected an integer of 1 or more, got 0"),
        ({"max_det": 2.0}, "max_det: expected an integer of 1 or more, got 2.0"),
        ({"agnostic": 1}, "agnostic: expected true or false, got 1"),
        ({"classes": "a"}, "classes: expected comma-separated class indices, got 'a'"),
        ({"classes": "-1"}, "classes: expected comma-separated class indices, got '-1'"),
        ({"classes": 1}, "classes: expected a string like '0,2', got 1"),
    ],
)
def test_bad_request_parameters(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + complaint.replace("'", ".")):
        DEFAULTS.overridden(parameters)


def test_request_parameters_override_and_strangers_are_left_alone() -> None:
    got = DEFAULTS.overridden({"conf": 0, "classes": " 2, 0,", "priority": 7})
    assert (got.conf, got.classes, got.iou) == (0, (2, 0), 0.7)
    assert DEFAULTS.overridden({"classes": ""}).classes == ()
    assert DEFAULTS.overridden({}) == DEFAULTS
