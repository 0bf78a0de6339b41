"""The server's own account of itself, in the benchmark's terms."""

from bench_pipelines.triton_stats import outside_detector_ms, total
from tridet.server_info import StepTime, difference, observation_from_statistics
from tritonclient.grpc import service_pb2


def statistics(name: str, requests: int) -> service_pb2.ModelStatistics:
    stats = service_pb2.ModelStatistics(
        name=name, inference_count=2 * requests, execution_count=requests
    )
    parts = {"success": 10, "queue": 1, "compute_input": 2, "compute_infer": 4, "compute_output": 3}
    for part, ms in parts.items():
        duration = getattr(stats.inference_stats, part)
        duration.count, duration.ns = requests, ms * requests * 1_000_000
    return stats


def test_statistics_are_differences_per_request() -> None:
    before, after = (
        observation_from_statistics([statistics("nms", count)]).steps for count in (3, 8)
    )
    steps = difference(before, after)
    assert steps["nms"].requests == 5
    assert steps["nms"].ms("success") == 10
    assert steps["nms"].ms("compute_infer") == 4
    assert steps["nms"].mean_batch == 2
    assert difference({}, after) == after
    assert total([steps, steps])["nms"].requests == 10
    assert StepTime().ms("queue") == 0
    assert StepTime().mean_batch == 0


def test_outside_the_detector() -> None:
    both = [statistics("ensemble", 2), statistics("detector", 2)]
    steps = observation_from_statistics(both).steps
    assert outside_detector_ms(steps, "ensemble", "detector") == (6, 0)
