"""What the kernel is asked about processes, where its answers are not obvious."""

from __future__ import annotations

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from a2a_sup.children.linux import is_dead


def test_a_process_is_dead_before_it_is_reaped_and_after() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not is_dead(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(process.pid)
    assert is_dead(process.pid)


def test_a_process_is_dead_when_its_number_is_a_threads() -> None:
    with ThreadPoolExecutor(1) as thread:
        assert is_dead(thread.submit(threading.get_native_id).result())
