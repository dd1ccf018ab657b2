"""Which files a child's ``watch`` means, and what became of them: patterns, scans, states."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TypeAlias

import attrs

from a2a_sup.app.reload import walk
from a2a_sup.app.settings import Config, SupervisorConfig

WILD = "*?["
DEEP = "**"
"""Any number of directories; as the last part, all files below."""

States: TypeAlias = dict[str, tuple[int, int, int]]
"""Of each file that is there, what tells its contents apart without reading them."""


@attrs.frozen
class Pattern:
    """One pattern.

    Attributes:
        base: the directory that it begins in: all before its first wildcard.
        parts: the rest, part by part; the last one is about files.
    """

    base: str
    parts: tuple[str, ...]

    @property
    def is_deep(self) -> bool:
        """Whether files in directories below the base can match."""
        return len(self.parts) > 1 or self.parts[0] == DEEP

    def matches(self, file: str) -> bool:
        """Return whether it means a file."""
        root = self.base.rstrip("/") + "/"
        return file.startswith(root) and _match(self.parts, tuple(file[len(root) :].split("/")))


def pattern_of(cwd: str, written: str) -> Pattern:
    """Return the pattern that is ``written`` of a child that runs in ``cwd``."""
    *directories, last = os.path.normpath(os.path.join(cwd, written)).split("/")  # noqa: PTH118 - ".."
    wild = next((at for at, part in enumerate(directories) if _is_wild(part)), len(directories))
    parts = [*directories[wild:], last]
    # Once is as good as several times in a row, and quicker to match.
    kept = [part for at, part in enumerate(parts) if part != DEEP or parts[at - 1 : at] != [DEEP]]
    return Pattern("/".join(directories[:wild]) or "/", tuple(kept))


def _is_wild(part: str) -> bool:
    return any(char in part for char in WILD)


def _match(parts: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] != DEEP:
        return _fits(parts[0], names[0]) and _match(parts[1:], names[1:])
    if len(parts) == 1:
        return not any(map(_is_noise, names))
    return _match(parts[1:], names) or (not _is_noise(names[0]) and _match(parts, names[1:]))


def _fits(part: str, name: str) -> bool:
    if not _is_wild(part):
        return part == name
    # As in a shell, what is hidden is only meant by a pattern that says so.
    return fnmatchcase(name, part) and (part.startswith(".") or not _is_noise(name))


def _is_noise(name: str) -> bool:
    """Return whether no wildcard means this: what is hidden, Python's own files, backups."""
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", "~"))


@attrs.frozen
class Watched:
    """A child that is restarted when files change.

    Attributes:
        path: of the child.
        patterns: which files.
    """

    path: str
    patterns: tuple[Pattern, ...]


def watched_of(config: Config) -> tuple[Watched, ...]:
    """Return all such children."""
    return tuple(
        Watched(path, tuple(pattern_of(child.cwd, each) for each in child.watch))
        for path, child in walk("", config.root)
        if not isinstance(child, SupervisorConfig) and child.watch
    )


@attrs.frozen
class Scope:
    """What is looked at together.

    Attributes:
        patterns: all of them, of whichever children; all deep, or none.
        ignored: a directory of which nothing counts.
    """

    patterns: frozenset[Pattern]
    ignored: str

    def means(self, file: str) -> bool:
        """Return whether one of the patterns means a file."""
        return not file.startswith(f"{self.ignored}/") and any(
            pattern.matches(file) for pattern in self.patterns
        )

    def may_mean(self, path: str, seen: States) -> bool:
        """Return whether a change of ``path`` may be one of files that are meant.

        In a directory that is new, files may be older than the watch on it; with one that is
        gone went those that were ``seen`` in it.
        """
        if self.means(path) or not self.is_deep or path.startswith(f"{self.ignored}/"):
            return self.means(path)
        below = f"{path}/"
        return os.path.isdir(path) or any(file.startswith(below) for file in seen)  # noqa: PTH112 - text

    @property
    def is_deep(self) -> bool:
        """Whether directories below count."""
        return any(pattern.is_deep for pattern in self.patterns)

    def bases(self) -> dict[str, tuple[int, int] | None]:
        """Return the directories to look at, and which ones they are now; None: not there."""
        return {base: _identity(base) for base in {pattern.base for pattern in self.patterns}}

    def scan(self) -> States:
        """Look at all files that are meant."""
        found: States = {}
        for pattern in self.patterns:
            for file in _files(pattern, self.ignored):
                state = _state(file)
                if state is not None:
                    found[file] = state
        return found


def scopes_of(watched: Iterable[Watched], ignored: str) -> Iterator[Scope]:
    """Yield what these children watch: what is deep apart from the rest."""
    patterns = {pattern for one in watched for pattern in one.patterns}
    for deep in (True, False):
        chosen = frozenset(pattern for pattern in patterns if pattern.is_deep is deep)
        if chosen:
            yield Scope(chosen, ignored)


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        found = os.stat(directory)  # noqa: PTH116 - as below
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _files(pattern: Pattern, ignored: str) -> Iterator[str]:
    says_hidden = any(part.startswith((".", "__")) for part in pattern.parts)
    for folder, below, names in os.walk(pattern.base):
        if folder == ignored:
            below.clear()
            continue
        if not pattern.is_deep:
            below.clear()
        elif not says_hidden:
            below[:] = [name for name in below if not _is_noise(name)]
        for name in names:
            file = f"{folder.rstrip('/')}/{name}"
            if pattern.matches(file):
                yield file


def _state(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - thousands of them, one after the other
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def changed(before: States, after: States) -> list[str]:
    """Return the files that are new, gone, or other than before, in order."""
    names: Iterable[str] = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))
