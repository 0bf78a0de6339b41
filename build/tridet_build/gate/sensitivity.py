"""Which parts of an INT8 detector hurt: quantize one block at a time and compare detections.

A block is what shares the first part of its node names, a layer of the network in Ultralytics'
exports. Nothing is calibrated again: the Q/DQ pairs of all other blocks are taken out.
"""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from rich.table import Table

from tridet_build.datasets.images import usable
from tridet_build.errors import PrecisionError
from tridet_build.gate.detections import Comparison, Settings, compare, detect
from tridet_build.onnx.file import read_onnx
from tridet_build.precision.qdq import without_qdq
from tridet_build.precision.report import HEAVY, computes_in

MOST_IMAGES: Final = 32
"""More images than this make the report slower and no clearer."""


@dataclass(frozen=True)
class Block:
    """One block in INT8 and everything else in FP16, against FP32.

    Attributes:
        name: the first part of its nodes' names.
        nodes: how many convolutions and matrix products of it are in INT8.
        comparison: of the detections.
    """

    name: str
    nodes: int
    comparison: Comparison

    @property
    def pattern(self) -> str:
        """Return what excludes this block from quantization."""
        return f"/{re.escape(self.name)}/.*" if self.name else ".*"

    @property
    def harm(self) -> float:
        """Mean harm to a detection: 0 for none, 1 if it is gone."""
        seen = self.comparison
        moved = seen.matched * (1 - seen.iou_mean + abs(seen.drift_mean))
        return (moved + seen.missed + seen.extra) / max(1, seen.reference)


@dataclass(frozen=True)
class Sensitivity:
    """Of the blocks of one variant.

    Attributes:
        blocks: the most harmful first.
        left: names of the blocks that there was no time for.
        unreadable: a line for each image that was left out: its path and why.
    """

    blocks: list[Block]
    left: list[str]
    unreadable: tuple[str, ...]


def sensitivity(
    source: Path,
    variant: Path,
    *,
    images: Sequence[Path],
    settings: Settings,
    budget_s: float = 600.0,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Measure each block of an INT8 variant.

    Args:
        source: plain ONNX, FP32.
        variant: its INT8 variant, by :func:`tridet_build.precision.convert.to_int8`.
        images: real images; the first ``MOST_IMAGES`` that can be read are used.
        settings: how the detector is served.
        budget_s: no further block is begun after this time, in seconds.
        progress: called with (blocks done, blocks in all).

    Raises:
        ImagesError: none of the images can be read.
        OnnxError: one of the two is not an ONNX file.
        PrecisionError: the variant has nothing in INT8.
    """
    start = time.monotonic()
    chosen = usable(images, "sensitivity", most=MOST_IMAGES, max_pixels=settings.max_pixels)
    model = read_onnx(variant)
    heavy = {node.name for node in model.graph.node if node.op_type in HEAVY}
    quantized = {name for name, kind in computes_in(model).items() if kind == "int8"}
    names = sorted({block_of(name) for name in quantized})
    if not names:
        raise PrecisionError(f"{variant}: expected Q/DQ pairs, found none")
    before = detect(source, chosen.images, settings)
    blocks: list[Block] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "block.onnx"
        for name in names:
            if blocks and time.monotonic() - start > budget_s:
                break
            mine = {node for node in quantized if block_of(node) == name}
            onnx.save(without_qdq(model, quantized - mine), path)
            after = detect(path, chosen.images, settings)
            compared = compare(before, after, settings.thresholds.conf)
            blocks.append(Block(name, len(mine & heavy), compared))
            if progress:
                progress(len(blocks), len(names))
    blocks.sort(key=lambda block: -block.harm)
    return Sensitivity(blocks, names[len(blocks) :], chosen.unreadable)


def block_of(name: str) -> str:
    """Return the first part of a node's name: ``model.10`` of ``/model.10/cv1/conv/Conv``."""
    return name.split("/")[1] if name.startswith("/") else ""


def sensitivity_table(blocks: Sequence[Block]) -> Table:
    """Lay out blocks, most harmful first."""
    table = Table(title="One block in INT8, the rest in FP16, against FP32", title_justify="left")
    table.add_column("exclude")
    for name in ("INT8 nodes", "harm", "missed", "extra", "IoU mean", "score drift"):
        table.add_column(name, justify="right")
    for block in blocks:
        seen = block.comparison
        table.add_row(
            block.pattern,
            str(block.nodes),
            f"{block.harm:.4f}",
            str(seen.missed),
            str(seen.extra),
            f"{seen.iou_mean:.4f}",
            f"{seen.drift_mean:+.4f}",
        )
    return table
