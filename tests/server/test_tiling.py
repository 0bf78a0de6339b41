"""Tiles on the real tritonserver: the default detector finds what it misses in one look."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_triton import LocalServer
from tiles_recall import SCENES, draw, hits
from tridet import Detector
from tridet_build.manifest.manifest import load_manifest
from tridet_build.repository.render import write

pytestmark = pytest.mark.server
PCB = Path(__file__).parents[2] / "models" / "pcb"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    repository = tmp_path_factory.mktemp("pcb")
    write([load_manifest(PCB)], repository)
    with LocalServer(repository) as server, Detector(server.grpc_url, "pcb") as detector:
        yield detector


def test_tiles_find_what_one_look_at_a_large_panel_misses(detector: Detector) -> None:
    panel, truth = draw(SCENES["panel-2x2"], 0)
    assert panel.shape == (3000, 4000, 3)
    assert len(truth) >= 15
    one_look = detector(panel)
    assert hits(one_look, truth) < 0.6 * len(truth)
    found = detector(panel, tiles="2x2")
    assert hits(found, truth) >= 0.95 * len(truth)
    alone = detector(panel, tiles="2x2", whole=False)
    assert hits(alone, truth) >= 0.95 * len(truth)
    assert len(alone) - hits(alone, truth) <= 0.1 * len(truth)


def test_what_is_too_large_for_the_tiles_is_found_in_the_whole_image(detector: Detector) -> None:
    board, truth = draw(SCENES["one board"], 0)
    assert hits(detector(board, tiles="3x3", whole=False), truth) < len(truth)
    assert hits(detector(board, tiles="3x3"), truth) == len(truth)
