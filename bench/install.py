"""The peers themselves, installed into ``build/peers``, but for Debian's packages.

From the Python index: supervisor, circus, triotp. From npm: pm2, ws. Debian's packages (runit, s6,
Erlang, and node for those of npm) have their paths built in, so they are installed as such, if
this is root; they start no service. A peer that cannot be had is a :class:`NotMeasured` with the
reason, and is not tried again: without network, each try takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec, TypeVar

from bench.measure import NotMeasured

HOME = Path(__file__).parents[1] / "build" / "peers"
PATIENCE = 600.0
"""Seconds that an installation is given."""
PYTHON_PEERS = ("supervisor==4.3.0", "circus==0.19.0", "setuptools<81")
TRIOTP = ("triotp==0.3.1", f"trio=={version('trio')}")
"""On the same Trio as ours."""
NODE_PEERS = ("pm2@7.0.4", "ws@8")
DEBIAN_PEERS = {
    "runsvdir": "runit",
    "s6-svscan": "s6",
    "erlc": "erlang-base",
    "node": "nodejs",
    "npm": "npm",
}
"""Packages, by a program of theirs."""

Args = ParamSpec("Args")
Found = TypeVar("Found")


def once(get: Callable[Args, Found]) -> Callable[Args, Found]:
    """Have ``get`` find something once, or fail once: it then fails with the same reason."""
    found: dict[object, Found] = {}
    failed: dict[object, str] = {}

    @wraps(get)
    def got(*args: Args.args, **kwargs: Args.kwargs) -> Found:
        key = (args, *sorted(kwargs.items()))
        if key in failed:
            raise NotMeasured(failed[key])
        if key not in found:
            try:
                found[key] = get(*args, **kwargs)
            except (NotMeasured, OSError, subprocess.SubprocessError) as exc:
                failed[key] = str(exc)
                raise NotMeasured(failed[key]) from exc
        return found[key]

    return got


def reason(said: str) -> str:
    """Return the line of a failed program's output that says why: its last error, or the last."""
    # npm says "npm error" on each line, and ends with where its log is; node shows its stack.
    lines = [re.sub(r"^npm (error|ERR!)", "", line).strip() for line in said.splitlines()]
    lines = [each for each in lines if each and not each.startswith(("at ", "A complete log"))]
    errors = [each for each in lines if re.search("error|not found|no matching", each, re.I)]
    return (errors or lines or [""])[-1][:300]


def _run(*words: str | Path) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            if isinstance(exc, subprocess.TimeoutExpired):
                raise NotMeasured(f"{words[0]} was not done within {PATIENCE:g} s") from None
            raise
    if process.returncode:
        why = reason((err.strip() or out).decode(errors="replace"))
        raise NotMeasured(f"{words[0]} exited with {process.returncode}: {why}")


def _venv(name: str, python: str | Path, packages: Sequence[str]) -> Path:
    """Return the ``bin`` of a venv of its own with ``packages``."""
    home = HOME / name
    if not _has(home, packages):
        _run(python, "-m", "venv", "--clear", home)
        _run(home / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
        _note(home, packages)
    return home / "bin"


def _has(home: Path, packages: Sequence[str]) -> bool:
    """Return whether these very packages were installed there."""
    with suppress(OSError):
        return (home / ".installed").read_text(encoding="utf-8").split() == [*packages]
    return False


def _note(home: Path, packages: Iterable[str]) -> None:
    (home / ".installed").write_text("\n".join(packages) + "\n", encoding="utf-8")


@once
def python_peers() -> Path:
    """Return the ``bin`` with supervisord and circusd."""
    return _venv("python", sys.executable, PYTHON_PEERS)


@once
def triotp() -> Path:
    """Return the ``bin`` of a Python with triotp, which needs Python 3.13."""
    # A version manager's stand-in on the path may answer to the name and not be it.
    candidates = ["python3.13", *map(str, Path.home().glob(".pyenv/versions/3.13.*/bin/python"))]
    for python in candidates:
        is_one = [python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 13))"]
        with suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run(is_one, check=False, capture_output=True, timeout=60).returncode == 0:
                return _venv("triotp", python, TRIOTP)
    raise NotMeasured("triotp needs Python 3.13, which is not here")


@once
def node_peers() -> Path:
    """Return the ``node_modules`` with pm2 and ws; see to it that ``node`` is here."""
    home = HOME / "node"
    debian_peer("node")
    if not _has(home, NODE_PEERS):
        debian_peer("npm")
        home.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--no-audit", "--no-fund", "--prefix", home, *NODE_PEERS)
        _note(home, NODE_PEERS)
    return home / "node_modules"


@once
def debian_peer(program: str) -> Path:
    """Return the path of a program of one of DEBIAN_PEERS."""
    package = DEBIAN_PEERS[program]
    if shutil.which(program) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise NotMeasured(f"Debian's package {package} is not installed")
        _list_packages()
        _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", package)
    found = shutil.which(program)
    if found is None:
        raise NotMeasured(f"Debian's package {package} has no {program}")
    return Path(found)


@once
def _list_packages() -> None:
    _run("apt-get", "update", "--quiet")


def erlang() -> Path:
    """See to it that ``erl`` and ``erlc`` are here."""
    return debian_peer("erlc")


def everything() -> dict[str, str]:
    """Get all peers, so that no measure waits for one; return why some cannot be had, by name."""
    failed = {}
    for name, get in {
        "supervisord, circus": python_peers,
        "triotp": triotp,
        "pm2, ws": node_peers,
        "runit": lambda: debian_peer("runsvdir"),
        "s6": lambda: debian_peer("s6-svscan"),
        "OTP": erlang,
    }.items():
        try:
            get()
        except NotMeasured as exc:
            failed[name] = str(exc)
    return failed


# --- what is here ------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return what the peers are that are here, by name."""
    found = _python_versions("python", {"supervisor": "supervisor", "circus": "circus"})
    found |= _python_versions(
        "triotp", {"triotp": "triotp", "Python of trees": "", "trio of trees": "trio"}
    )
    for name in ("pm2", "ws"):
        with suppress(OSError):
            about = HOME / "node" / "node_modules" / name / "package.json"
            found[name] = json.loads(about.read_text(encoding="utf-8"))["version"]
    for name, words in _TOLD_BY.items():
        if said := _said(words):
            found[name] = said
    return found


def _python_versions(venv: str, packages: dict[str, str]) -> dict[str, str]:
    """Return the versions of packages in a venv, by names for them; no package: of Python."""
    asking = (
        "import platform, sys; from importlib.metadata import version; "
        "print(version(sys.argv[1]) if sys.argv[1] else platform.python_version())"
    )
    python = HOME / venv / "bin" / "python"
    told = {name: _said([python, "-c", asking, package]) for name, package in packages.items()}
    return {name: said for name, said in told.items() if said}


def _said(words: Sequence[str | Path]) -> str:
    """Return what a command prints; nothing if it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()
    return ""


_TOLD_BY = {
    "node": ["node", "--version"],
    "Erlang/OTP": [
        *("erl", "-noinput", "-eval"),
        "io:put_chars(erlang:system_info(otp_release)), halt().",
    ],
    "runit": ["dpkg-query", "--show", "--showformat", "${Version}", "runit"],
    "s6": ["dpkg-query", "--show", "--showformat", "${Version}", "s6"],
}
"""Commands that print a version."""
