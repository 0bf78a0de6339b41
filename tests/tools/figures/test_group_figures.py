"""tools/figures/group_figures.py: a second detector that differs, and both ways measured."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from group_figures import main, perturbed
from stub_onnx import write_detector
from tridet_build.manifest.manifest import load_manifest

PCB = Path(__file__).parents[3] / "models" / "pcb"


def test_the_second_detector_has_other_weights_and_labels(tmp_path: Path) -> None:
    first = load_manifest(PCB)
    second = perturbed(first, tmp_path / "second.onnx")
    assert not set(first.labels) & set(second.labels)
    image = np.full((1, 3, 640, 640), 0.5, np.float32)
    outputs = [
        onnxruntime.InferenceSession(one.weights).run(None, {"images": image})[0]
        for one in (first, second)
    ]
    assert outputs[0].shape == outputs[1].shape
    assert not np.allclose(outputs[0], outputs[1], atol=1e-3)


@pytest.mark.server
def test_every_way_is_measured(tmp_path: Path) -> None:
    write_detector(tmp_path / "one")
    result = CliRunner().invoke(main, ["--model", str(tmp_path / "one"), "--calls", "2"])
    assert result.exit_code == 0, result.output
    first, second, third = result.output.splitlines()
    assert first.startswith("one request to the group: ")
    assert second.startswith("two requests, one after the other: ")
    assert third.startswith("two requests at once: ")
