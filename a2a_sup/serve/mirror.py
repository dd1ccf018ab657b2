"""Supervised servers as agents: there while their child is, and enabled while it is up."""

from __future__ import annotations

from typing import Any

import structlog
import trio

from a2a_sup.errors import SpecError
from a2a_sup.model.delta import Dirty
from a2a_sup.model.events import EventsDropped, SupervisorEnded
from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.model.states import State
from a2a_sup.registry import AgentRegistry
from a2a_sup.tree.handle import TreeHandle

EVENTS_HELD = 10_000
AGENT_TAG = "agent"
"""The tag of a process that is an agent. MCP servers always are."""
UNKNOWN_VERSION = "1.0.0"
"""Of a server that did not say its own: the original's."""


async def mirror_servers(
    tree: TreeHandle, registry: AgentRegistry, *, task_status: trio.TaskStatus[None]
) -> None:
    """Keep the registry's agents of supervised servers true, until the tree has ended."""
    mirror = _Mirror(tree, registry)
    with tree.events(EVENTS_HELD) as events:
        mirror.look_at_all()
        task_status.started()
        while batch := await events.batch():
            dirty = Dirty()
            for event in batch:
                if isinstance(event, EventsDropped):
                    dirty.is_whole = True
                else:
                    dirty.note(event)
                    dirty.is_whole |= isinstance(event, SupervisorEnded)
            if dirty.is_whole:
                mirror.look_at_all()
            else:
                for path in dirty:
                    mirror.look_at(path, tree.child(path))
    mirror.look_at_all()


class _Mirror:
    """Owns the agents that it deployed, and touches no others."""

    def __init__(self, tree: TreeHandle, registry: AgentRegistry) -> None:
        self._tree = tree
        self._registry = registry
        self._own: set[str] = set()
        self._refused: dict[str, str] = {}

    def look_at_all(self) -> None:
        servers = {child.path: child for child in self._tree.snapshot().walk()}
        for path in [*servers, *(own for own in sorted(self._own) if own not in servers)]:
            self.look_at(path, servers.get(path))

    def look_at(self, path: str, child: ChildSnapshot | None) -> None:
        try:
            self._follow(path, child)
        except SpecError as exc:
            self._tell_refused(path, "; ".join(exc.problems))
        else:
            self._refused.pop(path, None)

    def _tell_refused(self, path: str, because: str) -> None:
        """Say once that what a server says of itself makes no agent."""
        if self._refused.get(path) != because:
            self._refused[path] = because
            structlog.get_logger().warning("agent.refused", child=path, because=because)

    def _follow(self, path: str, child: ChildSnapshot | None) -> None:
        if path in self._own and path not in self._registry:
            self._own.discard(path)  # somebody removed it
        if child is None or not is_agent(child):
            if path in self._own:
                self._own.discard(path)
                self._registry.remove(path)
        elif path in self._own:
            self._registry.update(path, _changes(child))
        elif child.state is State.RUNNING and path not in self._registry:
            self._registry.deploy({"id": path, "version": UNKNOWN_VERSION, **_described(child)})
            self._own.add(path)


def is_agent(child: ChildSnapshot) -> bool:
    """Return whether a child appears as an agent."""
    return child.kind == "mcp" or (child.kind == "process" and AGENT_TAG in child.tags)


def _changes(child: ChildSnapshot) -> dict[str, Any]:
    """Return what is known now; what was learned before is kept while it is down."""
    is_up = child.state is State.RUNNING
    return _described(child) if is_up else {"enabled": False}


def _described(child: ChildSnapshot) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": child.name,
        "category": child.kind,
        "tags": list(dict.fromkeys(["mcp", "auto-managed", child.kind, *child.tags]))
        if child.kind == "mcp"
        else list(dict.fromkeys(["auto-managed", child.kind, *child.tags])),
        "enabled": True,
        "capabilities": [
            {"name": name, "inputSchema": {}, "outputSchema": {}}
            for name in dict.fromkeys(child.details.get("tools", ()))
        ],
    }
    server = child.details.get("server")
    if server and server.get("version"):
        fields["version"] = server["version"]
    return fields
