"""The tree of the soak: tasks under every strategy, processes that misbehave in every way."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import attrs

from a2a_sup import (
    Backoff,
    CheckFailed,
    ChildContext,
    ChildSpec,
    Probe,
    Restart,
    SupervisorSpec,
    supervisor,
)
from a2a_sup.app.config import Config, build, read_config
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import ScriptedChild

FAST = Restart(backoff=Backoff((0.05, 0.1, 0.2)), intensity=None, when_exhausted="isolate")

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
        groups: the supervisors of the tasks.
        tasks: by path.
        moods: by path, of the tasks that are probed.
        fleet: what each process does, by its name: a soak changes this and has it reloaded.
        renewed: how often a process was given another environment, by its name.
        logs: where output is kept.
    """

    groups: list[ChildSpec]
    tasks: dict[str, ScriptedChild]
    moods: dict[str, Moody]
    fleet: dict[str, str]
    logs: Path
    renewed: Counter[str] = attrs.field(factory=Counter)

    @property
    def processes(self) -> list[str]:
        """The paths of the processes."""
        return [f"fleet/{name}" for name in self.fleet]

    def read(self) -> Config:
        """Return the configuration of the fleet as it should be now."""
        lines = ["[children.fleet]", "strategy = 'one_for_one'"]
        for name, kind in self.fleet.items():
            limit = 3 if kind == "short" else "'unlimited'"
            lines += [
                f"[children.fleet.children.{name}]",
                f"command = {json.dumps([sys.executable, '-S', '-c', PROGRAMS[kind]])}",
                f"env = {{ RENEWED = '{self.renewed[name]}' }}",
                f"tags = ['{kind}']",
                "stop_timeout = '0.3s'",
                f"restart = {{ backoff = ['0.05s', '0.1s'], intensity = {limit}, period = '5s' }}",
                "logs = { max_size = '100KB', keep = 2 }",
            ]
        file = self.logs / "fleet.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return read_config(file, {})

    def spec(self, config: Config) -> ChildSpec:
        """Return the tree whose fleet is that of ``config``."""
        fleet = build(config, logs_dir=self.logs).run
        assert isinstance(fleet, SupervisorSpec)  # noqa: S101 - a tree's root is a supervisor
        return supervisor("soak", [*self.groups, *fleet.children])


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
    fleet = {f"p{number}": kind for number, kind in enumerate(kinds)}
    return Population(groups, scripted, moods, fleet, logs)
