"""What a server says of itself: read once, for status, bench and evaluation."""

from __future__ import annotations

import pytest
from fake_triton import FakeTriton
from tridet import ContractMismatch, ServerFailed, ServerUnreachable
from tridet.server_info import ServerInfo, StepTime, difference, observation_from_statistics
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig


def asked(fake: FakeTriton) -> ServerInfo:
    return ServerInfo(fake.url, None, 10.0)


def statistics(requests: int) -> service_pb2.ModelStatistics:
    """Each request took 1 ms in the queue and 4 ms in the model, two a batch."""
    stats = service_pb2.ModelStatistics(
        name="nms", inference_count=requests, execution_count=requests // 2
    )
    stats.inference_stats.success.count = requests
    stats.inference_stats.fail.count = 1
    stats.inference_stats.queue.ns = requests * 1_000_000
    stats.inference_stats.compute_infer.ns = requests * 4_000_000
    batch = stats.batch_stats.add(batch_size=2)
    batch.compute_infer.count, batch.compute_infer.ns = requests // 2, requests * 2_000_000
    return stats


def test_status_joins_the_models_with_what_they_have_done() -> None:
    with FakeTriton() as fake, asked(fake) as info:
        status = info.status()
    assert (status.name, status.version, status.ready) == ("triton", "2.51.0", True)
    assert [model.name for model in status.models] == sorted(fake.models)
    pcb = next(model for model in status.models if model.name == "pcb")
    assert (pcb.version, pcb.state) == ("1", "READY")
    assert (pcb.done.requests, pcb.done.mean_batch) == (6, 2.0)
    assert (pcb.done.ms("queue"), pcb.done.ms("compute_infer")) == (1.0, 4.5)
    others = [model.done for model in status.models if model.name != "pcb"]
    assert others == [StepTime()] * len(others)


def test_observations_differ_by_what_happened_between_them() -> None:
    before, after = (observation_from_statistics([statistics(count)]) for count in (4, 10))
    (done,) = difference(before.steps, after.steps).values()
    assert (done.requests, done.executions, done.failures) == (6, 3, 0)
    assert (done.ms("queue"), done.ms("compute_infer"), done.mean_batch) == (1.0, 4.0, 2.0)
    assert done.busy_ns == 6 * 2_000_000
    assert difference({}, after.steps) == after.steps
    assert after.batches == {"nms": {2: (5, 20.0)}}


def test_a_model_that_is_no_ensemble_has_no_steps() -> None:
    text = "expected an ensemble, got a single model"
    with FakeTriton() as fake, asked(fake) as info, pytest.raises(ContractMismatch, match=text):
        info.step_configs("nms")


def test_a_call_that_fails_is_an_error_of_ours() -> None:
    with FakeTriton() as fake:
        with asked(fake) as info:
            del fake.models["pcb"]
            with pytest.raises(ServerFailed, match="not found"):
                info.step_configs("pcb")
        fake.stop()
        with asked(fake) as info, pytest.raises(ServerUnreachable, match=fake.url):
            info.version()


def test_the_warm_up_is_no_request_of_anybody() -> None:
    config = ModelConfig(name="nms")
    config.instance_group.add(count=2)
    config.model_warmup.add(batch_size=1)
    config.model_warmup.add(batch_size=8, count=2)
    # Two instances: 2 x 1 and 2 x 2 x 8 images, in 2 x 1 and 2 x 2 executions.
    done = StepTime(requests=44, executions=16, inferences=44, queue_ns=44_000_000, failures=3)
    left = done.without_warm_up(config)
    assert (left.requests, left.executions, left.inferences, left.failures) == (10, 10, 10, 3)
    assert left.ms("queue") == 1.0
    assert StepTime(requests=34, executions=6, inferences=34).without_warm_up(config) == StepTime()


def test_status_leaves_the_warm_up_out() -> None:
    with FakeTriton() as fake, asked(fake) as info:
        fake.models["pcb"].instance_group.add(count=1)
        fake.models["pcb"].model_warmup.add(batch_size=4)
        pcb = next(model for model in info.status().models if model.name == "pcb")
    assert (pcb.done.requests, pcb.done.ms("compute_infer")) == (2, 4.5)
