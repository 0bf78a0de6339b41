"""Tell somebody when a rule becomes true."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Sequence

from tridet.exceptions import SinkFailed
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.actions import Action
from tridet.streaming.sinks.rules import Alert, Rule, Watch

# Alerts that wait for a slow receiver. Those behind them would come too late to matter.
_CAPACITY = 16
# How long the alerts that wait may take when the run is over.
_CLOSE_S = 5.0


class HookSink:
    """Runs actions on the alerts of rules; a slow or dead receiver never delays the rules.

    Args:
        rules: applied to every source apart.
        actions: each runs on its own thread, one alert at a time.
        warn: called on that thread with the first failure of each action, one line; the others
            are only counted, in ``failures``.
    """

    name = "--alert"

    def __init__(
        self, rules: Sequence[Rule], actions: Sequence[Action], warn: Callable[[str], None]
    ) -> None:
        self._watch = Watch(rules)
        self._workers = [_ActionWorker(action, warn) for action in actions]
        self.raised = 0
        """Alerts so far."""

    @property
    def failures(self) -> int:
        """Alerts that an action did not deliver, because it failed or was too slow."""
        return sum(worker.failures for worker in self._workers)

    def write(self, result: StreamResult) -> None:
        """Apply the rules to one result."""
        for alert in self._watch.alerts(result):
            self.raised += 1
            for worker in self._workers:
                worker.send(alert)

    def close(self) -> None:
        """Deliver what waits, for a few seconds at most."""
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.join(_CLOSE_S)


class _ActionWorker:
    """Runs one action on its own thread."""

    def __init__(self, action: Action, warn: Callable[[str], None]) -> None:
        self.failures = 0
        self._action = action
        self._warn = warn
        self._alerts: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=action.name, daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        if self._alerts.qsize() < _CAPACITY:
            self._alerts.put(alert)
        else:
            self._fail("too slow, alerts are lost")

    def close(self) -> None:
        self._alerts.put(None)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._fail("too slow, the last alerts are lost")

    def _run(self) -> None:
        while (alert := self._alerts.get()) is not None:
            try:
                self._action.run(json.dumps(alert.to_record()).encode())
            except SinkFailed as error:
                self._fail(str(error))
            except Exception as error:  # the next alert may get through
                self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        with self._lock:
            self.failures += 1
            first = self.failures == 1
        if first:
            self._warn(f"{self._action.name}: {reason}")
