"""What process managers take, each told the same, in turn."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench.managers import work
from bench.managers.who import (
    BARE,
    CIRCUS_AT_EASE,
    CIRCUS_IN_HASTE,
    OURS,
    PEERS,
    Manager,
)
from bench.measure import FLAT, Aim, Contender, Figure, Kind, Limit, Measure

FASTEST = (
    "Each restarts at once and for ever, at the fastest that it can be told: backoff 0 s here, "
    "`check_delay` 0.1 s in circus; supervisord looks once a second, s6 starts nothing more often "
    "than that."
)

S6_LOADS = Limit(
    "it is a small C program, and its first process waits for nothing; here Python, Trio and this "
    "package are loaded first, which takes a quarter of a second",
    5,
)
CIRCUS_LOADS = Limit("it loads less Python before its first process than we do", 1.3)
SUPERVISES = Limit(
    "it is C, and keeps neither the output of its processes nor what they leave behind: nothing "
    "but fork, exec and wait",
    4,
)
STOPS = Limit(
    "it is C, and ends when its processes have; here what they left behind is looked for and "
    "ended, their last output is written, and a Python is unloaded",
    4,
)
CIRCUS_STOPS = Limit("it looks for nothing that its processes left behind", 1.5)
SLEEPS = Limit(
    "it sleeps until a process ends; here, once a second, it is looked for processes without a "
    "parent, and at the kernel's count of those it killed for want of memory",
    math.inf,
)
LOOKS_ONCE = Limit("it asks once a second for the ends of its own processes, and nothing else", 4)
SMALL_PIPES = Limit(
    "here a pipe is small until it has proved busy, by a megabyte within a second, as large ones "
    "are few for an ordinary user; up to then each piece that is read is small",
    1.5,
)
FLOOR_FORKS = (
    "the floor waits for its process and forks; here what it left behind is looked for first, "
    "pipes for its output are made, and those who follow are told"
)
CROWDED = "a start takes up to a third more with 50 than with 10; why was not found out"
SELDOM = Limit(
    "by default it looks at its processes once in five seconds, and replaces one so much later", 4
)
LEAVES = Limit(
    "it forks, executes and waits; here what each process left behind is looked for before it is "
    "started again, and every step is an event for those who follow",
    2,
)
ONE_WORD = Limit(
    "it answers a word for each process, over ZeroMQ; here a request over HTTP is answered, with "
    "all that is known of each child",
    12,
)
BETWEEN = Limit(
    "it makes processes in rounds, 0.1 s apart, and all 40 of its answers may fit between two; "
    "here processes are made all the time, and now and then an answer waits until one is",
    30,
)
PYTHON = Limit(
    "it is a Python without an event loop's library; here are Trio and an HTTP API, a page, "
    "metrics and a dashboard besides",
    3,
)
ZMQ = Limit("it serves nothing but commands; here is a page, metrics and a dashboard besides", 2)
IN_C = Limit("it is a C program for each process, with no interpreter", 60)
RELOADS = Limit(
    "it compares the words of two files, and then changes what differs; here all settings of all "
    "children are checked before anything is touched, so that a mistake changes nothing",
    2,
)
BY_HAND = Limit(
    "nothing is compared: it is told by hand which one to restart, by a small C program", 200
)
ANSWERS = Limit(
    "a small C program reads the few bytes that say what one service is; here a request over HTTP "
    "is answered, with all that is known of each child",
    10,
)
COMMAND = Limit(
    "its command is a small C program, which reads some bytes for each; ours is a Python, whose "
    "start is the floor, and which is answered with all that is known of each child",
    100,
)


def _contender(manager: Manager, take: Callable[[Manager, int], Mapping[str, float]]) -> Contender:
    return Contender(manager.name, manager.kind, partial(take, manager))


def _everybody(
    take: Callable[[Manager, int], Mapping[str, float]], *, circus: Manager | None = None
) -> tuple[Contender, ...]:
    """Return all; with ``circus`` told in another way."""
    peers = [circus if circus and peer.name == circus.name else peer for peer in PEERS]
    return tuple(_contender(manager, take) for manager in (OURS, BARE, *peers))


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
        Figure(
            "up",
            "{size} processes up",
            "s",
            (Aim(2.0, at=500),),
            {"s6": S6_LOADS, "circus": CIRCUS_LOADS},
        ),
        Figure(
            "stopped",
            "{size} processes stopped",
            "s",
            (Aim(0.3, at=200),),
            {"runit": STOPS, "s6": STOPS, "circus": CIRCUS_STOPS},
        ),
    ),
    _everybody(work.start_and_stop),
    sizes=(50, 200, 500),
)

REPLACE = Measure(
    "replace",
    f"One process is killed with SIGKILL, {work.KILLS} times; until its replacement says that it "
    "runs. Each at the fastest that it can be told, as above, circus with a `check_delay` of 0.01.",
    (
        Figure(
            "median",
            "kill -9 of one of {size} to replaced, median",
            "ms",
            (Aim(2, "bare Popen"),),
            {"runit": SUPERVISES},
            growth=None,
            missed=FLOOR_FORKS,
        ),
        Figure(
            "longest",
            "kill -9 of one of {size} to replaced, longest",
            "ms",
            limits={"runit": SUPERVISES},
            growth=None,
        ),
    ),
    _everybody(work.replaced, circus=CIRCUS_IN_HASTE),
    sizes=(10, 200),
    repeats=2,
)

IDLE = Measure(
    "idle",
    "Processes that do nothing, for 10 s, 4 s after they were up; circus looks as often as it does "
    "by default. The manager with its helpers; memory that is shared is shared out (PSS).",
    (
        Figure(
            "permille",
            "{size} idle: share of a core",
            "permille",
            (Aim(2.0),),
            {"runit": SLEEPS, "s6": SLEEPS, "supervisord": LOOKS_ONCE, "circus": SELDOM},
        ),
        Figure(
            "mb",
            "{size} idle: memory",
            "MB",
            (Aim(60),),
            {"supervisord": PYTHON, "circus": ZMQ, "runit": IN_C, "s6": IN_C},
        ),
    ),
    _everybody(work.idle, circus=CIRCUS_AT_EASE),
    sizes=(50, 100, 200),
    repeats=3,
)

STORM = Measure(
    "storm",
    "Processes that exit at once, all of them again and again, for 5 s; then the manager is "
    "asked 40 times what runs: by its API, or by its command where it has none. " + FASTEST,
    (
        Figure(
            "cpu",
            "{size} exit at once: the manager's own CPU for each start",
            "ms",
            limits={
                "runit": SUPERVISES,
                "s6": SUPERVISES,
                "supervisord": LEAVES,
                "circus": LEAVES,
            },
            growth=FLAT,
            missed=CROWDED,
        ),
        Figure(
            "pause",
            "{size} exit at once: from a start to the next of the same",
            "ms",
            missed=CROWDED,
        ),
        Figure(
            "answer",
            "{size} exit at once: answers, median",
            "ms",
            limits={"runit": ANSWERS, "s6": ANSWERS, "circus": ONE_WORD},
        ),
        Figure(
            "late",
            "{size} exit at once: answers, 95th percentile",
            "ms",
            (Aim(50),),
            {"runit": ANSWERS, "s6": ANSWERS, "circus": BETWEEN},
        ),
    ),
    _everybody(work.storm),
    sizes=(10, 25, 50),
    repeats=2,
)

LINES = Measure(
    "lines",
    "One process prints lines of 100 bytes as fast as it can; until all are in the files where "
    "the manager keeps them. The floor prints into a file itself.",
    (
        Figure("seconds", "{size} lines captured", "s", limits={"supervisord": SMALL_PIPES}),
        Figure(
            "cpu",
            "{size} lines captured: the manager's CPU",
            "s",
            limits={"supervisord": SMALL_PIPES},
        ),
    ),
    _everybody(work.lines),
    sizes=(100_000, 300_000, 1_000_000),
)

RELOAD = Measure(
    "reload",
    "One of the commands in the configuration is changed and the manager told to apply it; until "
    "the changed one runs, and how many were started. runit and s6 do not compare: their script is "
    "changed, and they are told to restart that one.",
    (
        Figure(
            "seconds",
            "one of {size} changed",
            "s",
            (Aim(1.0, at=1_000),),
            {"supervisord": RELOADS, "circus": RELOADS, "runit": BY_HAND, "s6": BY_HAND},
        ),
        Figure("started", "one of {size} changed: processes started", "", (Aim(1),), growth=FLAT),
    ),
    tuple(_contender(manager, work.changed) for manager in (OURS, *PEERS)),
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
            {"runit": COMMAND, "s6": COMMAND},
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
    "A command leaves a process beside itself: a plain one, one in a session of its own, a daemon. "
    "How many outlive a stop of the manager, a crash of the command, kill -9 of the manager.",
    tuple(
        Figure(f"{ending} {how}", f"left after {what}: {whose}", "", (Aim(0),))
        for ending, what in (
            ("stop", "a stop of the manager"),
            ("crash", "a crash of the command"),
            ("kill", "kill -9 of the manager"),
        )
        for how, whose in (
            ("itself", "the command itself"),
            ("plain", "a plain one"),
            ("session", "one in a session of its own"),
            ("daemon", "a daemon"),
        )
        if (ending, how) != ("crash", "itself")
    ),
    _everybody(work.left_behind),
    sizes=(1,),
    repeats=1,
)

MEASURES = (START, REPLACE, IDLE, STORM, LINES, RELOAD, STATUS, LEFT)
