"""What changed in a tree between two looks at it, at a cost that does not grow with the tree.

A reader begins with a snapshot and keeps it up to date by *changes*, applied in order:

- a child that is None is gone, and all below it;
- a child at a path that the reader does not know is put at the end of its parent's children;
- one at a known path has its fields replaced, and keeps its place;
- a child whose ``supervisor`` is None has nothing below it; if it has one, what is below stays.

The writer collects the paths of events in a :class:`Dirty` set, and looks each of them up when it
is time to tell. So however often a child changed in between, it is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntFlag
from typing import Any, TypeAlias

import attrs

from a2a_sup.model.codec import child_to_json
from a2a_sup.model.events import ChildAdded, ChildRemoved, ChildStarting, Event, SupervisorUpdated
from a2a_sup.model.snapshot import ChildSnapshot

Json: TypeAlias = dict[str, Any]


@attrs.frozen
class Change:
    """One child as it is now; None: it is gone."""

    path: str
    child: ChildSnapshot | None

    def to_json(self) -> Json:
        """Return ``{"path", "child"}``; the child is null or as ``child_to_json`` has it."""
        child = None if self.child is None else child_to_json(self.child)
        return {"path": self.path, "child": child}


class _Why(IntFlag):
    """What happened to a child, besides that it is different."""

    CHANGED = 0
    ADDED = 1
    REMOVED = 2
    BEGAN_ANEW = 4  # if it is a supervisor, its children of before are no more


class Dirty:
    """The paths that changed, those that were added in the order in which they were.

    Attributes:
        is_whole: more changed than changes can say, such as the order of children: a reader has
            to begin anew, with a snapshot.
    """

    __slots__ = ("_paths", "is_whole")

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self._paths: dict[str, _Why] = {}
        self.is_whole = False

    def __len__(self) -> int:
        """Return how many paths changed."""
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        """Yield the paths."""
        return iter(self._paths)

    def note(self, event: Event) -> None:
        """Take note of what an event is about. Those about the root change no child."""
        path = event.path
        if isinstance(event, SupervisorUpdated) or (
            isinstance(event, ChildAdded) and event.before is not None
        ):
            self.is_whole = True
        if not path:
            return
        if isinstance(event, ChildAdded):
            self._note(path, _Why.ADDED)
            # The parent runs a supervisor, maybe one that nothing was told of yet.
            if parent := path.rpartition("/")[0]:
                self._note(parent, _Why.CHANGED)
        elif isinstance(event, ChildRemoved):
            self._note(path, _Why.REMOVED)
        elif isinstance(event, ChildStarting) and event.incarnation > 1:
            self._note(path, _Why.BEGAN_ANEW)
        else:
            self._note(path, _Why.CHANGED)

    def add(self, later: Dirty) -> None:
        """Take note of all that ``later`` has, which was collected after this."""
        self.is_whole = self.is_whole or later.is_whole
        for path, why in later._paths.items():
            self._note(path, why)

    def _note(self, path: str, why: _Why) -> None:
        if why & _Why.ADDED:
            why |= self._paths.pop(path, _Why.CHANGED)  # to the end: after its older siblings
        else:
            why |= self._paths.get(path, _Why.CHANGED)
        self._paths[path] = why

    def changes(self, look: Callable[[str], ChildSnapshot | None]) -> list[Change]:
        """Return what to tell a reader who knows the tree as it was before.

        Args:
            look: returns the child at a path as it is now, or None: ``TreeHandle.child``.
        """
        told: list[Change] = []
        # Parents first: what is told of them forgets what was below.
        for path in sorted(self._paths, key=lambda path: path.count("/")):
            child, why = look(path), self._paths[path]
            if child is not None:
                if why & _Why.REMOVED:
                    told.append(Change(path, None))
                elif why & _Why.BEGAN_ANEW and child.supervisor is not None:
                    told.append(Change(path, attrs.evolve(child, supervisor=None)))
            told.append(Change(path, child))
        return told


def apply(root: Json, changes: Iterable[Json]) -> None:
    """Bring ``root``, in the form of ``snapshot_to_json(...)["root"]``, up to date, in place.

    Args:
        root: is changed.
        changes: each in the form of :meth:`Change.to_json`, applied in order. That an unknown
            child is gone is no news.

    Raises:
        ValueError: a change does not fit: it was made for a reader who knows more.
    """
    families: dict[str, _Family] = {}
    for change in changes:
        path: str = change["path"]
        parent = path.rpartition("/")[0]
        family = families.get(parent)
        if family is None:
            supervisor = _supervisor(root, parent)
            if supervisor is None:
                if change["child"] is None:
                    continue
                raise ValueError(f"a change of {path!r}, and there is no supervisor above it")
            family = families[parent] = _Family(supervisor)
        if family.put(path, change["child"]):
            gone = f"{path}/"
            families = {
                above: each
                for above, each in families.items()
                if above != path and not above.startswith(gone)
            }


def _supervisor(root: Json, path: str) -> Json | None:
    supervisor: Json | None = root
    at = ""
    for name in path.split("/") if path else ():
        at = f"{at}/{name}" if at else name
        child = next((each for each in (supervisor or {})["children"] if each["path"] == at), None)
        supervisor = None if child is None else child["supervisor"]
        if supervisor is None:
            return None
    return supervisor


class _Family:
    """The children of one supervisor, found by their paths."""

    def __init__(self, supervisor: Json) -> None:
        self._supervisor = supervisor
        self._children: dict[str, Json] = {each["path"]: each for each in supervisor["children"]}

    def put(self, path: str, child: Json | None) -> bool:
        """Put a child into its place; return whether anything below it is another now."""
        before = self._children.get(path)
        if child is None:
            if before is None:
                return False
            del self._children[path]
            self._supervisor["children"].remove(before)
            return True
        below = None
        if child["supervisor"] is not None:
            known = None if before is None else before["supervisor"]
            children = [] if known is None else known["children"]
            below = {**child["supervisor"], "children": children}
        fresh = {**child, "supervisor": below}
        if before is None:
            self._children[path] = fresh
            self._supervisor["children"].append(fresh)
            return False
        before.clear()
        before.update(fresh)
        return True
