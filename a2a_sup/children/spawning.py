"""From a command to a new process, or to a message that says what is wrong with the command."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import queue
import resource
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import trio

from a2a_sup.children import files
from a2a_sup.children.command import Command
from a2a_sup.children.marks import environment_with, inherited
from a2a_sup.errors import ChildExit

T = TypeVar("T")

_LIMITS = {
    "nofile": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
}


ENV_FILE_BYTES = 2**20
"""The kernel would refuse a larger environment anyway."""


NOT_INHERITED = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
"""What a service manager told the supervisor about itself: sd_notify(3), sd_watchdog_enabled(3)."""


class CannotRun(ChildExit):
    """A command cannot be run. The message names the path, user or limit and what is wrong."""

    kind = "start_failed"


class Spawner:
    """One thread that makes all processes, one at a time.

    Making a process takes milliseconds on a bad day, so not the event loop; and it has to be
    *one* thread that stays: the mark is set around each fork, and a program that asked to die
    with its parent (PR_SET_PDEATHSIG) dies with the thread that forked it.

    Attributes:
        thread: its number, as of a process: the kernel lists what it made as its children.
    """

    def __init__(self) -> None:
        """Start the thread. It does not keep the program from ending."""
        self._work = queue.SimpleQueue[Callable[[], None] | None]()
        thread = threading.Thread(target=self._serve, name="a2a-sup spawner", daemon=True)
        thread.start()
        self.thread = thread.native_id

    def close(self) -> None:
        """End the thread when its work is done."""
        self._work.put(None)

    async def run(self, function: Callable[[], T]) -> T:
        """Return ``function()``, called in the thread. Cannot be cancelled: a process may exist."""
        token = trio.lowlevel.current_trio_token()
        done = trio.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(function())
            except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited
                errors.append(exc)
            token.run_sync_soon(done.set)

        self._work.put(work)
        with trio.CancelScope(shield=True):
            await done.wait()
        if errors:
            raise errors.pop()
        return results.pop()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def spawn(command: Command, mark: int, stdio: tuple[int, int, int]) -> subprocess.Popen[bytes]:
    """Start the program in its own session and process group, carrying ``mark``.

    Args:
        command: what to run.
        mark: see :mod:`a2a_sup.children.marks`.
        stdio: its stdin, stdout and stderr: file descriptors, or subprocess's words.

    Raises:
        CannotRun: it did not start.
    """
    environment = _environment(command)
    cwd = _directory(command.cwd)
    program = _program(command.argv[0], environment, cwd)
    identity = identity_of(command)
    shim = _limiting_shim(command)
    arguments = [*shim, program, *command.argv[1:]] if shim else [*command.argv]
    try:
        if shim:
            # Behind a shim the kernel's own answer would come too late.
            _check_interpreter(program)
            _check_access(program, identity)
        with inherited(mark):
            process = subprocess.Popen(  # noqa: S603 - running commands is what this is for
                arguments,
                executable=shim[0] if shim else program,
                cwd=cwd,
                env=environment_with(mark, environment),
                stdin=stdio[0],
                stdout=stdio[1],
                stderr=stdio[2],
                umask=-1 if command.umask is None else command.umask,
                start_new_session=True,
                **identity,
            )
    except (OSError, subprocess.SubprocessError) as exc:
        _check_interpreter(program)
        where = f"cwd {cwd}" if cwd and getattr(exc, "filename", None) == cwd else program
        raise CannotRun(f"{where}: {_reason(exc)}") from exc
    if "nofile" not in command.limits:
        files.as_before(process.pid)
    if command.nice is not None:
        _favour(process, command.nice)
    return process


def check(command: Command) -> None:
    """Look whether a program could be started now, as far as that can be seen without doing it.

    Raises:
        CannotRun: it could not.
    """
    cwd = _directory(command.cwd)
    program = _program(command.argv[0], _environment(command), cwd)
    identity_of(command)
    _limiting_shim(command)
    _check_interpreter(program)


# --- environment ----------------------------------------------------------------------------------


def _environment(command: Command) -> dict[str, str]:
    if command.inherit_env == "all":
        environment = {
            name: value for name, value in os.environ.items() if name not in NOT_INHERITED
        }
    else:
        environment = {name: os.environ[name] for name in command.inherit_env if name in os.environ}
    if command.env_file is not None:
        environment |= _env_file(Path(command.env_file))
    return environment | dict(command.env)


def _env_file(path: Path) -> dict[str, str]:
    try:
        # A pipe would hold up every other start until somebody writes to it.
        if path.exists() and not path.is_file():
            raise CannotRun(f"env_file {path}: not a regular file")
        if path.stat().st_size > ENV_FILE_BYTES:
            raise CannotRun(f"env_file {path}: larger than {ENV_FILE_BYTES} bytes")
        text = path.read_text(errors="surrogateescape")
    except OSError as exc:
        raise CannotRun(f"env_file {path}: {_reason(exc)}") from exc
    variables = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip().removeprefix("export ")
        if not entry or entry.startswith("#"):
            continue
        name, separator, value = entry.partition("=")
        if not separator or not name.strip() or "\0" in entry:
            raise CannotRun(f"env_file {path}: line {number} is not NAME=value")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


# --- the program and its directory ----------------------------------------------------------------


def _directory(cwd: str | None) -> str | None:
    if cwd is None:
        return None
    try:
        mode = Path(cwd).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise CannotRun(f"cwd {cwd}: no such directory") from None
    except OSError as exc:
        raise CannotRun(f"cwd {cwd}: {_reason(exc)}") from None
    if not stat.S_ISDIR(mode):
        raise CannotRun(f"cwd {cwd}: not a directory")
    return cwd


def _program(name: str, environment: dict[str, str], cwd: str | None) -> str:
    """Return the program's absolute path, as the kernel will find it from ``cwd``."""
    if "/" in name:
        paths = [_absolute(name, cwd)]
    else:
        folders = os.get_exec_path(environment)
        paths = [_absolute(f"{folder}/{name}", cwd) for folder in folders]
    for path in paths:
        if os.access(path, os.X_OK) and Path(path).is_file():
            return path
    for path in paths:
        if _is_there(path):
            raise CannotRun(f"{path}: not executable")
    raise CannotRun(f"{paths[0]}: no such file" if "/" in name else f"{name}: no such file in PATH")


def _is_there(path: str) -> bool:
    """Return whether a path leads to something, as far as this user may see."""
    with suppress(OSError, ValueError):  # ValueError: a script may name anything
        Path(path).stat()
        return True
    return False


def _absolute(path: str, cwd: str | None) -> str:
    return path if path.startswith("/") else str(Path(cwd or ".").absolute() / path)


def _check_interpreter(program: str) -> None:
    """Refuse a script whose interpreter is missing: the kernel only says "no such file"."""
    try:
        with Path(program).open("rb") as file:
            first = file.read(256).split(b"\n")[0]
    except OSError:
        return
    words = first[2:].split() if first.startswith(b"#!") else []
    if words and not _is_there(os.fsdecode(words[0])):
        raise CannotRun(f"{program}: its interpreter {os.fsdecode(words[0])} does not exist")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return "no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


# --- user and group -------------------------------------------------------------------------------


def identity_of(command: Command) -> dict[str, Any]:
    """Return Popen's arguments for the change of user; empty if there is nothing to change.

    They are ``user``, ``group`` (numbers) and ``extra_groups``.

    Popen's own way is used although it forks more slowly than through setpriv: only so does the
    kernel's answer to exec come back here, and a program that this user may not run is a failed
    start.

    Raises:
        CannotRun: there is no such user or group, or the change is not ours to make.
    """
    if command.user is None and command.group is None:
        return {}
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    if command.user is not None:
        uid, gid, groups = _user(command.user, command.group)
    if command.group is not None:
        gid = _group(command.group)
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return {}
    if os.geteuid() != 0:
        raise CannotRun(f"user {command.user}, group {command.group}: only root may change them")
    return {"user": uid, "group": gid, "extra_groups": groups}


def _user(user: str | int, group: str | int | None) -> tuple[int, int, list[int]]:
    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        if isinstance(user, str):
            raise CannotRun(f"user {user}: no such user") from None
        if group is None:
            raise CannotRun(f"user {user}: no such user, so it needs a group too") from None
        return user, _group(group), []
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def _group(group: str | int) -> int:
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise CannotRun(f"group {group}: no such group") from None


# --- limits ---------------------------------------------------------------------------------------


def _limiting_shim(command: Command) -> list[str]:
    """Return the words to put before the program so that it starts with its limits."""
    if not command.limits:
        return []
    words = []
    for name, value in command.limits.items():
        hard = resource.getrlimit(_LIMITS[name])[1]
        if hard != resource.RLIM_INFINITY and (value is None or value > hard):
            wanted = "unlimited" if value is None else value
            raise CannotRun(f"limit {name}={wanted}: the supervisor's own hard limit is {hard}")
        words.append(f"--{name}={'unlimited' if value is None else value}")
    tool = shutil.which("prlimit")
    if tool is None:
        raise CannotRun("prlimit: no such file in PATH; limits need it (package util-linux)")
    return [tool, *words, "--"]


def _check_access(program: str, identity: dict[str, Any]) -> None:
    """Refuse a program that its user may not run."""
    if not identity:
        return
    test = subprocess.run(  # noqa: S603 - a fixed program, no shell
        ["/usr/bin/test", "-x", program], **identity, cwd="/", check=False
    )
    if test.returncode:
        raise CannotRun(f"{program}: permission denied")


def _favour(process: subprocess.Popen[bytes], nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    except OSError as exc:
        process.kill()
        process.wait()
        raise CannotRun(f"nice {nice}: {_reason(exc)}") from exc
