import errno
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from build_records import HASH, L4, RECORD
from tridet_build.chain.record import (
    GateRecord,
    TensorRT,
    plan_fields,
    read_record,
    record_file,
    record_from_fields,
    tool_versions,
    write_record,
)
from tridet_build.errors import RecordError
from tridet_build.manifest.sizes import Span
from tridet_build.plan.settings import PlanReport, PlanSettings


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "1" / "build.json"
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    least = replace(RECORD, plan=None, tensorrt=None, gpu=None, calibration=None, gates={})
    write_record(path, least)
    assert read_record(path) == least


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"asked": "fp8"}, "asked: Input should be 'fp32', 'fp16' or 'int8'"),
        ({"source": {"name": "a", "sha256": "abc", "bytes": 1}}, "source.sha256: String should"),
        ({"gpu": {"name": "NVIDIA L4"}}, "gpu.compute_capability: Field required"),
        ({"layers": {"fp16": "80"}}, "layers.fp16: Input should be a valid integer"),
        ({"version": 2}, "version: Input should be 1"),
        ({"surprise": 1}, "surprise: Unexpected keyword argument"),
    ],
)
def test_reading_validates(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "build.json"
    write_record(path, RECORD)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert f"{path}: not a build record: {complaint}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_what_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such build record"):
        read_record(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"detector": "pc')
    with pytest.raises(RecordError, match="not a build record: file: Invalid JSON"):
        read_record(tmp_path / "half.json")


def test_full_disk_keeps_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "build.json"
    write_record(path, RECORD)

    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RecordError, match=r"cannot be written: No space left on device"):
        write_record(path, replace(RECORD, detector="other"))
    assert read_record(path) == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ["build.json"]


def test_record_file(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"abc")
    file = record_file(path)
    assert (file.name, file.bytes, file.sha256[:8]) == ("a.onnx", 3, "ba7816bf")
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        record_file(tmp_path / "none")


def test_summary() -> None:
    assert RECORD.summary() == {
        "weights": "pcb.pt",
        "weights_sha256": HASH,
        "precision": "int8",
        "created": "2026-11-21T09:00:00.000Z",
        "plan_sha256": HASH,
        "tensorrt": "10.14.1.48",
        "gpu": "NVIDIA L4 (compute capability 8.9)",
        "gates": "passed",
    }
    failed = replace(RECORD, gates={"precision": GateRecord(False, {})}, plan=None, gpu=None)
    assert failed.summary()["gates"] == "failed"
    assert "gpu" not in failed.summary()


def test_plan_fields_come_from_the_plan_stage() -> None:
    settings = PlanSettings(
        precision="fp16", batch=Span(1, 2, 4), size=Span.only(64), hardware="ampere_plus"
    )
    report = PlanReport(
        plan=Path("model.plan"),
        seconds=1.5,
        bytes=40,
        sha256=HASH,
        flavour="tensorrt",
        version="10.14.1.48",
        gpu=L4,
        asked="fp16",
        achieved="fp16",
        network={"fp16": 90},
        engine={"fp16": 64},
        layers=547,
        profile=settings.profile,
        settings=settings,
    )
    others = ("detector", "source", "onnx", "graph")
    fields = {name: asdict(RECORD)[name] for name in others}
    record = record_from_fields({**fields, **plan_fields(report, "images")})
    assert record.tensorrt == TensorRT("tensorrt", "10.14.1.48", "ampere_plus")
    assert record.layers == {"fp16": 64}
    assert record.profiles["images"].max == (4, 64, 64, 3)


def test_fields_that_make_no_record() -> None:
    with pytest.raises(RecordError, match="not a build record: detector: "):
        record_from_fields({})


def test_tools() -> None:
    assert {"tridet", "onnx"} <= tool_versions().keys()
