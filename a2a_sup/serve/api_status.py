"""The children of a tree as rows of what people look at: state, health, process, usage.

Made in a thread, out of one picture. The text of what did not change since the last time is kept:
an unchanged child is the same object in the next picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from a2a_sup.model.codec import plain
from a2a_sup.model.reasons import Reason
from a2a_sup.model.snapshot import ChildSnapshot, TreeSnapshot
from a2a_sup.serve.api_usage import Usage, usage_of

Json: TypeAlias = dict[str, Any]
NO_USAGE: Json = {"processes": None, "memory_bytes": None, "cpu_seconds": None}


class StatusPage:
    """What ``GET /status`` answers."""

    def __init__(self) -> None:
        """Begin with nothing kept."""
        self._kept: dict[str, tuple[ChildSnapshot, str]] = {}

    def render(self, snapshot: TreeSnapshot, wall_time: float) -> bytes:
        """Return ``{"name", "revision", "time", "wall_time", "children": [row...]}`` as JSON.

        Reads files of the kernel and takes a while: call it in a thread.

        Args:
            snapshot: of the tree.
            wall_time: of its time, in seconds since 1970.
        """
        usage = usage_of(pids_of(snapshot))
        before, kept = self._kept, {}
        rows = []
        for child in snapshot.walk():
            found = before.get(child.path)
            if found is None or found[0] is not child:
                found = (child, json.dumps(plain(_lasting(child)), ensure_ascii=False)[:-1])
            kept[child.path] = found
            passing = _passing(child, snapshot.time, usage)
            rows.append(f"{found[1]}, {json.dumps(passing)[1:]}")
        self._kept = kept
        head = json.dumps(
            {
                "name": snapshot.name,
                "revision": snapshot.revision,
                "time": snapshot.time,
                "wall_time": wall_time,
            }
        )
        return f'{head[:-1]}, "children": [{", ".join(rows)}]}}'.encode()


def pids_of(snapshot: TreeSnapshot) -> dict[str, int]:
    """Return the process of each child that has one, by path."""
    return {
        child.path: pid
        for child in snapshot.walk()
        if isinstance(pid := child.details.get("pid"), int)
    }


def _lasting(child: ChildSnapshot) -> Json:
    """Return what of a row is the same as long as its picture is."""
    return {
        "path": child.path,
        "kind": child.kind,
        "state": str(child.state),
        "healthy": child.healthy,
        "ready": child.ready,
        "pid": child.details.get("pid"),
        "incarnation": child.incarnation,
        "restarts": child.restarts,
        "last_reason": None if child.last_reason is None else _line_of(child.last_reason),
        "waits_for": child.waits_for,
        "next_run": child.details.get("next_run"),
        "tags": child.tags,
    }


def _passing(child: ChildSnapshot, now: float, usage: Mapping[str, Usage]) -> Json:
    used = usage.get(child.path)
    started, again = child.started_at, child.next_attempt_at
    return {
        "uptime": None if started is None else round(max(0.0, now - started), 3),
        "next_attempt_in": None if again is None else round(max(0.0, again - now), 3),
        **(NO_USAGE if used is None else used.to_json()),
    }


def _line_of(reason: Reason) -> str:
    """Return why a child ended, in one line."""
    return f"{reason.kind}: {reason.text}" if reason.text else str(reason.kind)
