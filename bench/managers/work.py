"""The work: what each manager takes to start, replace, hold, stop and change processes."""

from __future__ import annotations

import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from bench.managers.run import Run, processes, running, sleepers
from bench.managers.who import PRINTS, Commands, Manager
from bench.measure import NotMeasured

Found = Mapping[str, float]
SETTLED = 1.5
"""Seconds after which every manager counts a process as started."""
KILLS = 5


def start_and_stop(manager: Manager, count: int) -> Found:
    """Return seconds from the launch until ``count`` processes run, and those of a stop.

    The stop is from its signal until all of them and the manager are gone.
    """
    with running(manager, sleepers(count)) as run:
        run.starts(count, "up")
        up = run.since_launch()
        time.sleep(SETTLED)
        run.demand_alive()
        begin = time.perf_counter()
        run.stop()
        stopped = math.nan
        with suppress(NotMeasured, subprocess.TimeoutExpired):
            run.beacon.ended("stopped")
            run.wait()
            stopped = time.perf_counter() - begin
    return {"up": up, "stopped": stopped}


def replaced(manager: Manager, count: int) -> Found:
    """Return the median and the longest of milliseconds from kill -9 of one to its replacement."""
    taken = []
    with running(manager, sleepers(count)) as run:
        pids = run.starts(count, "up")
        time.sleep(SETTLED)
        for _ in range(KILLS):
            victim = random.choice(pids)
            begin = time.perf_counter()
            os.kill(victim, signal.SIGKILL)
            [again] = run.starts(1, "replaced")
            taken.append((time.perf_counter() - begin) * 1e3)
            pids = [pid for pid in pids if pid != victim] + [again]
            time.sleep(1.1)  # peers count a process as started after a second
    return {"median": statistics.median(taken), "longest": max(taken)}


def idle(manager: Manager, count: int) -> Found:
    """Return the permille of a core and the MB that the manager takes with idle processes."""
    with running(manager, sleepers(count)) as run:
        run.starts(count, "up")
        time.sleep(4)
        begin, spent = time.perf_counter(), run.spend()
        time.sleep(10)
        share = spent() / (time.perf_counter() - begin)
        run.demand_alive()
        if again := run.beacon.drain():
            raise NotMeasured(f"{again} of its processes ended and were started again")
        return {"permille": share * 1e3, "mb": run.memory_mb()}


def storm(manager: Manager, count: int) -> Found:
    """Return what the manager takes while so many processes exit at once, again and again.

    In milliseconds: the CPU of each start, the manager's own; from a start of one to its next;
    and until it has answered what runs: the median, and the 95th percentile.
    """

    def commands(run: Run) -> Commands:
        return [run.beacon.command(f": {run.mark}; exit 1")] * count

    with running(manager, commands) as run:
        run.starts(count, "up")
        time.sleep(2)
        run.beacon.drain()
        begin, spent = time.perf_counter(), run.spend()
        time.sleep(5)
        used = spent()
        starts = run.beacon.drain()
        seconds = time.perf_counter() - begin
        run.demand_alive()
        if not starts:
            raise NotMeasured("it starts nothing any more")
        found = {"cpu": used / starts * 1e3, "pause": count * seconds / starts * 1e3}
        return {**found, **_answers(run)} if run.launch.ask else found


def _answers(run: Run) -> Found:
    """Return the milliseconds until it has answered: the median, and the 95th percentile."""
    try:
        answers = sorted(run.asking(40))
    except NotMeasured:
        return {"answer": math.nan, "late": math.nan}
    late = answers[len(answers) * 95 // 100]
    return {"answer": statistics.median(answers) * 1e3, "late": late * 1e3}


def lines(manager: Manager, count: int) -> Found:
    """Return seconds until so many lines of 100 bytes from one process are in files."""
    per_write = 500
    writer = (
        f"import os; open({{go!r}}).read(); block = b'{'x' * 99}\\n' * {per_write}; "
        f"[os.write(1, block) for _ in range({count // per_write})]; "
        "import time; time.sleep(1000)"
    )

    def commands(run: Run) -> Commands:
        go = str(run.beacon.path.with_name("go"))
        os.mkfifo(go)
        start = run.beacon.command('exec "$0" -S -c "$1"')
        return [[*start, sys.executable, writer.format(go=go), PRINTS, run.mark]]

    expected = count * 100
    with running(manager, commands) as run:
        run.starts(1, "up")
        time.sleep(SETTLED)
        _warm(expected)
        begin, spent = time.perf_counter(), run.spend()
        # Without waiting for a reader: the writer may have ended.
        os.close(os.open(run.beacon.path.with_name("go"), os.O_WRONLY | os.O_NONBLOCK))
        while (there := run.output_bytes()) < expected:
            if time.perf_counter() - begin > 30:
                raise NotMeasured(f"{there:,} of {expected:,} bytes after 30 s")
            time.sleep(0.002)
        taken = time.perf_counter() - begin
        cpu = spent()
        time.sleep(0.2)
        if (there := run.output_bytes()) != expected:
            raise NotMeasured(f"it wrote {there:,} of {expected:,} bytes")
        return {"seconds": taken, "cpu": cpu}


def _warm(size: int) -> None:
    """Have memory for files at hand: a virtual machine that has to find it puts it on the bill."""
    with tempfile.TemporaryFile() as file:
        for _ in range(size // 10**6 + 1):
            file.write(bytes(10**6))


def changed(manager: Manager, count: int) -> Found:
    """Return seconds until one changed command of ``count`` runs, and how many were started."""
    with running(manager, sleepers(count)) as run:
        run.starts(count, "up")
        time.sleep(SETTLED)
        with run.changing([*sleepers(count - 1)(run), run.sleeper(1)]):
            begin = time.perf_counter()
            started = run.starts(1, "replaced")
            taken = time.perf_counter() - begin
        time.sleep(SETTLED)
        return {"seconds": taken, "started": len(started) + run.beacon.drain()}


def shown(manager: Manager, count: int) -> Found:
    """Return seconds until the manager's own command has shown ``count`` processes."""
    with running(manager, sleepers(count)) as run:
        run.starts(count, "up")
        time.sleep(SETTLED)
        run.show(count)  # the first time is no one's habit
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            run.show(count)
            taken.append(time.perf_counter() - begin)
        return {"seconds": statistics.median(taken)}


# --- what is left behind ------------------------------------------------------------------------

HIDERS = {
    "plain": "sleep {left} & ",
    "session": "setsid sleep {left} & ",
    "daemon": "setsid sh -c 'sleep {left} & exit'; ",
}
"""Commands that leave a process beside themselves, by how well it hides."""


def _stopped(run: Run) -> None:
    run.stop()
    with suppress(subprocess.TimeoutExpired):
        run.wait()


def _crashed(run: Run) -> None:
    [leader] = [pid for pid, is_left in _marked(run).items() if not is_left]
    os.kill(leader, signal.SIGKILL)
    run.starts(1, "replaced")


ENDINGS: Mapping[str, Callable[[Run], None]] = {
    "stop": _stopped,
    "crash": _crashed,
    "kill": Run.kill,
}


def left_behind(manager: Manager, _: int) -> Found:
    """Return how many processes outlive each of ENDINGS: a command's own, and each of HIDERS."""
    found: dict[str, float] = {}
    for ending, end in ENDINGS.items():
        for how in HIDERS:
            itself, left = _outlive(manager, how, end)
            found |= {f"{ending} {how}": left, f"{ending} itself": itself}
    return found


def _outlive(manager: Manager, how: str, end: Callable[[Run], None]) -> tuple[int, int]:
    """Return how many outlive an ending: of commands, and of what these left beside themselves."""

    def commands(run: Run) -> Commands:
        aside = HIDERS[how].format(left=f"{run.mark}.7")
        return [run.beacon.command(f"{aside}exec sleep {run.mark}.8")]

    with running(manager, commands) as run:
        run.starts(1, "up")
        time.sleep(SETTLED)
        before = _marked(run)
        if sorted(before.values()) != [False, True]:
            raise NotMeasured(f"a command and its {how} process were to run: {len(before)} do")
        end(run)
        time.sleep(2)
        after = _marked(run)
        alive = [is_left for pid, is_left in before.items() if pid in after]
        return alive.count(False), alive.count(True)


def _marked(run: Run) -> dict[int, bool]:
    """Return the processes of a run: whether each is one that was left beside its command."""
    found = {}
    for each in processes():
        if each.words[0].endswith(b"sleep") and each.words[1].startswith(run.mark.encode()):
            found[each.pid] = each.words[1].endswith(b".7")
    return found
