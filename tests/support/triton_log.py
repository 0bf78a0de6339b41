"""Lines of Triton's log, as a server of ours takes them in."""

from __future__ import annotations

from local_triton.log import TritonLog


def feed(*lines: str, has_gpu: bool = False) -> tuple[TritonLog, list[str]]:
    log = TritonLog(has_gpu=has_gpu)
    return log, [shown for line in lines for shown in log.feed(line)]


STAMP = "1121 08:08:44.235508 4978"
