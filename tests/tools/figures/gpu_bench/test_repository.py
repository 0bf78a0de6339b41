"""The repository with the stand-in for a plan."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from gpu_bench.repository import Setup, detector_folder, write_repository
from tridet_build.manifest.manifest import load_manifest
from tritonclient.grpc import model_config_pb2 as pb

PCB = Path(__file__).resolve().parents[4] / "models" / "pcb"


def test_only_the_detector_step_is_replaced(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk"
    trunk.write_bytes(b"network")
    root = tmp_path / "repository"
    write_repository(load_manifest(PCB), Setup(3, 2, 4, "cuda", max_batch=8, gpus=2), trunk, root)
    assert (detector_folder(root, "pcb") / "trunk.pt").read_bytes() == b"network"
    config = text_format.Parse(
        (root / "pcb_detector/configs/python.pbtxt").read_text(), pb.ModelConfig()
    )
    assert config.max_batch_size == 8
    assert config.instance_group[0].count == 2
    assert config.parameters["device"].string_value == "cuda"
    assert config.parameters["gpus"].string_value == "2"
    assert config.parameters["batches"].string_value == "[1, 2, 4, 8]"
    product = PCB.parents[1] / "model_repository/preprocess_640/1/model.py"
    assert (root / "preprocess_640/1/model.py").read_bytes() == product.read_bytes()
