"""The repository with all pipelines."""

from pathlib import Path

from bench_pipelines.repository import write_repository


def test_the_naive_ensemble_has_tridets_instances_and_batching(tmp_path: Path) -> None:
    write_repository(tmp_path)
    for naive, ours in (
        ("naive_preprocess/config.pbtxt", "preprocess_640/config.pbtxt"),
        ("naive_nms/config.pbtxt", "nms/config.pbtxt"),
        ("stub_raw/config.pbtxt", "bench_detector/configs/python.pbtxt"),
    ):
        blocks = [
            [part for part in _blocks(tmp_path / name) if part.startswith(("instance", "dynamic"))]
            for name in (naive, ours)
        ]
        assert blocks[0] == blocks[1]
        assert blocks[0]


def _blocks(path: Path) -> list[str]:
    """Top-level blocks of a text protobuf."""
    return path.read_text().replace("\n}\n", "\n}\n\0").split("\0")
