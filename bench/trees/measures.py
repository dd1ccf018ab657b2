"""What trees of tasks take. Each repeat is a process of its own: memory used before is reused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench import install
from bench.alone import alone, printed
from bench.measure import FLAT, Aim, Contender, Figure, Kind, Limit, Measure, NotMeasured

HERE = Path(__file__).parent

SCHEDULER = Limit(
    "an OTP restart is a spawn and a message in a virtual machine made for it, 3 to 6 us; here it "
    "is a fresh task with a cancel scope of its own, and Trio's part alone (spawn, scope, one "
    "scheduler round, in CPython: the floors) is several times that",
    30,
)
"""Why no supervisor on Trio can be near OTP where OTP is at its best."""
FEWER = Limit(
    "its list of restarts in the period, which it goes through at each, is not yet long enough to "
    "outweigh what a spawn is in its virtual machine",
    30,
)
STARTS = Limit(
    "a start in OTP is a spawn in a virtual machine made for it, and not acknowledged in this "
    "measure; here it is a fresh task of Trio with a scope (the floor, a fifth to a third of "
    "ours), a specification that is checked, a record, an acknowledgement and the state that "
    "snapshots show",
    30,
)
STOPS = Limit(
    "an exit signal ends a process of OTP wherever it is; here a scope is cancelled and an "
    "exception unwinds the task (the floor, half of ours or more), and how it ended is kept",
    15,
)
GROUPS = Limit(
    "as with a start and a stop, of which this is as many as there are in the group, one after "
    "the other; half of it is Trio's part, the floor",
    30,
)
HEAP = Limit(
    "a child in OTP is a process, with a small heap of its own, and an entry of its supervisor; "
    "here it is a task of Trio with a scope (the floor, two thirds of ours), its specification, "
    "its record and what snapshots show of it",
    2,
)
NO_GROUPS = "it has no group strategies"
ACKNOWLEDGED = (
    "a start here is acknowledged by the child before the next one is begun, which is a switch to "
    "it and back; those of bare tasks and of triotp are not"
)
RECORDED = "beside the task there are its specification, its record and what snapshots show of it"
COLLECTED = (
    "Python's garbage collector looks at all objects there are at once, see the second column and "
    "the floor; a child that is started, stopped or pictured at once with all others takes its "
    "microseconds, too"
)


def _python() -> str | Path:
    """Return the Python that triotp needs, for all, so that they differ in nothing else."""
    with suppress(NotMeasured):
        return install.triotp() / "python"
    return sys.executable


def _in_python(module: str, work: str, size: int) -> Mapping[str, float]:
    return printed([_python(), "-m", f"bench.trees.{module}", work, str(size)])


def _in_triotp(work: str, size: int) -> Mapping[str, float]:
    return printed([install.triotp() / "python", "-m", "bench.trees.triotp_trees", work, str(size)])


def _in_otp(work: str, size: int) -> Mapping[str, float]:
    install.erlang()
    install.HOME.mkdir(parents=True, exist_ok=True)
    compile_it: list[str | Path] = ["erlc", "-o", install.HOME, HERE / "otp.erl"]
    subprocess.run(compile_it, check=True, timeout=60)
    # A scheduler with nothing to do sleeps: or its waiting would be counted as work.
    sleepy = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
    return printed(
        ["erl", *sleepy, "-noinput", "-pa", install.HOME, "-run", "otp", "main", work, str(size)]
    )


def _refused(why: str, _: int) -> Mapping[str, float]:
    raise NotMeasured(why)


def _ours(work: str, name: str = "a2a_sup") -> Contender:
    kind = Kind.OURS if name == "a2a_sup" else Kind.VARIANT
    return Contender(name, kind, partial(_in_python, "ours", work))


def _bare(work: str, name: str) -> Contender:
    return Contender(name, Kind.FLOOR, partial(_in_python, "bare", work))


def _otp(work: str, name: str = "OTP") -> Contender:
    return Contender(name, Kind.PEER, partial(_in_otp, work))


def _triotp(work: str) -> Contender:
    return Contender("triotp", Kind.PEER, partial(_in_triotp, work))


RESTART = Measure(
    "restart",
    "One child crashes again and again under one_for_one, all within one period; until it runs "
    "again. Nobody listens to events or logs, but where it says so.",
    (
        Figure(
            "us",
            "crash of a task to running again, {size} restarts",
            "CPU us each",
            (
                Aim(1.3, "nursery.start"),
                Aim(1 / 3, "triotp"),
                Aim(1, "OTP"),
                Aim(3, "OTP, short list"),
            ),
            {
                "OTP": FEWER,
                "OTP, short list": SCHEDULER,
                "OTP, short list, told": SCHEDULER,
            },
            growth=FLAT,
            missed="what OTP takes with a short list is less than Trio's part alone, the floors; "
            "its list, which it goes through at each restart, is short with few restarts, too",
        ),
    ),
    (
        _ours("restarts"),
        _ours("told_restarts", "a2a_sup, told"),
        _bare("restarts", "nursery.start"),
        _bare("channel_restarts", "task and channel"),
        _triotp("restarts"),
        _otp("restarts"),
        _otp("short_restarts", "OTP, short list"),
        _otp("told_restarts", "OTP, short list, told"),
    ),
    sizes=(300, 3_000, 30_000),
    repeats=5,
)

PARKED = Measure(
    "parked",
    "Children that wait, added one by one to a running tree. Only ours acknowledge their start "
    "before the next is added: triotp's, OTP's (`spawn_link` here) and bare tasks do not.",
    tuple(
        Figure(
            key,
            f"{what} of {{size}} idle children",
            f"{unit} each",
            (Aim(bound, "task and scope"), Aim(1 / 3, "triotp")),
            {"OTP": limit},
            growth=FLAT,
            missed=missed,
        )
        for key, what, unit, bound, limit, missed in (
            ("start", "start", "CPU us", 3, STARTS, ACKNOWLEDGED),
            ("stop", "stop", "CPU us", 3, STOPS, ""),
            ("memory", "memory", "bytes", 1.5, HEAP, RECORDED),
        )
    ),
    (
        _ours("parked"),
        _bare("parked", "task and scope"),
        _triotp("parked"),
        _otp("parked"),
    ),
    sizes=(1_000, 10_000, 100_000),
)

GROUP = Measure(
    "group",
    "One of a group under one_for_all crashes; until all are stopped, in reverse order and one at "
    "a time, and started again.",
    (
        Figure(
            "ms",
            "restart of a group of {size}",
            "CPU ms",
            limits={"OTP": GROUPS},
        ),
    ),
    (
        _ours("group"),
        _bare("group", "cancel and start anew"),
        Contender("triotp", Kind.PEER, partial(_refused, NO_GROUPS)),
        _otp("group"),
    ),
    sizes=(100, 1_000, 10_000),
)

SMALL = Measure(
    "small",
    "Small things in a tree of many children under one supervisor.",
    (
        Figure("restart", "restart of one of {size}", "CPU us", growth=FLAT),
        Figure("look", "a change of one of {size}, and a look at it", "CPU us", growth=FLAT),
        Figure("snapshot", "a change of one of {size}, and a snapshot", "CPU us"),
    ),
    (Contender("a2a_sup", Kind.OURS, alone("bench.trees.looks", "small_things")),),
    sizes=(100, 1_000, 10_000),
)

HELD = Measure(
    "held",
    "The longest time that nothing else could run in the program, with Python's garbage collector "
    "as it comes, and without it. The floor, with it: as many tasks of Trio with a scope each.",
    tuple(
        Figure(key, f"loop held: {what}", "ms", (Aim(20),), missed=COLLECTED)
        for key, what in (
            ("start", "start of {size}"),
            ("group", "restart of a group of {size}"),
            ("stop", "parallel stop of {size}"),
            ("first", "first snapshot of {size}"),
            ("next", "next snapshot of {size}"),
        )
    ),
    (
        Contender("a2a_sup", Kind.OURS, alone("bench.trees.holds", "holds")),
        Contender(
            "without collector",
            Kind.VARIANT,
            alone("bench.trees.holds", "holds_without_collector"),
        ),
        Contender("tasks and scopes", Kind.FLOOR, alone("bench.trees.holds", "bare_holds")),
    ),
    sizes=(10_000,),
)

MEASURES = (RESTART, PARKED, GROUP, SMALL, HELD)
