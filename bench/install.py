"""The peers themselves, installed into ``build/peers``, but for Debian's runit, s6 and Erlang.

From the Python index: supervisor, circus, triotp. From npm: pm2, ws. Debian's packages have their
paths built in, so they are installed as such, if this is root; they start no service. A peer that
cannot be had is a :class:`NotMeasured` with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.measure import NotMeasured

HOME = Path(__file__).parents[1] / "build" / "peers"
PYTHON_PEERS = ("supervisor==4.3.0", "circus==0.19.0", "setuptools<81")
TRIOTP = ("triotp==0.3.1",)
NODE_PEERS = ("pm2@7.0.4", "ws@8")
DEBIAN_PEERS = {"runsvdir": "runit", "s6-svscan": "s6", "erlc": "erlang-base"}


def _run(words: Sequence[str | Path], cwd: Path | None = None) -> None:
    done = subprocess.run(
        list(map(str, words)), check=False, capture_output=True, text=True, timeout=600, cwd=cwd
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotMeasured(f"{words[0]} exited with {done.returncode}: {' '.join(last)}")


def _venv(name: str, python: str | Path, packages: Sequence[str]) -> Path:
    """Return the ``bin`` of a venv of its own with ``packages``."""
    home = HOME / name
    if not (home / ".installed").exists():
        _run([python, "-m", "venv", "--clear", home])
        _run([home / "bin" / "python", "-m", "pip", "install", "--quiet", *packages])
        (home / ".installed").touch()
    return home / "bin"


@cache
def python_peers() -> Path:
    """Return the ``bin`` with supervisord and circusd."""
    return _venv("python", sys.executable, PYTHON_PEERS)


@cache
def triotp() -> Path:
    """Return the ``bin`` of a Python with triotp, which needs Python 3.13."""
    # A version manager's stand-in on the path may answer to the name and not be it.
    candidates = ["python3.13", *map(str, Path.home().glob(".pyenv/versions/3.13.*/bin/python"))]
    for python in candidates:
        is_one = [python, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 13))"]
        with suppress(OSError):
            if subprocess.run(is_one, check=False, capture_output=True).returncode == 0:
                return _venv("triotp", python, TRIOTP)
    raise NotMeasured("triotp needs Python 3.13, which is not here")


@cache
def node_peers() -> Path:
    """Return the ``node_modules`` with pm2 and ws."""
    home = HOME / "node"
    if not (home / ".installed").exists():
        if shutil.which("npm") is None:
            raise NotMeasured("npm is not here")
        home.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", home, *NODE_PEERS])
        (home / ".installed").touch()
    return home / "node_modules"


@cache
def debian_peer(program: str) -> Path:
    """Return the path of a program of one of DEBIAN_PEERS."""
    if shutil.which(program) is None:
        package = DEBIAN_PEERS[program]
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise NotMeasured(f"Debian's package {package} is not installed")
        _run(["apt-get", "update", "--quiet"])
        _run(["apt-get", "install", "--yes", "--no-install-recommends", package])
    found = shutil.which(program)
    if found is None:
        raise NotMeasured(f"Debian's package {DEBIAN_PEERS[program]} has no {program}")
    return Path(found)


def erlang() -> None:
    """See to it that ``erl`` and ``erlc`` are here."""
    debian_peer("erlc")


def versions() -> dict[str, str]:
    """Return what the peers are that are here, by name; for those of indexes as pinned above."""
    found = dict(package.split("==") for package in (*PYTHON_PEERS[:2], *TRIOTP))
    found |= dict(package.rsplit("@", 1) for package in NODE_PEERS)
    for name, words in _TOLD_BY.items():
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
            found[name] = done.stdout.strip()
    return found


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
