"""CPU time of other processes."""

import os
import subprocess
import sys

from bench_pipelines.cpu_clock import cpu_seconds, process_tree


def test_cpu_time_of_a_process_tree() -> None:
    code = "import time; print(flush=True); [None for _ in iter(time.process_time, 9)]"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        pids = process_tree(os.getpid())
        assert child.pid in pids
        before = cpu_seconds([child.pid])
        while cpu_seconds([child.pid]) <= before:
            pass
        child.kill()
