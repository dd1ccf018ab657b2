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
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import ScriptedChild
from bench.soak.leftovers import NAME

FAST = Restart(backoff=Backoff((0.05, 0.1, 0.2)), intensity=None, when_exhausted="isolate")
ONCE = attrs.evolve(FAST, type=RestartType.TRANSIENT)

STRATEGIES: tuple[StrategyWord, ...] = ("one_for_one", "one_for_all", "rest_for_one")
STUBBORN_SECONDS = 6.5
"""For which a stubborn task lives on when it was cancelled: it is stuck after 5."""
PROGRAMS: Mapping[str, str] = {
    "quiet": "import time; time.sleep(3600)",
    "beating": (
        "import os, socket, time\n"
        "place = os.environ['NOTIFY_SOCKET']\n"
        "place = '\\0' + place[1:] if place[0] == '@' else place\n"
        "door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "while True:\n"
        "    door.sendto(b'WATCHDOG=1', place)\n"
        "    time.sleep(0.5)"
    ),
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
SHARES = {
    "quiet": 0.4,
    "beating": 0.1,
    "flood": 0.02,
    "deaf": 0.13,
    "hiding": 0.2,
    "short": 0.15,
}
MOST_PROCESSES = {"hiding": 3}
"""That a process of a kind can consist of at a time; of the others: 1."""
HEARTBEAT = "3s"
"""Within which a beating process has to say that it lives: six times what it takes."""


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
        tasks: by path, without the stubborn ones.
        stubborn: tasks that live on when they are cancelled, by path.
        moods: by path, of the tasks that are probed.
        fleet: what each process does, by its name: a soak changes this and has it reloaded.
        renewed: how often a process was given another environment, by its name.
        logs: where output is kept.
    """

    groups: list[ChildSpec]
    tasks: dict[str, ScriptedChild]
    stubborn: dict[str, ScriptedChild]
    moods: dict[str, Moody]
    fleet: dict[str, str]
    logs: Path
    renewed: Counter[str] = attrs.field(factory=Counter)

    @property
    def processes(self) -> list[str]:
        """The paths of the processes."""
        return [f"fleet/{name}" for name in self.fleet]

    def kind_of(self, path: str) -> str:
        """Return what the process at ``path`` does; empty: it is no process of the fleet."""
        return self.fleet.get(path.removeprefix("fleet/"), "") if path.startswith("fleet/") else ""

    def restart_of(self, path: str) -> RestartType:
        """Return how the child at ``path`` is restarted."""
        return RestartType.TRANSIENT if path in self.tasks and is_once(path) else FAST.type

    @property
    def bounds(self) -> dict[str, int]:
        """How many processes each process of the fleet can be at a time.

        And one of nobody: there is one thread that makes processes, one at a time, and until it is
        executed a process has no name.
        """
        return {"": 1} | {name: MOST_PROCESSES.get(kind, 1) for name, kind in self.fleet.items()}

    def read(self) -> Config:
        """Return the configuration of the fleet as it should be now."""
        lines = ["[children.fleet]", "strategy = 'one_for_one'"]
        for name, kind in self.fleet.items():
            limit = 3 if kind == "short" else "'unlimited'"
            env = f"RENEWED = '{self.renewed[name]}', {NAME} = '{name}'"
            lines += [
                f"[children.fleet.children.{name}]",
                f"command = {json.dumps([sys.executable, '-S', '-c', PROGRAMS[kind]])}",
                f"env = {{ {env} }}",
                f"tags = ['{kind}']",
                "stop_timeout = '0.3s'",
                f"restart = {{ backoff = ['0.05s', '0.1s'], intensity = {limit}, period = '5s' }}",
                "logs = { max_size = '100KB', keep = 2 }",
            ]
            if kind == "beating":
                lines.append(f"probes = [{{ heartbeat = '{HEARTBEAT}' }}]")
        file = self.logs / "fleet.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return read_config(file, {})

    def spec(self, config: Config) -> ChildSpec:
        """Return the tree whose fleet is that of ``config``."""
        fleet = build(config, logs_dir=self.logs).run
        assert isinstance(fleet, SupervisorSpec)  # noqa: S101 - a tree's root is a supervisor
        return supervisor("soak", [*self.groups, *fleet.children])


def is_once(path: str) -> bool:
    """Return whether a task is done when it returns: every eighth of ten."""
    return path.endswith("/t7")


def kinds_of(processes: int) -> list[str]:
    """Return what about so many processes do: as many as the shares make of it."""
    return [kind for kind, share in SHARES.items() for _ in range(round(share * processes))]


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
            restart = ONCE if is_once(path) else FAST
            members.append(child.spec(restart=restart, probes=probes))
        groups.append(supervisor(group, members, strategy=strategy, restart=FAST))
    stubborn = {}
    for strategy in STRATEGIES[:2]:
        child = ScriptedChild("stubborn", politeness="ignores", stop_delay=STUBBORN_SECONDS)
        other = ScriptedChild("other")
        group = f"stubborn_{strategy}"
        stubborn[f"{group}/{child.name}"] = child
        members = [each.spec(restart=FAST, shutdown=0.5) for each in (other, child)]
        groups.append(supervisor(group, members, strategy=strategy, restart=FAST))
    fleet = {f"p{number}": kind for number, kind in enumerate(kinds_of(processes))}
    return Population(groups, scripted, stubborn, moods, fleet, logs)
