"""A build record, as one stands beside a plan."""

from tridet_build.chain.record import (
    BuildRecord,
    CalibrationRecord,
    File,
    GateRecord,
    Profile,
    TensorRT,
)
from tridet_build.plan.machine import Gpu

HASH = "0123456789abcdef" * 4
L4 = Gpu("NVIDIA L4", "8.9")
RECORD = BuildRecord(
    detector="pcb",
    created="2026-11-21T09:00:00.000Z",
    source=File("pcb.pt", HASH, 10),
    onnx=File("pcb.onnx", HASH, 20),
    graph=File("model.onnx", HASH, 30),
    plan=File("model.plan", HASH, 40),
    tensorrt=TensorRT("tensorrt", "10.14.1.48"),
    gpu=L4,
    asked="int8",
    achieved="int8",
    layers={"int8": 64, "fp16": 24},
    profiles={"images": Profile((1, 64, 64, 3), (8, 64, 64, 3), (16, 64, 64, 3))},
    calibration=CalibrationRecord(HASH, 500, "entropy"),
    gates={"precision": GateRecord(True, {"map_lost_points": 0.4}, {"map_lost_points": 1.0})},
    tools={"onnx": "1.20.0"},
    timings_s={"plan": 12.5},
)
