"""Where the control socket of a supervisor is, for the supervisor and for who looks for it.

Only the standard library: commands are to be quick.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

SUFFIX = ".sock"


class NotOurs(Exception):
    """The directory for control sockets cannot be trusted: the message says why."""


def runtime_directory() -> Path:
    """Return the directory of this user's control sockets, whether it exists or not.

    ``$XDG_RUNTIME_DIR/a2a-sup``, else ``/run/user/UID/a2a-sup`` if there is a /run/user/UID, else
    ``a2a-sup-UID`` in the directory for temporary files.
    """
    uid = os.geteuid()
    told = os.environ.get("XDG_RUNTIME_DIR")
    if told and Path(told).is_absolute():
        return Path(told) / "a2a-sup"
    usual = Path(f"/run/user/{uid}")
    if usual.is_dir() and usual.stat().st_uid == uid:
        return usual / "a2a-sup"
    return Path(tempfile.gettempdir()) / f"a2a-sup-{uid}"


def default_control_path(state_dir: Path) -> Path:
    """Return where the supervisor with this state directory listens: readable, and its own."""
    digest = hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", state_dir.name)[:32]
    return runtime_directory() / f"{name}-{digest}{SUFFIX}"


def prepare_directory(directory: Path) -> None:
    """Make the directory for this user only.

    Raises:
        NotOurs: it is another user's, or others may write to it.
        OSError: it cannot be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(directory)


def check_directory(directory: Path) -> None:
    """Refuse a directory in which somebody else may have put a socket.

    Raises:
        NotOurs: it is another user's, or others may write to it.
        OSError: it is not there.
    """
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{directory}: is no directory")
    if found.st_uid != os.geteuid():
        raise NotOurs(f"{directory}: belongs to the user {found.st_uid}, not to {os.geteuid()}")
    if found.st_mode & 0o022:
        raise NotOurs(f"{directory}: others may write to it (mode {found.st_mode & 0o777:o})")


def control_paths() -> list[Path]:
    """Return the sockets in the runtime directory, living or left behind, sorted.

    Raises:
        NotOurs: somebody else may have put them there.
    """
    directory = runtime_directory()
    try:
        check_directory(directory)
    except FileNotFoundError:
        return []
    return sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
