"""Attacks on the real server, and what came of each: the table of docs/reliability.md.

    python tools/figures/attack.py [--images 2000]

`make attack` runs it. The server is a local one that is kept up, with a detector that costs
nothing; everything is sent to this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import multiprocessing
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import cv2
import grpc
import numpy as np
from local_triton import LocalServer, ServeError
from overload import NAME, write_repository
from PIL import Image
from tridet import AsyncDetector, Detector, TridetError
from tridet.channel import open_channel
from tridet_bench.table import Table
from tritonclient.grpc import service_pb2, service_pb2_grpc

_BATCH_S = 0.005
_PIXELS = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
_PATIENCE_S = 60.0
_DAMAGED = 2000
_CANCELLED = 300
_BY_HAND = 1000

Said = tuple[str, float | None]
"""What came of an attack, and after how many seconds the server detected again."""


class Target:
    """A server under attack."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server

    def detects(self) -> bool:
        """Whether a lone request is served."""
        try:
            with Detector(self.server.grpc_url, NAME, retries=0, timeout_s=5) as detector:
                detector(_PIXELS)
        except TridetError:
            return False
        return True

    def recovery_s(self, since_s: float) -> float:
        """Return seconds from then until two requests in a row were served.

        Raises:
            ServeError: that never came.
        """
        while time.monotonic() - since_s < _PATIENCE_S:
            # There are two instances of the first step, which take turns.
            if self.detects() and self.detects():
                return time.monotonic() - since_s
            time.sleep(0.05)
        raise ServeError(f"the server does not detect after {_PATIENCE_S:g} s")

    def steps(self) -> list[int]:
        """Return the processes of the Python steps."""
        tasks = Path(f"/proc/{self.server.pid}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    @contextlib.contextmanager
    def stub(self) -> Iterator[Any]:
        """Triton's service, as a stranger without the key sees it."""
        with open_channel(self.server.grpc_url, None, 30) as channel:
            yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def forged(model: str, tensor: str, shape: tuple[int, ...]) -> Callable[[Target], Said]:
    """A request whose bytes, counted in 64 bits, are none."""

    def attack(target: Target) -> Said:
        request = service_pb2.ModelInferRequest(model_name=model)
        request.inputs.add(name=tensor, datatype="UINT8").shape.extend(shape)
        request.raw_input_contents.append(b"")
        began_s = time.monotonic()
        with target.stub() as stub, contextlib.suppress(grpc.RpcError):
            stub.ModelInfer(request, timeout=10)
        return "a step dies; the server is started again", _after_restart_s(target, began_s)

    return attack


def kill_a_step(target: Target) -> Said:
    """What the kernel does when memory is short."""
    began_s = time.monotonic()
    for step in target.steps():
        os.kill(step, signal.SIGKILL)
    return "the server is started again", _after_restart_s(target, began_s)


def kill_the_server(target: Target) -> Said:
    """A crash."""
    began_s = time.monotonic()
    os.kill(target.server.pid, signal.SIGKILL)
    return "it is started again", _after_restart_s(target, began_s)


def pause_a_step(target: Target) -> Said:
    """A process that stands still for 3 s, with requests under way, and goes on."""
    before, steps = target.server.pid, target.steps()
    for step in steps:
        os.kill(step, signal.SIGSTOP)
    requests = [threading.Thread(target=target.detects) for _ in range(4)]
    for request in requests:
        request.start()
    time.sleep(3)
    for step in steps:
        with contextlib.suppress(ProcessLookupError):
            os.kill(step, signal.SIGCONT)
    began_s = time.monotonic()
    for request in requests:
        request.join()
    again_s = target.recovery_s(began_s)
    crashed = target.server.pid != before
    return "the server crashes and is started again" if crashed else "it goes on", again_s


def _after_restart_s(target: Target, began_s: float) -> float:
    # The process that was attacked may answer a request more before it is replaced.
    before = target.server.pid
    while target.server.pid == before and time.monotonic() - began_s < 3:
        time.sleep(0.02)
    return target.recovery_s(began_s)


def folder_through_a_crash(images: int) -> Callable[[Target], Said]:
    """``tridet detect`` on a folder, with the server killed on the way."""

    def attack(target: Target) -> Said:
        with tempfile.TemporaryDirectory() as name:
            folder, results = Path(name) / "images", Path(name) / "found.jsonl"
            folder.mkdir()
            _, data = cv2.imencode(".jpg", _PIXELS)
            for number in range(images):
                (folder / f"{number:05}.jpg").write_bytes(data.tobytes())
            command = ["detect", str(folder), "--url", target.server.grpc_url, "--model", NAME]
            command += ["--output", str(results), "--server-wait-s", "60", "--quiet"]
            code = "from tridet.cli.main import main; main()"
            began_s = time.monotonic()
            client = subprocess.Popen([sys.executable, "-c", code, *command])
            time.sleep(2.0)
            os.kill(target.server.pid, signal.SIGKILL)
            status = client.wait(300)
            took_s = time.monotonic() - began_s
            with results.open() as lines:
                sources = {json.loads(line)["source"] for line in lines}
        return f"{len(sources)} of {images} images detected in {took_s:.0f} s, exit {status}", None

    return attack


def damaged_files(target: Target) -> Said:
    """Image files with bytes changed, cut or added, to the step that decodes them."""
    chance, outcomes = random.Random(0), Counter[str]()
    files = []
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        file = io.BytesIO()
        Image.fromarray(_PIXELS).save(file, kind)
        files.append(file.getvalue())
    with Detector(target.server.grpc_url, NAME, retries=0) as detector:
        detector(_PIXELS)
    with target.stub() as stub:
        for _ in range(_DAMAGED):
            data = bytearray(chance.choice(files))
            for _ in range(chance.randrange(1, 20)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            data = data[: chance.randrange(1, len(data) + 1)] if chance.random() < 0.3 else data
            request = service_pb2.ModelInferRequest(model_name=f"{NAME}_encoded")
            request.inputs.add(name="ENCODED", datatype="UINT8").shape.extend([1, len(data)])
            request.raw_input_contents.append(bytes(data))
            try:
                stub.ModelInfer(request, timeout=10)
                outcomes["served"] += 1
            except grpc.RpcError as error:
                outcomes[error.code().name] += 1
    said = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    return said, target.recovery_s(time.monotonic())


def cancelled_requests(target: Target) -> Said:
    """Requests that are given up at random moments."""

    async def cancel() -> None:
        chance = random.Random(0)
        async with AsyncDetector(target.server.grpc_url, NAME, retries=0) as detector:
            await detector(_PIXELS)
            for _ in range(_CANCELLED // 30):
                tasks = [asyncio.create_task(detector(_PIXELS)) for _ in range(30)]
                for task in tasks:
                    asyncio.get_running_loop().call_later(chance.uniform(0, 0.1), task.cancel)
                await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(cancel())
    return "the next is served at once", target.recovery_s(time.monotonic())


def strangers(target: Target) -> Said:
    """Calls that manage the server, without its key."""
    refused = total = 0
    calls = {
        "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name=NAME),
        "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name=NAME),
        "SystemSharedMemoryRegister": service_pb2.SystemSharedMemoryRegisterRequest(
            name="x", key="/etc/passwd", byte_size=1
        ),
        "TraceSetting": service_pb2.TraceSettingRequest(),
        "LogSettings": service_pb2.LogSettingsRequest(),
    }
    with target.stub() as stub:
        for method, request in calls.items():
            total += 1
            try:
                getattr(stub, method)(request, timeout=10)
            except grpc.RpcError as error:
                refused += "restricted" in (error.details() or "")
    connection = http.client.HTTPConnection(target.server.http_url.removeprefix("http://"))
    for path in (f"models/{NAME}/load", f"models/{NAME}/unload", "index"):
        total += 1
        connection.request("POST", f"/v2/repository/{path}", "{}")
        answer = connection.getresponse()
        refused += answer.status == 403 and b"restricted" in answer.read()
    connection.close()
    return f"{refused} of {total} refused", target.recovery_s(time.monotonic())


def inner_steps(target: Target) -> Said:
    """The steps behind the ensemble, called by hand: tickets taken for nothing, and made up."""
    outcomes = Counter[str]()
    chance = np.random.default_rng(0)
    arrays = {
        "boxes": np.zeros((1, 1, 4), np.float32),
        "scores": np.zeros((1, 1), np.float32),
        "class_ids": np.zeros((1, 1), np.int32),
        "letterbox": np.ones((1, 6), np.float32),
    }
    with target.stub() as stub:
        for _ in range(_BY_HAND):
            taken = _request("preprocess_640", {"IMAGE": _PIXELS[None]})
            ticket = chance.integers(0, 2**62, (1, 1), np.int64)
            given = _request("nms", {**arrays, "admission": ticket})
            for step, request in (("taken", taken), ("counted out", given)):
                with contextlib.suppress(grpc.RpcError):
                    stub.ModelInfer(request, timeout=10)
                    outcomes[step] += 1
    said = f"{outcomes['taken']} tickets taken, {outcomes['counted out']} made up and counted out"
    return said, target.recovery_s(time.monotonic())


def _request(model: str, arrays: dict[str, np.ndarray]) -> Any:
    types = {"uint8": "UINT8", "float32": "FP32", "int32": "INT32", "int64": "INT64"}
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, array in arrays.items():
        tensor = request.inputs.add(name=name, datatype=types[array.dtype.name])
        tensor.shape.extend(array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def forks(target: Target) -> Said:
    """One detector, used by the process that made it and by its forks at the same time."""
    with Detector(target.server.grpc_url, NAME) as detector:
        detector(_PIXELS)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_detect_often, args=(detector,)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(_PATIENCE_S)
        detector(_PIXELS)
    ended = [child.exitcode for child in children]
    return f"{ended.count(0)} of {len(ended)} forks served", target.recovery_s(time.monotonic())


def _detect_often(detector: Detector) -> None:
    for _ in range(50):
        detector(_PIXELS)


def attacks(images: int) -> dict[str, Callable[[Target], Said]]:
    """Return the attacks by what the table calls them."""
    return {
        "ENCODED of shape [4, 2^62], no bytes": forged(f"{NAME}_encoded", "ENCODED", (4, 2**62)),
        "IMAGE of shape [1, 2^32, 2^32, 3]": forged(NAME, "IMAGE", (1, 2**32, 2**32, 3)),
        "SIGKILL of the steps": kill_a_step,
        "SIGKILL of tritonserver": kill_the_server,
        "steps paused for 3 s": pause_a_step,
        f"a folder of {images:,} images, the server killed": folder_through_a_crash(images),
        f"{_DAMAGED:,} damaged image files": damaged_files,
        f"{_CANCELLED} requests cancelled at random": cancelled_requests,
        f"{_BY_HAND} calls of each inner step": inner_steps,
        "management without the key": strangers,
        "a detector shared with 4 forks": forks,
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--images", default=2000, help="How many go through a server that is killed.")
def main(images: int) -> None:
    """Attack a real server on this machine, and say what came of it."""
    rows = []
    for name, attack in attacks(images).items():
        # Each against a server of its own: one that dies often is given up.
        with tempfile.TemporaryDirectory() as folder:
            write_repository(Path(folder), _BATCH_S)
            with LocalServer(folder, keep_up=True) as server:
                said, again_s = attack(Target(server))
        rows.append((name, said, "" if again_s is None else f"{again_s:.1f}"))
        click.echo(" | ".join(rows[-1]))
    columns = ("attack", "what came of it", "detects again after, s")
    click.echo(f"\n{shlex.join(['python', *sys.argv])}\n")
    click.echo(Table("Attacks", columns, rows, text_columns=2).markdown())


if __name__ == "__main__":
    program.run(main, "attack", ServeError, TridetError)
