"""The tree of the soak: tasks under every strategy, processes that misbehave in every way."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from a2a_sup import (
    Backoff,
    CheckFailed,
    ChildContext,
    ChildSpec,
    LogFiles,
    Probe,
    Restart,
    process,
    supervisor,
)
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import ScriptedChild

FAST = Restart(backoff=Backoff((0.05, 0.1, 0.2)), intensity=None, when_exhausted="isolate")
LIMITED = Restart(backoff=Backoff((0.05, 0.1)), intensity=3, period=5, when_exhausted="isolate")

STRATEGIES: tuple[StrategyWord, ...] = ("one_for_one", "one_for_all", "rest_for_one")
PROGRAMS: Mapping[str, str] = {
    "quiet": "import time; time.sleep(3600)",
    "flood": "import sys\nwhile True: sys.stdout.write('x' * 99 + '\\n')",
    "deaf": "import signal, time; signal.signal(15, 1); time.sleep(3600)",
    "hiding": (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(3600)\n"
        "    os._exit(0)\n"
        "time.sleep(3600)"
    ),
    "short": "import random, time; time.sleep(random.random() * 5); raise SystemExit(3)",
}
"""What processes do. A flood blocks on its pipe whenever the machine has better things to do."""
SHARES = {"quiet": 0.5, "flood": 0.02, "deaf": 0.13, "hiding": 0.2, "short": 0.15}


@attrs.define
class Moody:
    """What the probes of one child find: a soak flips it."""

    is_well: bool = True

    async def check(self, _: ChildContext) -> None:
        """Pass if well."""
        if not self.is_well:
            raise CheckFailed("not well")


@attrs.define
class Population:
    """The tree, and what a soak steers it by.

    Attributes:
        spec: the tree.
        tasks: by path.
        moods: by path, of the tasks that are probed.
        processes: their paths.
    """

    spec: ChildSpec
    tasks: dict[str, ScriptedChild]
    moods: dict[str, Moody]
    processes: list[str]


def populate(tasks: int, processes: int, logs: Path) -> Population:
    """Return a tree of so many tasks, in groups of ten, and processes."""
    scripted: dict[str, ScriptedChild] = {}
    moods: dict[str, Moody] = {}
    groups = []
    for number in range(0, tasks, 10):
        strategy = STRATEGIES[number // 10 % len(STRATEGIES)]
        group = f"group{number // 10}"
        members = []
        for member in range(min(10, tasks - number)):
            child = ScriptedChild(
                f"t{member}",
                politeness="heeds" if member % 3 else "none",
                stop_delay=0.01 * (member % 3),
            )
            path = f"{group}/{child.name}"
            scripted[path] = child
            probes = []
            if member % 5 == 0:
                moods[path] = mood = Moody()
                probes = [Probe(name="mood", check=mood.check, interval=1, failure_threshold=1)]
            members.append(child.spec(restart=FAST, probes=probes))
        groups.append(supervisor(group, members, strategy=strategy, restart=FAST))
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * processes))]
    named = {f"p{number}": kind for number, kind in enumerate(kinds)}
    children = [_process(name, kind, logs) for name, kind in named.items()]
    fleet = supervisor("fleet", children, stop_order="parallel", restart=FAST)
    return Population(
        supervisor("soak", [*groups, fleet]),
        scripted,
        moods,
        [f"fleet/{name}" for name in named],
    )


def _process(name: str, kind: str, logs: Path) -> ChildSpec:
    return process(
        name,
        [sys.executable, "-S", "-c", PROGRAMS[kind]],
        logs=LogFiles(logs, max_bytes=100_000, keep=2),
        stop_timeout=0.3,
        restart=LIMITED if kind == "short" else FAST,
        tags=[kind],
    )
