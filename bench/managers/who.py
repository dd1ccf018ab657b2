"""How to tell each process manager the same thing: keep these commands running."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from bench import install
from bench.measure import Kind

HERE = Path(__file__).parent
Words = Sequence[str | Path]
Commands = Sequence[Sequence[str]]


@attrs.frozen
class Launch:
    """What starts a manager in the foreground, and what is asked of it then.

    Attributes:
        words: the command.
        env: variables to add, for all of these.
        stop: the signal that ends it with all it runs.
        status: the command that shows what runs.
        shows: a regular expression of what it prints once for each process.
        ask: the command that asks for the same so many times as its last argument says, by the
            best way in that the manager has, and prints the seconds of each answer, a line each.
        reload: the command that applies a changed configuration, or, where there is none,
            restarts the last of the commands.
        output: where the output of its commands is: files, whose sizes are added up.
    """

    words: Words
    env: Mapping[str, str] = attrs.field(factory=dict)
    stop: signal.Signals = signal.SIGTERM
    status: Words = ()
    shows: str = ""
    ask: Words = ()
    reload: Words = ()
    output: str = ""


@attrs.frozen
class Manager:
    """A process manager.

    Attributes:
        name: for tables.
        kind: what it is to us.
        prepare: writes the configuration for commands into a directory; called again, it writes
            a changed one.
    """

    name: str
    kind: Kind
    prepare: Callable[[Path, Commands], Launch]


# --- this project -------------------------------------------------------------------------------


def a2a_sup(directory: Path, commands: Commands) -> Launch:
    """Restart at once and for ever, as the others are told to."""
    lines = ["[defaults]", 'restart = { backoff = ["0s"], intensity = "unlimited" }']
    lines += ["[defaults.logs]", 'max_size = "1GB"']
    for number, command in enumerate(commands):
        lines += [f"[children.c{number}]", f"command = {json.dumps(list(command))}"]
    file = directory / "tree.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = Path(sys.executable).parent / "a2a-sup"
    state, control = directory / "state", directory / "control"
    return Launch(
        [program, "run", file, "--state-dir", state, "--log-level", "error"],
        # As it comes, but for the ports: another supervisor may have them.
        {
            "A2A_SUP_CONTROL": str(control),
            "A2A_SUP_HTTP": "127.0.0.1:0",
            "A2A_SUP_DASHBOARD": "127.0.0.1:0",
        },
        status=[program, "status"],
        shows=r"\bc\d+\b",
        ask=[sys.executable, HERE / "ask_a2a_sup.py", control],
        reload=[program, "reload"],
        output="state/logs/*",
    )


def bare(directory: Path, commands: Commands) -> Launch:
    """By hand, with nothing around it: see ``bare.py``."""
    file = directory / "commands.json"
    file.write_text(json.dumps(list(map(list, commands))), encoding="utf-8")
    # Isolated, as nothing of this environment is needed.
    return Launch([sys.executable, "-I", "-S", HERE / "bare.py", file], output="output.*")


# --- the others ---------------------------------------------------------------------------------


def supervisord(directory: Path, commands: Commands) -> Launch:
    """Restart for ever; its state machine is driven once a second."""
    lines = ["[supervisord]", "nodaemon=true", f"logfile={directory}/log", "loglevel=error"]
    lines += [f"pidfile={directory}/pid", f"childlogdir={directory}"]
    # Three pipes and two files each; all these it closes in each process, so no more than needed.
    lines += [f"minfds={max(1024, 6 * len(commands))}"]
    lines += ["[unix_http_server]", f"file={directory}/control"]
    lines += ["[supervisorctl]", f"serverurl=unix://{directory}/control"]
    lines += ["[rpcinterface:supervisor]"]
    lines += ["supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"]
    for number, command in enumerate(commands):
        lines += [f"[program:c{number}]", f"command={shlex.join(command)}", "autorestart=true"]
        # Or it would give up on what exits at once.
        lines += ["startsecs=0", "startretries=1000000", "stdout_logfile_maxbytes=0"]
        lines += [f"stdout_logfile={directory}/output.{number}"]
    file = directory / "supervisord.conf"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    programs = install.python_peers()
    control: Words = [programs / "supervisorctl", "-c", file]
    return Launch(
        [programs / "supervisord", "-c", file],
        status=[*control, "status"],
        shows=r"\bc\d+ +RUNNING",
        ask=[programs / "python", HERE / "ask_supervisord.py", directory / "control"],
        reload=[*control, "update"],
        output="output.*",
    )


def circus(directory: Path, commands: Commands, check_delay: float = 0.1) -> Launch:
    """Restart for ever, looking every ``check_delay`` seconds; five, unless it is told."""
    lines = ["[circus]", f"check_delay = {check_delay}", f"endpoint = ipc://{directory}/control"]
    lines += [f"pubsub_endpoint = ipc://{directory}/events", "loglevel = ERROR"]
    for number, command in enumerate(commands):
        lines += [f"[watcher:c{number}]", f"cmd = {shlex.join(command)}", "warmup_delay = 0"]
        lines += ["stdout_stream.class = FileStream"]
        lines += [f"stdout_stream.filename = {directory}/output.{number}"]
    file = directory / "circus.ini"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    programs = install.python_peers()
    endpoint = f"ipc://{directory}/control"
    control: Words = [programs / "circusctl", "--timeout", "60", "--endpoint", endpoint]
    return Launch(
        [programs / "circusd", file],
        status=[*control, "status"],
        shows=r"\bc\d+: active",
        ask=[programs / "python", HERE / "ask_circus.py", endpoint],
        reload=[*control, "reloadconfig"],
        output="output.*",
    )


def pm2(directory: Path, commands: Commands) -> Launch:
    """Restart without delay, however short a run was."""
    apps = [
        {
            "name": f"c{number}",
            "script": command[0],
            "args": list(command[1:]),
            "interpreter": "none",
            "max_restarts": 10**9,
            "out_file": f"{directory}/output.{number}",
        }
        for number, command in enumerate(commands)
    ]
    file = directory / "ecosystem.json"
    file.write_text(json.dumps({"apps": apps}), encoding="utf-8")
    modules = install.node_peers()
    return Launch(
        [modules / ".bin" / "pm2-runtime", "start", file],
        {
            "PM2_HOME": str(directory / "pm2"),
            "PM2_DISABLE_VERSION_CHECK": "true",
            "NODE_PATH": str(modules),
        },
        signal.SIGINT,
        status=[modules / ".bin" / "pm2", "jlist"],
        shows=r'"pm_id":\d+,"monit"',
        ask=["node", HERE / "ask_pm2.cjs"],
        reload=[modules / ".bin" / "pm2", "startOrReload", file],
        output="output.*",
    )


def runit(directory: Path, commands: Commands) -> Launch:
    """A directory with a run script for each; HUP stops them too."""
    program = install.debian_peer("runsvdir")
    services = _scripts(directory, commands, "svlogd", str(program.with_name("svlogd")))
    status: Words = [program.with_name("sv"), "status", *sorted(services.iterdir())]
    return Launch(
        [program, services],
        stop=signal.SIGHUP,
        status=status,
        shows="run: ",
        reload=[program.with_name("sv"), "restart", services / f"c{len(commands) - 1}"],
        ask=[sys.executable, HERE / "ask_by_command.py", *status],
        output="output.*/current",
    )


def s6(directory: Path, commands: Commands) -> Launch:
    """A directory with a run script for each."""
    program = install.debian_peer("s6-svscan")
    services = _scripts(directory, commands, "s6-log", f"{program.with_name('s6-log')} s268435455")
    # It shows one service at a time.
    loop = f"for each in {services}/*; do {program.with_name('s6-svstat')} $each; done"
    status = ["sh", "-c", loop]
    return Launch(
        [program, "-c", "4000", services],
        status=status,
        shows="up \\(pid",
        reload=[program.with_name("s6-svc"), "-r", services / f"c{len(commands) - 1}"],
        ask=[sys.executable, HERE / "ask_by_command.py", *status],
        output="output.*/current",
    )


def _scripts(directory: Path, commands: Commands, kind: str, logger: str) -> Path:
    """Write a directory for each command, with a logger for those that print."""
    services = directory / "services"
    for number, command in enumerate(commands):
        service = services / f"c{number}"
        _script(service / "run", shlex.join(command))
        if PRINTS in command:
            output = directory / f"output.{number}"
            output.mkdir(exist_ok=True)
            if kind == "svlogd":
                (output / "config").write_text("s268435455\n", encoding="ascii")
            _script(service / "log" / "run", f"{logger} {output}")
    return services


def _script(file: Path, command: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
    file.chmod(0o755)


PRINTS = "prints"
"""An argument of commands whose output is to be kept; the others print nothing."""

OURS = Manager("a2a_sup", Kind.OURS, a2a_sup)
BARE = Manager("bare Popen", Kind.FLOOR, bare)
PEERS = (
    Manager("supervisord", Kind.PEER, supervisord),
    Manager("circus", Kind.PEER, circus),
    Manager("pm2", Kind.PEER, pm2),
    Manager("runit", Kind.PEER, runit),
    Manager("s6", Kind.PEER, s6),
)
CIRCUS_AT_EASE = Manager("circus", Kind.PEER, partial(circus, check_delay=5.0))
"""As it comes."""
CIRCUS_IN_HASTE = Manager("circus", Kind.PEER, partial(circus, check_delay=0.01))
