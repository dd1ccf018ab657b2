"""What an agent is: a validated, immutable description, and its JSON form (camelCase)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from a2a_sup.errors import SpecError

TEXT_LIMIT = 1_024
"""Characters of an identifier, a name, a version, a category or a tag."""
LIST_LIMIT = 1_000
"""Capabilities, or tags, of one agent."""
SIZE_LIMIT = 256 * 1024
"""Characters of an agent as JSON."""

Json: TypeAlias = dict[str, Any]


@attrs.frozen
class Capability:
    """One thing that an agent can be asked for.

    Attributes:
        name: unique within the agent.
        input_schema: a JSON Schema object.
        output_schema: a JSON Schema object.
        description: for people; None: not given.
    """

    name: str
    input_schema: Mapping[str, Any] = attrs.field(factory=dict)
    output_schema: Mapping[str, Any] = attrs.field(factory=dict)
    description: str | None = None


@attrs.frozen
class Agent:
    """The description of one agent. Made by :func:`agent_of`, which validates it.

    Attributes:
        id: unique in a registry; of a supervised server its path in the tree.
        name: for people.
        version: of the agent.
        capabilities: what it can be asked for.
        tags: words to find it by.
        category: a word for its kind; None: none.
        enabled: whether it is to be asked at all.
        deployed_at: when it was deployed: milliseconds since 1970; 0: it was not yet.
        config: whatever its owner keeps with it.
    """

    id: str
    name: str
    version: str
    capabilities: tuple[Capability, ...] = ()
    tags: tuple[str, ...] = ()
    category: str | None = None
    enabled: bool = True
    deployed_at: int = 0
    config: Mapping[str, Any] | None = None


def agent_of(given: object) -> Agent:
    """Return the agent that ``given``, in the form of :func:`agent_to_json`, describes.

    ``id``, ``name``, ``version`` and ``capabilities`` are required. What is null is as if it were
    not given.

    Raises:
        SpecError: with every mistake, each naming its place, what was found and what is allowed.
    """
    if not isinstance(given, Mapping):
        raise SpecError(f"an agent is an object, not {_shown(given)}")
    problems = [*_problems("agent", given, _AGENT_KEYS, _REQUIRED)]
    if not problems:
        problems += _size_problems(given)
    if problems:
        raise SpecError(problems)
    return Agent(
        id=given["id"],
        name=given["name"],
        version=given["version"],
        capabilities=tuple(_capability(each) for each in given["capabilities"]),
        tags=tuple(dict.fromkeys(given.get("tags") or ())),
        category=given.get("category"),
        enabled=given.get("enabled") is not False,
        deployed_at=given.get("deployedAt") or 0,
        config=None if given.get("config") is None else _frozen(given["config"]),
    )


def agent_to_json(agent: Agent) -> Json:
    """Return ``{"id", "name", "version", "capabilities": [...], "tags", "enabled", ...}``.

    A capability is ``{"name", "inputSchema", "outputSchema"}`` and a ``description`` if it has
    one. ``category`` and ``config`` are left out if there are none.
    """
    fields: Json = {
        "id": agent.id,
        "name": agent.name,
        "version": agent.version,
        "capabilities": [_capability_to_json(each) for each in agent.capabilities],
        "tags": list(agent.tags),
        "enabled": agent.enabled,
        "deployedAt": agent.deployed_at,
    }
    if agent.category is not None:
        fields["category"] = agent.category
    if agent.config is not None:
        fields["config"] = _thawed(agent.config)
    return fields


def _capability_to_json(capability: Capability) -> Json:
    fields: Json = {
        "name": capability.name,
        "inputSchema": _thawed(capability.input_schema),
        "outputSchema": _thawed(capability.output_schema),
    }
    if capability.description is not None:
        fields["description"] = capability.description
    return fields


def _capability(given: Mapping[str, Any]) -> Capability:
    return Capability(
        name=given["name"],
        input_schema=_frozen(given.get("inputSchema") or {}),
        output_schema=_frozen(given.get("outputSchema") or {}),
        description=given.get("description"),
    )


# --- immutable JSON ------------------------------------------------------------------------------


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_thawed(item) for item in value]
    return value


# --- mistakes ------------------------------------------------------------------------------------

Check: TypeAlias = Callable[[str, Any], Iterable[str]]


def _problems(
    place: str, given: Mapping[Any, Any], checks: Mapping[str, Check], required: Iterable[str]
) -> Iterator[str]:
    for key in required:
        if given.get(key) is None:
            yield f"{place}.{key}: missing"
    for key, value in given.items():
        if key not in checks:
            close = get_close_matches(str(key), checks, n=1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            yield f"{place}: unknown key {_shown(key)}{hint} (allowed: {', '.join(checks)})"
        elif value is not None:
            yield from checks[key](f"{place}.{key}", value)


def _text(place: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        yield f"{place}: found {_shown(value)}; allowed: a text that is printable and not empty"
    elif len(value) > TEXT_LIMIT:
        yield f"{place}: found {len(value)} characters; allowed: at most {TEXT_LIMIT}"


def _description(place: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{place}: found {_shown(value)}; allowed: a text"


def _flag(place: str, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{place}: found {_shown(value)}; allowed: true or false"


def _instant(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        yield f"{place}: found {_shown(value)}; allowed: milliseconds since 1970"


def _object(place: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{place}: found {_shown(value)}; allowed: an object"
        return
    try:
        json.dumps(_thawed(value), allow_nan=False).encode()
        are_texts = _keys_are_texts(value)
    except (TypeError, ValueError, RecursionError):
        are_texts = False
    if not are_texts:
        yield f"{place}: holds what JSON cannot; allowed: an object of JSON values"


def _keys_are_texts(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _keys_are_texts(v) for k, v in value.items())
    return not isinstance(value, list | tuple) or all(map(_keys_are_texts, value))


def _texts(place: str, value: Any) -> Iterator[str]:
    yield from _each(place, value, _text)


def _capabilities(place: str, value: Any) -> Iterator[str]:
    problems = [*_each(place, value, _capability_problems)]
    yield from problems
    if problems:
        return
    names = set[str]()
    for index, each in enumerate(value):
        if each["name"] in names:
            yield f"{place}[{index}].name: two capabilities have the name {_shown(each['name'])}"
        names.add(each["name"])


def _capability_problems(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _problems(place, value, _CAPABILITY_KEYS, ("name",))
    else:
        yield f"{place}: found {_shown(value)}; allowed: an object"


def _each(place: str, value: Any, check: Check) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        yield f"{place}: found {_shown(value)}; allowed: a list"
    elif len(value) > LIST_LIMIT:
        yield f"{place}: found {len(value)} items; allowed: at most {LIST_LIMIT}"
    else:
        for index, item in enumerate(value):
            yield from check(f"{place}[{index}]", item)


def _size_problems(given: Mapping[str, Any]) -> Iterator[str]:
    size = len(json.dumps(_thawed(_frozen(given))))
    if size > SIZE_LIMIT:
        yield f"agent: found {size} characters of JSON; allowed: at most {SIZE_LIMIT}"


def _shown(value: object) -> str:
    return f"{value!r:.80}" if isinstance(value, str | int | float | None) else type(value).__name__


_REQUIRED = ("id", "name", "version", "capabilities")
_CAPABILITY_KEYS: dict[str, Check] = {
    "name": _text,
    "inputSchema": _object,
    "outputSchema": _object,
    "description": _description,
}
_AGENT_KEYS: dict[str, Check] = {
    "id": _text,
    "name": _text,
    "version": _text,
    "capabilities": _capabilities,
    "tags": _texts,
    "category": _text,
    "enabled": _flag,
    "deployedAt": _instant,
    "config": _object,
}
