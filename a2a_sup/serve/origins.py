"""By which names a server may be called, and whose pages may ask it: ``origins`` in ``[serve]``.

A page of another site can give its own name the address of this server (DNS rebinding), and the
browser would let it read what it gets. But the browser tells by which name it came, in ``Host``,
and whose page asks, in ``Origin`` (RFC 6454).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import attrs

ALLOWED = "the name of a host, such as board.example, or an origin, such as https://board.example"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_HOST = re.compile(
    r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[^\s:@/?#\[\]]+))(?::(?P<port>[0-9]{0,5}))?"
)
_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Origins:
    """Those that the configuration names. Made by :func:`origins_of`.

    Attributes:
        names: of hosts, the server's own and those of whole origins included: the server may be
            called so.
        hosts: whose pages may ask, whatever their scheme and port.
        whole: origins whose pages may ask.
    """

    names: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    whole: frozenset[_Origin] = frozenset()

    def know(self, name: str | None) -> bool:
        """Return whether nobody else can have made a name, of a ``Host`` header, point here."""
        if name is None:
            return False
        is_local = name == "localhost" or name.endswith(".localhost")
        return is_local or name in self.names or _is_address(name)

    def allow(self, origin: str) -> bool:
        """Return whether pages of an origin, of an ``Origin`` header, may ask."""
        found = _split(origin.lower())
        return found is not None and (found.name in self.hosts or found in self.whole)


def origins_of(entries: Iterable[str], own: Iterable[str] = ()) -> Origins:
    """Return what the configuration names.

    Args:
        entries: see ``ALLOWED``.
        own: hosts at which the server is told to listen. Whoever chose them knows what they stand
            for; their pages may ask no more than those of other hosts.

    Raises:
        ValueError: an entry is neither a name nor an origin; the message says what is allowed.
    """
    hosts, whole = set[str](), set[_Origin]()
    names = {name.lower().removesuffix(".") for name in own if not _is_address(name)}
    for entry in entries:
        text = entry.lower()
        if "://" not in text:
            name = text.removeprefix("[").removesuffix("]")
            if not (_NAME.fullmatch(name) or _is_address(name)):
                raise ValueError(ALLOWED)
            hosts.add(name)
            names.add(name)
            continue
        found = _split(text.removesuffix("/"))
        if found is None:
            raise ValueError(ALLOWED)
        whole.add(found)
        names.add(found.name)
    return Origins(names=frozenset(names), hosts=frozenset(hosts), whole=frozenset(whole))


def host_of(header: str) -> str | None:
    """Return the name in a ``Host`` header, in small letters, without port and brackets.

    None: it is not a name.
    """
    found = _HOST.fullmatch(header.lower())
    return None if found is None else _name_in(found)


def host_of_origin(origin: str) -> str | None:
    """Return the name in an ``Origin`` header; None: it is not that of a page."""
    found = _split(origin.lower())
    return None if found is None else found.name


@attrs.frozen
class _Origin:
    scheme: str
    name: str
    port: int


def _split(origin: str) -> _Origin | None:
    """Return the parts of an origin; None: it is none."""
    scheme, _, rest = origin.partition("://")
    found = _HOST.fullmatch(rest)
    if found is None or scheme not in _PORTS:
        return None
    name, port = _name_in(found), int(found["port"] or _PORTS[scheme])
    if name is None or not 0 < port < 2**16 or not (_NAME.fullmatch(name) or _is_address(name)):
        return None
    return _Origin(scheme, name, port)


def _name_in(found: re.Match[str]) -> str | None:
    if found["six"] is not None:
        return found["six"] if _is_address(found["six"]) else None
    return found["name"].removesuffix(".") or None


def _is_address(name: str) -> bool:
    # Nobody can make an address point elsewhere, as a name can be made to.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
