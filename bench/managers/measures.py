"""What process managers take, each told the same, in turn."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench.managers import work
from bench.managers.who import BARE, OURS, PEERS, Manager
from bench.measure import FLAT, Aim, Contender, Figure, Kind, Measure

ALL = (OURS, BARE, *PEERS)
FASTEST = (
    "Each restarts at once and for ever, at the fastest that it can be told: backoff 0 s here, "
    "`check_delay` 0.1 s in circus; supervisord looks once a second, s6 starts nothing more often "
    "than that."
)

IMPORTS = (
    "its first process waits for less: s6 is a small C program, circus a Python that loads less "
    "than Python, Trio and this package, which is a quarter of a second"
)
C_PROGRAMS = (
    "it is C, and keeps neither the output of its processes nor what they leave behind: nothing "
    "but fork, exec and wait"
)
STOPS = (
    "it signals its processes and is done; here the end of each is waited for, what it left "
    "behind is looked for and ended, its last output is written, and the end of all is told"
)
LOOKS = (
    "it sleeps until a process ends; here, once a second, the table of processes is looked at for "
    "what no longer has a parent, and the kernel's count of processes it killed for memory"
)
SMALLER = (
    "it is C, or a Python without an event loop; here are CPython, Trio, and an HTTP API, a page, "
    "metrics and a dashboard besides"
)
CHECKED = (
    "it compares the words of two files, and then changes what differs; here all settings of all "
    "children are checked before anything is touched, so that a mistake changes nothing"
)
ANSWERS = (
    "a small C program reads the few bytes that say what one service is; here a request over HTTP "
    "is answered, with all that is known of each child"
)
COMMAND = "its command is a small C program; ours is a Python, whose start is the floor"


def _contender(manager: Manager, take: Callable[[Manager, int], Mapping[str, float]]) -> Contender:
    return Contender(manager.name, manager.kind, partial(take, manager))


def _everybody(take: Callable[[Manager, int], Mapping[str, float]]) -> tuple[Contender, ...]:
    return tuple(_contender(manager, take) for manager in ALL)


def _of(limit: str, *peers: str) -> Mapping[str, str]:
    return dict.fromkeys(peers, limit)


def _interpreter(_: int) -> Mapping[str, float]:
    """Return the seconds of a Python that imports click and does nothing."""
    python = Path(sys.executable)
    begin = time.perf_counter()
    subprocess.run([python, "-c", "import click"], check=True)
    return {"seconds": time.perf_counter() - begin}


START = Measure(
    "start",
    "Processes that do nothing. From the launch of the manager until all run; then from its stop "
    "signal until all of them and the manager are gone. " + FASTEST,
    (
        Figure("up", "{size} processes up", "s", (Aim(2.0, at=500),), _of(IMPORTS, "s6", "circus")),
        Figure(
            "stopped",
            "{size} processes stopped",
            "s",
            (Aim(0.3, at=200),),
            _of(STOPS, "runit", "s6", "circus", "supervisord"),
        ),
    ),
    _everybody(work.start_and_stop),
    sizes=(50, 200, 500),
)

REPLACE = Measure(
    "replace",
    "One of ten processes is killed with SIGKILL; until its replacement says that it runs. "
    + FASTEST,
    (
        Figure(
            "median",
            "kill -9 to replaced, median of {size}",
            "ms",
            (Aim(2, "bare Popen"),),
            {"runit": C_PROGRAMS},
        ),
        Figure(
            "longest",
            "kill -9 to replaced, longest of {size}",
            "ms",
            limits={"runit": C_PROGRAMS},
        ),
    ),
    _everybody(work.replaced),
    sizes=(9,),
)

IDLE = Measure(
    "idle",
    "Processes that do nothing, for 20 s, 5 s after they were up. The manager with its helpers; "
    "memory that is shared is shared out (PSS).",
    (
        Figure(
            "permille",
            "{size} idle: share of a core",
            "permille",
            (Aim(2.0),),
            _of(LOOKS, "runit", "s6", "supervisord"),
        ),
        Figure(
            "mb",
            "{size} idle: memory",
            "MB",
            (Aim(60),),
            _of(SMALLER, "supervisord", "circus", "runit", "s6"),
        ),
    ),
    _everybody(work.idle),
    sizes=(200,),
    repeats=2,
)

STORM = Measure(
    "storm",
    "Processes that exit at once, all of them again and again, for 10 s; then the manager is "
    "asked 40 times what runs: by its API, or by its command where it has none. " + FASTEST,
    (
        Figure(
            "cpu",
            "{size} exit at once: the manager's own CPU for each start",
            "ms",
            limits=_of(C_PROGRAMS, "runit", "s6"),
        ),
        Figure("pause", "{size} exit at once: from a start to the next of the same", "ms"),
        Figure(
            "answer",
            "{size} exit at once: answers, median",
            "ms",
            limits=_of(ANSWERS, "runit", "s6"),
        ),
        Figure(
            "late",
            "{size} exit at once: answers, 95th percentile",
            "ms",
            (Aim(50),),
            _of(ANSWERS, "runit", "s6"),
        ),
    ),
    _everybody(work.storm),
    sizes=(50,),
)

LINES = Measure(
    "lines",
    "One process prints lines of 100 bytes as fast as it can; until all are in the files where "
    "the manager keeps them. The floor prints into a file itself.",
    (
        Figure("seconds", "{size} lines captured", "s"),
        Figure("cpu", "{size} lines captured: the manager's CPU", "s"),
    ),
    _everybody(work.lines),
    sizes=(100_000, 300_000, 1_000_000),
)

RELOAD = Measure(
    "reload",
    "One of the commands in the configuration is changed and the manager told to apply it; until "
    "the changed one runs, and how many were started.",
    (
        Figure(
            "seconds",
            "one of {size} changed",
            "s",
            (Aim(1.0, at=1_000),),
            _of(CHECKED, "supervisord", "circus"),
        ),
        Figure("started", "one of {size} changed: processes started", "", (Aim(1),), growth=FLAT),
    ),
    _everybody(work.changed),
    sizes=(100, 300, 1_000),
    repeats=2,
)

STATUS = Measure(
    "status",
    "The command that shows what runs, from its start to its end.",
    (
        Figure(
            "seconds",
            "status of {size} processes",
            "s",
            (Aim(0.3),),
            _of(COMMAND, "runit", "s6"),
        ),
    ),
    (
        _contender(OURS, work.shown),
        Contender("python, click", Kind.FLOOR, _interpreter),
        *(_contender(manager, work.shown) for manager in PEERS),
    ),
    sizes=(100, 300, 1_000),
    repeats=2,
)

LEFT = Measure(
    "left",
    "Each command leaves a process beside itself: a plain one, one in a session of its own, a "
    "daemon. How many of the three outlive what should end them.",
    tuple(
        Figure(key, f"left of 3 after {what}", "", (Aim(0),))
        for key, what in (
            ("stop", "a stop of the manager"),
            ("crash", "a crash of the command, beside those of its replacement"),
            ("kill", "kill -9 of the manager"),
        )
    ),
    _everybody(work.left_behind),
    sizes=(3,),
    repeats=1,
)

MEASURES = (START, REPLACE, IDLE, STORM, LINES, RELOAD, STATUS, LEFT)
