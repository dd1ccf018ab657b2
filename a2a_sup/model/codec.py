"""Events and snapshots as JSON: plain dictionaries that ``json.dumps`` always accepts.

The shapes are those of the classes: a field keeps its name, an event gains ``"type"``. What has
no JSON form is replaced, never refused, because user code decides what ``details`` and ``info``
hold: bytes are decoded, numbers that are not finite become null, other objects are named by
their type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from os import PathLike, fspath
from typing import Any, TypeAlias

import attrs
from cattrs import Converter

from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.model.snapshot import ChildSnapshot, TreeSnapshot

Json: TypeAlias = dict[str, Any]

NESTING_LIMIT = 8
"""Containers inside each other that are kept of ``details`` and ``info``."""
ITEM_LIMIT = 1_000
"""Items kept of one container in ``details`` and ``info``."""
INTEGER_BITS = 64
"""Whole numbers of more bits are written as hexadecimal text: readers would round them."""


def event_to_json(event: Event | EventsDropped) -> Json:
    """Return ``event`` as ``{"type": ..., "seq": ..., "time": ..., "path": ..., ...}``.

    A reason is ``{"kind", "text", "exit_status", "crash", "last_output"}``; a crash is null or
    ``{"type", "message", "frames": [{"file", "line", "function"}], "causes": [crash]}``.
    ``EventsDropped`` is ``{"type", "count"}``.
    """
    return {"type": event.type, **_CONVERTER.unstructure(event)}


def snapshot_to_json(snapshot: TreeSnapshot) -> Json:
    """Return ``{"revision", "time", "name", "root": {"path", "strategy", "children": [...]}}``.

    A child has the fields of :class:`ChildSnapshot`; its ``supervisor`` is null or has the shape
    of ``root``.
    """
    fields: Json = _CONVERTER.unstructure(snapshot)
    return fields


def child_to_json(child: ChildSnapshot) -> Json:
    """Return one child as in :func:`snapshot_to_json`, a supervisor without its children."""
    if child.supervisor is not None and child.supervisor.children:
        child = attrs.evolve(child, supervisor=attrs.evolve(child.supervisor, children=()))
    fields: Json = _CONVERTER.unstructure(child)
    if fields["supervisor"] is not None:
        del fields["supervisor"]["children"]
    return fields


def plain(value: object) -> Any:
    """Return ``value`` with everything that has no JSON form replaced."""
    return _plain(value, ())


def _plain(value: object, above: tuple[int, ...]) -> Any:
    written: Any
    match value:
        case None | bool():
            written = value
        case str():
            written = _text(value)
        case int():
            written = _integer(value)
        case float():
            written = _number(value)
        case Mapping() | Set() | list() | tuple():
            written = _container(value, above)
        case bytes() | bytearray() | memoryview():
            written = bytes(value).decode(errors="replace")
        case PathLike():
            written = _plain(fspath(value), above)
        case _:
            written = f"<{type(value).__name__}>"
    return written


def _container(
    value: Mapping[Any, Any] | Set[Any] | list[Any] | tuple[Any, ...], above: tuple[int, ...]
) -> Any:
    if id(value) in above or len(above) == NESTING_LIMIT:
        return "..."
    above = (*above, id(value))
    if isinstance(value, Mapping):
        pairs = list(value.items())[:ITEM_LIMIT]
        return {_key(key): _plain(item, above) for key, item in pairs}
    return [_plain(item, above) for item in list(value)[:ITEM_LIMIT]]


def _key(key: object) -> str:
    written = _plain(key, ())
    return written if isinstance(written, str) else str(written)


def _text(text: str) -> str:
    """Return ``text`` with lone surrogates, which UTF-8 cannot carry, written as escapes."""
    return str(text) if text.isascii() else text.encode(errors="backslashreplace").decode()


def _integer(number: int) -> int | str:
    return int(number) if number.bit_length() <= INTEGER_BITS else hex(number)


def _number(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _converter() -> Converter:
    converter = Converter(unstruct_collection_overrides={tuple: list})
    converter.register_unstructure_hook(str, _text)
    converter.register_unstructure_hook(float, _number)
    converter.register_unstructure_hook_func(lambda kind: kind == Mapping[str, Any], plain)
    return converter


_CONVERTER = _converter()
