"""The supervised servers as the original dashboard knows them: a status each, and five numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.model.states import State

SERVER_KINDS = frozenset({"mcp", "process"})
"""What is counted as a server: the original made no difference between them."""

STATUS = {
    State.PENDING: "stopped",
    State.STARTING: "starting",
    State.RUNNING: "running",
    State.BACKING_OFF: "starting",
    State.STOPPING: "running",
    State.STOPPED: "stopped",
    State.FINISHED: "stopped",
    State.FAILED: "failed",
    State.STUCK: "failed",
}
"""Our states in the four words that clients of the original know."""
NUMBERS = ("total", "running", "healthy", "unhealthy", "failed")


@attrs.frozen
class _Known:
    kind: str
    state: State
    healthy: bool | None


class Servers:
    """The children that are no supervisors, kept up to date child by child."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[str, _Known] = {}
        self._numbers: Counter[str] = Counter()

    def begin(self, children: Iterable[ChildSnapshot]) -> list[str]:
        """Begin anew with all children of a tree; return the paths whose state is another."""
        before = {path: known.state for path, known in self._known.items()}
        self._known.clear()
        self._numbers.clear()
        for child in children:
            self.look_at(child.path, child)
        paths = dict.fromkeys([*before, *self._known])
        return [path for path in paths if before.get(path) != self.state(path)]

    def look_at(self, path: str, child: ChildSnapshot | None) -> list[str]:
        """Take note of a child as it is now; return the paths whose state is another."""
        if child is not None and child.kind != "supervisor":
            now = _Known(child.kind, child.state, child.healthy)
            return [path] if self._put(path, now) else []
        paths = [path]
        if child is None or child.supervisor is None:
            paths += [other for other in self._known if other.startswith(f"{path}/")]
        return [each for each in paths if self._put(each, None)]

    def numbers(self) -> dict[str, int]:
        """Return ``{"total", "running", "healthy", "unhealthy", "failed"}``."""
        return {word: self._numbers[word] for word in NUMBERS}

    def state(self, path: str) -> State | None:
        """Return the state of a child; None: there is none."""
        known = self._known.get(path)
        return None if known is None else known.state

    def _put(self, path: str, now: _Known | None) -> bool:
        before = self._known.pop(path, None)
        if now is not None:
            self._known[path] = now
        self._numbers.subtract(_counted(before))
        self._numbers.update(_counted(now))
        return (None if before is None else before.state) != (None if now is None else now.state)


def _counted(server: _Known | None) -> list[str]:
    if server is None or server.kind not in SERVER_KINDS:
        return []
    words = ["total"]
    if server.state is State.RUNNING:
        words.append("running")
        if server.healthy is not None:
            words.append("healthy" if server.healthy else "unhealthy")
    elif server.state is State.FAILED:
        words.append("failed")
    return words


def status_to_json(path: str, state: State | None) -> dict[str, str]:
    """Return ``{"serverId", "status", "state"}``; a child that is gone is ``stopped``."""
    if state is None:
        return {"serverId": path, "status": "stopped", "state": "removed"}
    return {"serverId": path, "status": STATUS[state], "state": state.value}
