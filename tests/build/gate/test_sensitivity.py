"""Blocks, and how much each harms."""

import pytest
from tridet_build.gate.detections import Comparison
from tridet_build.gate.sensitivity import Block, block_of


def test_blocks_are_named_and_ordered_by_harm() -> None:
    assert block_of("/model.10/cv1/conv/Conv") == "model.10"
    assert block_of("Conv_12") == ""
    fine = Comparison(2, 10, 10, 10, 0, 0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0)
    bad = Comparison(2, 10, 9, 8, 2, 1, 0.9, 0.8, 0.7, -0.05, 0.1, 0.2, 0)
    assert Block("model.10", 3, fine).harm == 0
    assert Block("model.10", 3, bad).harm == pytest.approx((8 * 0.15 + 3) / 10)
    assert Block("model.10", 3, bad).pattern == r"/model\.10/.*"
