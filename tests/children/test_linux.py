"""What the kernel is asked about processes, where its answers are not obvious."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from a2a_sup.children.linux import before_all_others, is_dead

ROOT = Path(__file__).parents[2]
LOSES_THE_RIGHT = """
import os
from a2a_sup.children.linux import before_all_others
with before_all_others():
    os.seteuid(65534)  # the capability goes with it
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER)
"""
HAS_ITS_OWN = """
import os
from contextlib import suppress
from a2a_sup.children.linux import before_all_others
def now():
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
with suppress(PermissionError):  # then nothing is shown here
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
before = now()
with before_all_others():
    print(now() == before or before[1] == 0)
print(now() == before)
"""


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


# --- before all others ----------------------------------------------------------------------------


def printed_by(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.split()


def test_a_thread_that_may_not_clear_what_resets_its_children_comes_back_all_the_same() -> None:
    assert printed_by(LOSES_THE_RIGHT) == ["True"]


def test_a_thread_that_has_a_real_time_priority_keeps_it() -> None:
    assert printed_by(HAS_ITS_OWN) == ["True", "True"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EPERM])
@pytest.mark.parametrize("call", ["sched_getscheduler", "sched_getparam", "sched_setscheduler"])
def test_a_system_that_refuses_the_priority_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    before = os.sched_getscheduler(0)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refused)
        with before_all_others():
            pass
    assert os.sched_getscheduler(0) == before
