"""Files put aside: ``NAME.1`` is the youngest; packed ones are called ``NAME.1.gz``.

One lock guards all changes of these names, because packing goes on in a thread while files move
up. It is held for renames only, never while a file is read or written.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

PACKED = ".gz"
LEVEL = 6
"""As gzip's own."""
PATIENCE = 19
"""Niceness of the thread that packs: it takes what nobody else wants."""

_names = threading.Lock()
_log = logging.getLogger(__name__)


def aside(path: Path, number: int) -> Path:
    """Return the name of the file put aside as this number, not packed."""
    return path.with_name(f"{path.name}.{number}")


def packed(plain: Path) -> Path:
    """Return the name of a file when it is packed."""
    return plain.with_name(plain.name + PACKED)


def put_aside(path: Path, keep: int) -> None:
    """Make ``path`` number 1; move the others up; the one that is too much is deleted.

    Raises:
        OSError: some were moved and others not; none was lost but the oldest.
    """
    with _names:
        free = 1
        while free < keep and _is_taken(aside(path, free)):
            free += 1
        _delete(aside(path, free))
        for number in range(free, 1, -1):
            _move(aside(path, number - 1), aside(path, number))
        path.replace(aside(path, 1))


def _is_taken(plain: Path) -> bool:
    return plain.exists() or packed(plain).exists()


def _delete(plain: Path) -> None:
    plain.unlink(missing_ok=True)
    packed(plain).unlink(missing_ok=True)


def _move(old: Path, new: Path) -> None:
    try:
        old.replace(new)
    except FileNotFoundError:
        packed(old).replace(packed(new))
    else:
        # Left by a crash between the two last steps of packing: the plain file is whole.
        packed(old).unlink(missing_ok=True)


class Packer:
    """Packs files put aside, one at a time, in a thread that is there only while it is needed.

    A packed file has its name only when it is whole and on the disk; until then it is called
    ``NAME.part``. The plain file is deleted after that. So a crash at any time loses nothing.
    """

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._waiting: dict[Path, None] = {}
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def pack(self, path: Path) -> None:
        """Have every plain file put aside of ``path`` packed. Returns at once."""
        with self._changed:
            self._waiting[path] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="a2a-sup log packer", daemon=True
                )
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left to do; return False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout=seconds)

    def _serve(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PATIENCE)
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    self._changed.notify_all()
                    return
                path = next(iter(self._waiting))
                del self._waiting[path]
            try:
                _pack_all(path)
            except OSError as exc:
                _log.warning("cannot pack what was put aside of %s: %s", path.name, exc)


def _pack_all(path: Path) -> None:
    # The oldest first. What moves while this goes on is found next time: whoever moves it asks.
    for plain in sorted(_plain_asides(path), key=_number_of, reverse=True):
        _pack(path, plain)


def _plain_asides(path: Path) -> list[Path]:
    begin = f"{path.name}."
    return [
        path.with_name(name)
        for name in os.listdir(path.parent)  # noqa: PTH208 - thousands of names, few wanted
        if name.startswith(begin) and name[len(begin) :].isdecimal()
    ]


def _number_of(plain: Path) -> int:
    return int(plain.suffix[1:])


def _pack(path: Path, plain: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(plain, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as source:
            identity = os.fstat(source.fileno())
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with (
                os.fdopen(os.open(part, flags, 0o600), "wb") as target,
                gzip.GzipFile("", "wb", LEVEL, target, identity.st_mtime) as writer,
            ):
                shutil.copyfileobj(source, writer, 256 * 1024)
                writer.close()
                target.flush()
                os.fsync(target.fileno())
    except FileNotFoundError:  # it moved up and out meanwhile
        return
    except OSError:
        part.unlink(missing_ok=True)
        raise
    with _names:
        now = _place_of(path, identity)
        if now is None:
            part.unlink()
            return
        part.replace(packed(now))
        now.unlink()


def _place_of(path: Path, identity: os.stat_result) -> Path | None:
    """Return where a file put aside is by now; None: it was deleted."""
    for plain in _plain_asides(path):
        if os.path.samestat(plain.lstat(), identity):
            return plain
    return None
