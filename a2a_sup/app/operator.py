"""What an operator decided and files do not say: who stays down, how many copies there are.

It outlives reloads and the supervisor itself: it is kept in the state directory, in a small file
that is replaced as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from a2a_sup.app.logs import logger

FILE_NAME = "operator.json"
SIZE_LIMIT = 10 * 2**20
"""Bytes: a file that is larger was not written by us."""


class OperatorStops:
    """The decisions of an operator about one tree.

    Attributes:
        file: where they are kept.
    """

    def __init__(self, file: Path, *, fresh: bool = False) -> None:
        """Read what was decided before; ``fresh``: forget it.

        A file that is not ours, or is damaged, is told in the log and counts as empty.
        """
        self.file = file
        self._stopped: set[str] = set()
        self._copies: dict[str, int] = {}
        if fresh:
            self._write()
        else:
            self._read()

    def is_stopped(self, path: str) -> bool:
        """Return whether an operator stopped this child."""
        return path in self._stopped

    @property
    def copies(self) -> dict[str, int]:
        """How many copies of a child an operator asked for, by its path."""
        return dict(self._copies)

    def stopped(self, path: str) -> None:
        """Record that an operator stopped this child."""
        if path not in self._stopped:
            self._stopped.add(path)
            self._write()

    def started(self, path: str) -> None:
        """Record that an operator started or restarted this child."""
        if path in self._stopped:
            self._stopped.remove(path)
            self._write()

    def scaled(self, path: str, copies: int) -> None:
        """Record how many copies of this child an operator asked for."""
        if self._copies.get(path) != copies:
            self._copies[path] = copies
            self._write()

    def forget(self, gone: Iterable[str]) -> None:
        """Forget what was decided about children that are no more, and all below them."""
        before = (len(self._stopped), len(self._copies))
        for path in gone:
            below = f"{path}/"
            self._stopped = {p for p in self._stopped if p != path and not p.startswith(below)}
            self._copies = {
                p: count
                for p, count in self._copies.items()
                if p != path and not p.startswith(below)
            }
        if before != (len(self._stopped), len(self._copies)):
            self._write()

    def _read(self) -> None:
        try:
            with self.file.open("rb") as file:
                found = json.loads(file.read(SIZE_LIMIT))
            self._stopped = {path for path in found["stopped"] if isinstance(path, str)}
            self._copies = {
                path: count
                for path, count in found["copies"].items()
                if isinstance(count, int) and count >= 0
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            logger().warning(
                "operator.forgotten", file=str(self.file), because=str(exc) or repr(exc)
            )

    def _write(self) -> None:
        """Replace the file. A disk that is full must not keep a child from being stopped."""
        content: dict[str, Any] = {"stopped": sorted(self._stopped), "copies": self._copies}
        new = self.file.with_name(f"{self.file.name}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.file)
        except OSError as exc:
            because = exc.strerror
        else:
            return
        logger().error("operator.not_recorded", file=str(self.file), because=because)
        with suppress(OSError):
            new.unlink()
