"""A plan and its record reach the repository, or nothing does."""

from pathlib import Path
from typing import Any

import pytest
from chain_parts import in_precision, stages
from stub_onnx import write_stub
from tridet_build.chain import deliver
from tridet_build.chain import prepare as chain
from tridet_build.chain.record import read_record
from tridet_build.errors import (
    BuildError,
)
from tridet_build.manifest.manifest import Manifest
from tridet_build.repository.render import render


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_a_plan_with_its_record_reaches_the_repository(detector: Manifest, tmp_path: Path) -> None:
    said: list[str] = []
    ready = chain.prepare(detector, stages(tmp_path))
    root = tmp_path / "repository"
    for _ in range(2):
        built = deliver.deliver(ready, root, stages(tmp_path, said))
    assert said == ["plan …", "plan: unchanged, skipped"]
    assert built.tensorrt.startswith("tensorrt-rtx ")
    version = root / "one_detector" / "1"
    record = read_record(version / "build.json")
    assert record.plan is not None
    assert record.plan.bytes == (version / "model.plan").stat().st_size
    assert (record.source.name, record.asked) == ("weights.onnx", "fp32")
    facts = deliver.build_facts(ready, root)
    assert facts["plan_sha256"] == record.plan.sha256
    files = render([ready.manifest], builds={"one": facts})
    assert record.plan.sha256.encode() in files["one/config.pbtxt"]
    # Other weights: the record is of another graph, and must not speak for this one.
    write_stub(detector.weights, seed=1)
    other = chain.prepare(detector, stages(tmp_path))
    assert "plan_sha256" not in deliver.build_facts(other, root)


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_what_is_not_proved_does_not_reach_the_repository(
    detector: Manifest, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real TensorRT the plan is run before it is served; that part is played here."""
    (images / "1.png").write_bytes(b"half")
    ready = chain.prepare(in_precision(detector, "fp32", images), stages(tmp_path))
    root = tmp_path / "repository"
    real = deliver.tensorrt()[0]
    monkeypatch.setattr(deliver, "tensorrt", lambda: (real, "tensorrt"))
    verified = []
    said: list[str] = []

    def refuse(plan: Path, graph: Path, found: list[Path], *_: Any, **__: Any) -> None:
        verified.append((plan.name, graph.name, len(found)))
        raise BuildError("differs from ONNX Runtime")

    monkeypatch.setattr(deliver, "verify_plan", refuse)
    with pytest.raises(BuildError, match="differs from ONNX Runtime"):
        deliver.deliver(ready, root, stages(tmp_path, said))
    assert said[0].startswith("note: verification: 1 images cannot be read, left out: ")
    assert verified == [("model.plan", "one.onnx", 2)]
    assert not root.exists()
