"""Frames of the dashboard as bytes: made once, sent to every watcher as they are."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any

from a2a_sup.model.codec import child_to_json
from a2a_sup.model.snapshot import ChildSnapshot, SupervisorSnapshot, TreeSnapshot

PING = b"\x89\x00"
"""A ping without content (RFC 6455, 5.5.2)."""
_TEXT = 0x81


def text_frame(payload: bytes) -> bytes:
    """Return a server's frame, not masked, with one whole text (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 2**16:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


def message(kind: str, data: Any = None) -> bytes:
    """Return the frame ``{"type", "timestamp", "data"}``; without ``data`` if there is none."""
    body = {"type": kind, "timestamp": _milliseconds()}
    if data is not None:
        body["data"] = data
    return text_frame(_encoded(body))


def snapshot_message(snapshot: TreeSnapshot, wall_time: float) -> bytes:
    """Return the frame ``tree:snapshot``.

    It is for a thread: a large tree takes a while, and is encoded child by child, so that other
    threads have their turns in between.
    """
    head = {"revision": snapshot.revision, "time": snapshot.time, "wall_time": wall_time}
    pieces = [
        _encoded({"type": "tree:snapshot", "timestamp": _milliseconds()})[:-1],
        b',"data":',
        _encoded(head)[:-1],
        b',"tree":{"name":',
        _encoded(snapshot.name),
        b',"root":',
        *_supervisor(snapshot.root),
        b"}}}",
    ]
    return text_frame(b"".join(pieces))


def tree_json(snapshot: TreeSnapshot, wall_time: float) -> bytes:
    """Return a tree as :func:`snapshot_to_json` has it, with its ``wall_time``; for a thread."""
    head = {"revision": snapshot.revision, "time": snapshot.time, "wall_time": wall_time}
    pieces = [_encoded({**head, "name": snapshot.name})[:-1], b',"root":']
    return b"".join((*pieces, *_supervisor(snapshot.root), b"}"))


def picture_json(child: ChildSnapshot) -> bytes:
    """Return a child with all below it as :func:`snapshot_to_json` has it; for a thread."""
    return b"".join(_child(child))


def _supervisor(supervisor: SupervisorSnapshot) -> Iterator[bytes]:
    head = {"path": supervisor.path, "strategy": supervisor.strategy}
    yield _encoded(head)[:-1] + b',"children":['
    for index, child in enumerate(supervisor.children):
        if index:
            yield b","
        yield from _child(child)
    yield b"]}"


def _child(child: ChildSnapshot) -> Iterator[bytes]:
    fields = child_to_json(child)
    if child.supervisor is None:
        yield _encoded(fields)
        return
    del fields["supervisor"]
    yield _encoded(fields)[:-1] + b',"supervisor":'
    yield from _supervisor(child.supervisor)
    yield b"}"


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _milliseconds() -> int:
    return int(time.time() * 1000)
