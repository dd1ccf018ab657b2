"""Agent cards of A2A, of protocol 1.0 and 0.3: what has to be in one, and where it says to ask.

Sources: a2a.proto of A2A 1.0.1 (the fields marked REQUIRED of AgentCard, AgentInterface and
AgentSkill), and the JSON schema of A2A 0.3.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

Era: TypeAlias = Literal["1.0", "0.3"]
Binding: TypeAlias = Literal["JSONRPC", "HTTP+JSON"]
BINDINGS: tuple[Binding, ...] = ("JSONRPC", "HTTP+JSON")
"""Those that an HTTP client speaks, best first. GRPC is not among them."""

_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
_COMMON: dict[str, type] = {
    "name": str,
    "description": str,
    "version": str,
    "capabilities": dict,
    "defaultInputModes": list,
    "defaultOutputModes": list,
    "skills": list,
}
_SKILL: dict[str, type] = {"id": str, "name": str, "description": str, "tags": list}
_INTERFACE: dict[str, type] = {"url": str, "protocolBinding": str, "protocolVersion": str}


@attrs.frozen
class Interface:
    """Where and how an agent is talked to.

    Attributes:
        url: the address.
        binding: how requests are written.
        era: whose names they use.
    """

    url: str
    binding: Binding
    era: Era


@attrs.frozen
class Card:
    """What is needed of an agent's card.

    Attributes:
        name: the agent's.
        interface: the one to ask; None: it has none that an HTTP client speaks.
    """

    name: str
    interface: Interface | None


def read_card(document: object) -> Card:
    """Return what is needed of a card.

    Raises:
        ValueError: it is none. The message names what is wrong first.
    """
    if not isinstance(document, dict):
        raise ValueError("the agent card is an object")  # noqa: TRY004 - it is the document's fault
    problem = next(_problems(document), None)
    if problem is not None:
        raise ValueError(f"the agent card: {problem}")
    interfaces = [*_interfaces(document)]
    by_binding = {each.binding: each for each in reversed(interfaces)}
    best = next((by_binding[each] for each in BINDINGS if each in by_binding), None)
    return Card(document["name"], best)


def _problems(card: Mapping[str, Any]) -> Iterator[str]:
    yield from _missing(card, _COMMON, "")
    for index, skill in enumerate(card.get("skills", ())):
        yield from _missing(skill, _SKILL, f"skills[{index}].")
    if "supportedInterfaces" not in card:
        if not isinstance(card.get("url"), str):
            yield "supportedInterfaces is missing (or url, as in protocol 0.3)"
        return
    interfaces = card["supportedInterfaces"]
    if not isinstance(interfaces, list) or not interfaces:
        yield "supportedInterfaces is a list of at least one"
        return
    for index, interface in enumerate(interfaces):
        yield from _missing(interface, _INTERFACE, f"supportedInterfaces[{index}].")


def _missing(found: object, required: Mapping[str, type], place: str) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{place.rstrip('.')} is an object"
        return
    for key, kind in required.items():
        if key not in found:
            yield f"{place}{key} is missing"
        elif not isinstance(found[key], kind):
            yield f"{place}{key} is {_KINDS[kind]}"


def _interfaces(card: Mapping[str, Any]) -> Iterator[Interface]:
    for each in card.get("supportedInterfaces", ()):
        era: Era = "0.3" if each["protocolVersion"].startswith("0.") else "1.0"
        if each["protocolBinding"] in BINDINGS:
            yield Interface(each["url"], each["protocolBinding"], era)
    if "supportedInterfaces" not in card:
        preferred = card.get("preferredTransport", "JSONRPC")
        if preferred in BINDINGS:
            yield Interface(card["url"], preferred, "0.3")
        for each in card.get("additionalInterfaces") or ():
            if isinstance(each, dict) and each.get("transport") in BINDINGS:
                yield Interface(str(each.get("url")), each["transport"], "0.3")
