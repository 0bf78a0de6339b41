"""A repository that changes under a running server, on the real one and under load."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from edits import replace_in
from local_triton import LocalServer, ModelLoadError, RepositoryUpdates
from stub_onnx import write_detector, write_group, write_stub
from tridet import Detector, ModelUnknown, TridetError
from tridet_build.manifest.groups import load_groups
from tridet_build.manifest.manifest import load_manifests, manifest_paths
from tridet_build.repository.prune import prune
from tridet_build.repository.render import folders, write

pytestmark = pytest.mark.server
DEADLINE_S = 60.0
IMAGE = np.full((48, 64, 3), 90, np.uint8)
SERVE = Path(__file__).resolve().parents[2] / "tools" / "serve.py"


def render(root: Path) -> None:
    """As ``tridet-build repository`` does."""
    manifests = load_manifests(manifest_paths([], root))
    groups = load_groups(root, manifests, all_loaded=True)
    write(manifests, root / "repository", groups, alone=True)
    prune(root / "repository", folders(manifests, groups), [])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_detector(tmp_path / "small")
    write_detector(tmp_path / "other", "[batch]\nmax = 32\n", seed=1)
    write_group(tmp_path / "pair", ["small", "other"])
    render(tmp_path)
    return tmp_path


class Followed:
    """A server that follows its repository, as ``make serve`` runs it."""

    def __init__(self, root: Path, *models: str) -> None:
        self.root = root
        self.said: list[str] = []
        self.server = LocalServer(root / "repository", explicit=True, keep_up=True, models=models)
        self.updates = RepositoryUpdates(self.server, self.said.append, models)

    def render(self) -> None:
        render(self.root)
        self.look()

    def look(self) -> None:
        del self.said[:]
        self.updates.look()
        self.updates.look()

    def answer(self, model: str = "small", **options: float) -> list[str]:
        """The labels that a new client gets."""
        with Detector(self.server.grpc_url, model, retries=0, **options) as detector:
            return list(detector(IMAGE).labels)


@pytest.fixture
def followed(root: Path) -> Iterator[Followed]:
    followed = Followed(root)
    with followed.server:
        followed.look()
        assert followed.said == []
        yield followed


class Load:
    """Clients that call a model without a pause and without another try."""

    def __init__(self, url: str, *models: str) -> None:
        self.failures: list[str] = []
        self.served = dict.fromkeys(models, 0)
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(url, model, transport))
            for model in models
            for transport in ("raw", "fit", "shm")
        ]

    def _call(self, url: str, model: str, transport: str) -> None:
        with Detector(url, model, transport=transport, retries=0) as detector:  # type: ignore[arg-type]
            while not self._end.is_set():
                try:
                    detector(IMAGE)
                    self.served[model] += 1
                except TridetError as error:
                    self.failures.append(f"{model}, {transport}: {error}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def go_on(self) -> None:
        """Return when each model has been served some more, or a call has failed."""
        before, deadline = dict(self.served), time.monotonic() + DEADLINE_S
        while any(self.served[model] < count + 20 for model, count in before.items()):
            if self.failures or time.monotonic() > deadline:
                break
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)


def conf(root: Path) -> None:
    manifest = root / "small" / "detector.toml"
    manifest.write_text(f"{manifest.read_text()}[thresholds]\nconf = 0.01\n")


def labels(root: Path) -> None:
    replace_in(root / "small" / "detector.toml", "'c0'", "'renamed'")


def weights(root: Path) -> None:
    write_stub(root / "small" / "weights.onnx", seed=9)


def candidates(root: Path) -> None:
    replace_in(root / "small" / "detector.toml", "candidates = 40", "candidates = 50")


def limits(root: Path) -> None:
    manifest = root / "small" / "detector.toml"
    limits = "max_in_flight = 200\nmax_wait_s = 30.0\nmax_pixels = 70000000\n"
    manifest.write_text(f"{manifest.read_text()}[limits]\n{limits}")


def instances(root: Path) -> None:
    manifest = root / "small" / "detector.toml"
    manifest.write_text(
        f"{manifest.read_text()}[instances]\npreprocess = 3\ndetector = 2\nnms = 2\n"
    )


def smaller_batches(root: Path) -> None:
    replace_in(root / "other" / "detector.toml", "max = 32", "max = 9")


def added(root: Path) -> None:
    write_detector(root / "third", size=96)


def removed(root: Path) -> None:
    shutil.rmtree(root / "third")


def test_what_changes_is_taken_in_and_no_request_is_dropped(followed: Followed) -> None:
    """One change after the other; the steps that all share are loaded anew as well."""
    root, pid = followed.root, followed.server.pid
    assert followed.answer(conf=0.01)
    with Load(followed.server.grpc_url, "small", "other", "pair") as load:
        for change in (conf, labels, weights, candidates, limits, instances, added, removed):
            change(root)
            followed.render()
            load.go_on()
            assert load.failures == [], change.__name__
            assert [line for line in followed.said if line.startswith("warning")] == []
            assert followed.said[-1].startswith("unloaded" if change is removed else "loaded")
            states = followed.server.models()
            assert (states.get("third") == "READY") == (change is added)
    assert "renamed" in followed.answer()
    assert followed.server.pid == pid
    assert "loaded" in followed.said[0] or "unloaded" in followed.said[0]


def larger(root: Path) -> None:
    shutil.rmtree(root / "small")
    shutil.rmtree(root / "pair")
    write_detector(root / "small", size=96)


@pytest.mark.parametrize(("change", "bystander"), [(smaller_batches, "small"), (larger, "other")])
def test_other_shapes_cost_the_other_detectors_nothing(
    followed: Followed, change: Callable[[Path], None], bystander: str
) -> None:
    with Load(followed.server.grpc_url, bystander) as load:
        change(followed.root)
        followed.render()
        load.go_on()
    assert load.failures == []
    assert [line for line in followed.said if line.startswith("warning")] == []
    assert {state for state in followed.server.models().values() if state != "READY"} <= {
        "UNAVAILABLE"
    }
    assert followed.answer(transport="encoded") == followed.answer()


def test_what_does_not_load_leaves_what_was_served(followed: Followed) -> None:
    root, before = followed.root, followed.answer(conf=0.01)
    graph = root / "repository" / "small_detector" / "1" / "model.onnx"
    labels(root)
    render(root)
    sound = graph.read_bytes()
    graph.write_bytes(b"no model")
    with Load(followed.server.grpc_url, "small", "other") as load:
        followed.look()
        load.go_on()
    assert load.failures == []
    goes_on = "is not loaded, what was served before goes on: "
    assert followed.said[0].startswith(f"warning: small_detector {goes_on}")
    assert "INVALID_PROTOBUF" in followed.said[0]
    needed = f"{goes_on}its step 'small_detector' failed"
    assert followed.said[1:] == [
        f"warning: {name} {needed}" for name in ("pair", "pair_encoded", "small", "small_encoded")
    ]
    assert all("\n" not in line for line in followed.said)
    assert followed.answer(conf=0.01) == before  # not the new labels with the old network
    followed.look()
    assert followed.said == []  # said once
    graph.write_bytes(sound)
    followed.look()
    loaded = "loaded small_detector, pair, pair_encoded, small, small_encoded in "
    assert followed.said[-1].startswith(loaded)
    assert "renamed" in followed.answer()


def test_what_triton_would_wait_for_for_ever_is_not_loaded(followed: Followed) -> None:
    """A Python model without its code, and an ensemble without its step."""
    added(followed.root)
    render(followed.root)
    code = followed.root / "repository" / "third_detector" / "1" / "model.py"
    code.rename(code.with_name("hidden"))
    followed.look()
    assert (
        "warning: third_detector is not loaded, it is not served: it has no model.py in a version "
        "folder"
    ) in followed.said
    assert "warning: third is not loaded, it is not served: its step 'third_detector' failed" in (
        followed.said
    )
    shutil.rmtree(code.parents[1])
    followed.look()
    assert any("'third_detector' is not in the repository" in line for line in followed.said)
    render(followed.root)
    followed.look()
    assert followed.answer("third", conf=0.01)


def test_a_step_that_others_need_is_not_unloaded(followed: Followed) -> None:
    shutil.rmtree(followed.root / "repository" / "nms")
    followed.look()
    assert followed.said == ["warning: nms is gone from the repository, but another model needs it"]
    assert followed.answer(conf=0.01)


def test_a_repository_that_is_gone_altogether_is_no_order(followed: Followed) -> None:
    (followed.root / "repository").rename(followed.root / "elsewhere")
    followed.look()
    (followed.root / "repository").mkdir()
    followed.look()
    assert followed.said == []
    assert followed.answer(conf=0.01)


def test_files_that_still_change_are_waited_for(followed: Followed) -> None:
    config = followed.root / "repository" / "small" / "config.pbtxt"
    for _ in range(3):
        config.write_text(f"{config.read_text()}\n")
        followed.updates.look()
    assert followed.said == []
    followed.updates.look()
    assert followed.said[0].startswith("loaded small in ")


def test_a_server_that_is_started_again_has_what_is_there_then(followed: Followed) -> None:
    root, server = followed.root, followed.server
    before = server.pid
    added(root)
    labels(root)
    render(root)
    followed.updates.look()  # has seen it, and not yet taken it in
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while server.pid == before or not served(followed):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "renamed" in followed.answer()
    assert followed.answer("third", conf=0.01)
    followed.look()
    assert followed.said == []
    removed(root)
    followed.render()
    assert followed.said[0].startswith("unloaded")
    with pytest.raises(ModelUnknown):
        followed.answer("third")


def served(followed: Followed) -> bool:
    with contextlib.suppress(TridetError):
        return bool(followed.answer())
    return False


def test_of_chosen_models_only_those_are_followed(root: Path) -> None:
    followed = Followed(root, "small")
    with followed.server:
        followed.look()
        labels(root)
        added(root)
        followed.render()
        assert followed.said[-1].startswith("loaded small in ")
        assert "renamed" in followed.answer()
        states = followed.server.models()
        assert {name for name, state in states.items() if state == "READY"} == {
            *("small", "small_detector", "preprocess_64", "nms")
        }


def test_load_names_the_reason(followed: Followed) -> None:
    with pytest.raises(ModelLoadError, match=r"'none' failed to load: .*none.*poll"):
        followed.server.load("none")
    followed.server.unload("none")


def test_the_command_follows_its_repository(root: Path) -> None:
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    command = [sys.executable, str(SERVE), "--repository", str(root / "repository"), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout)
            url = next(line for line in lines if "gRPC" in line).split()[-1]
            next(line for line in lines if "Ctrl-C stops" in line)
            labels(root)
            build = ("repository", "--models", root, "--out", root / "repository")
            subprocess.run(
                [sys.executable, "-m", "tridet_build", *map(str, build)], check=True, cwd=root
            )
            began = time.monotonic()
            assert next(line for line in lines if line.startswith("loaded")).startswith(
                "loaded pair, pair_encoded, small, small_encoded in "
            )
            print(f"{time.monotonic() - began:.1f} s from make repository to the new model")
            with Detector(url, "small") as detector:
                assert "renamed" in detector(IMAGE, conf=0.01).labels
        finally:
            process.terminate()
