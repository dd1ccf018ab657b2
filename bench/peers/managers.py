"""How to tell each process manager the same thing: keep these commands running."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from bench.peers import install

Commands = Sequence[Sequence[str]]


@attrs.frozen
class Launch:
    """What starts a manager in the foreground.

    Attributes:
        words: the command.
        env: variables to add.
        stop: the signal that ends it with all it runs.
    """

    words: Sequence[str | Path]
    env: Mapping[str, str] = attrs.field(factory=dict)
    stop: signal.Signals = signal.SIGTERM


@attrs.frozen
class Manager:
    """A process manager.

    Attributes:
        name: for tables.
        prepare: writes the configuration for commands into a directory.
        note: what its settings are, where they are not its defaults.
    """

    name: str
    prepare: Callable[[Path, Commands], Launch]
    note: str = ""


def start(launch: Launch, directory: Path) -> subprocess.Popen[bytes]:
    """Start a manager with its output in ``directory``."""
    with (directory / "output").open("wb") as output:
        return subprocess.Popen(
            list(map(str, launch.words)),
            cwd=directory,
            env={**os.environ, **launch.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


# --- this project -------------------------------------------------------------------------------


def a2a_sup(directory: Path, commands: Commands) -> Launch:
    """Restart at once and for ever, as the peers are told to."""
    table = "".join(
        f"[children.c{number}]\ncommand = {json.dumps(list(command))}\n"
        for number, command in enumerate(commands)
    )
    policy = '[defaults]\nrestart = { backoff = ["0s"], intensity = "unlimited" }\n'
    return _a2a_sup(directory, policy + table)


def a2a_sup_defaults(directory: Path, commands: Commands) -> Launch:
    """With the backoff and the budget that it has by default."""
    table = "".join(
        f"[children.c{number}]\ncommand = {json.dumps(list(command))}\n"
        for number, command in enumerate(commands)
    )
    return _a2a_sup(directory, table)


def _a2a_sup(directory: Path, text: str) -> Launch:
    file = directory / "tree.toml"
    file.write_text(text, encoding="utf-8")
    program = Path(sys.executable).parent / "a2a-sup"
    words: list[str | Path] = [
        program,
        "run",
        file,
        "--state-dir",
        directory / "state",
        "--log-level",
        "error",
    ]
    return Launch(words, {"A2A_SUP_HTTP": "off", "A2A_SUP_DASHBOARD": "off"})


# --- the others ---------------------------------------------------------------------------------


def supervisord(directory: Path, commands: Commands) -> Launch:
    """Restart for ever; its state machine is driven once a second."""
    lines = ["[supervisord]", "nodaemon=true", f"logfile={directory}/log", "loglevel=error"]
    lines += [f"pidfile={directory}/pid", f"childlogdir={directory}", "minfds=4096"]
    for number, command in enumerate(commands):
        lines += [f"[program:c{number}]", f"command={shlex.join(command)}", "autorestart=true"]
    file = directory / "supervisord.conf"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Launch([install.python_peers() / "supervisord", "-c", file])


def circus(directory: Path, commands: Commands) -> Launch:
    """Restart for ever, looking ten times a second instead of once in five seconds."""
    lines = ["[circus]", "check_delay = 0.1", f"endpoint = ipc://{directory}/control"]
    lines += [f"pubsub_endpoint = ipc://{directory}/events", "loglevel = ERROR"]
    for number, command in enumerate(commands):
        lines += [f"[watcher:c{number}]", f"cmd = {shlex.join(command)}", "warmup_delay = 0"]
    file = directory / "circus.ini"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Launch([install.python_peers() / "circusd", file])


def pm2(directory: Path, commands: Commands) -> Launch:
    """Restart without delay."""
    apps = [
        {
            "name": f"c{number}",
            "script": command[0],
            "args": list(command[1:]),
            "interpreter": "none",
        }
        for number, command in enumerate(commands)
    ]
    file = directory / "ecosystem.json"
    file.write_text(json.dumps({"apps": apps}), encoding="utf-8")
    program = install.node_peers() / ".bin" / "pm2-runtime"
    env = {"PM2_HOME": str(directory / "pm2"), "PM2_DISABLE_VERSION_CHECK": "true"}
    return Launch([program, "start", file], env, signal.SIGINT)


def runit(directory: Path, commands: Commands) -> Launch:
    """A directory with a run script for each; HUP stops them too."""
    program = install.debian_peer("runsvdir")
    return Launch([program, _scripts(directory, commands)], stop=signal.SIGHUP)


def s6(directory: Path, commands: Commands) -> Launch:
    """A directory with a run script for each."""
    program = install.debian_peer("s6-svscan")
    return Launch([program, "-c", "2000", _scripts(directory, commands)])


def _scripts(directory: Path, commands: Commands) -> Path:
    services = directory / "services"
    for number, command in enumerate(commands):
        service = services / f"c{number}"
        service.mkdir(parents=True)
        run = service / "run"
        run.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n", encoding="utf-8")
        run.chmod(0o755)
    return services


OURS = Manager("a2a_sup", a2a_sup, "backoff 0 s, no limit")
DEFAULTS = Manager("a2a_sup", a2a_sup_defaults)
PEERS = (
    Manager("supervisord", supervisord),
    Manager("circus", circus, "check_delay 0.1 s"),
    Manager("pm2", pm2),
    Manager("runit", runit),
    Manager("s6", s6),
)
