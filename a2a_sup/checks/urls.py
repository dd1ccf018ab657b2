"""The addresses that checks ask, taken apart once; and what of them may be shown."""

from __future__ import annotations

import base64
import re
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

URL_ALLOWED = "a URL that begins with http://, https:// or http+unix://"
ADDRESS_ALLOWED = "a host and a port, such as '127.0.0.1:5432' or '[::1]:80'"
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]\s]+)):(?P<port>[0-9]{1,5})")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\U0010ffff]")


@attrs.frozen
class Url:
    """An address, ready to be asked.

    Attributes:
        scheme: ``http``, ``https`` or ``http+unix``.
        host: a name or an address; of ``http+unix`` the path of the socket.
        port: of TCP.
        target: the path and query.
        authority: what the Host header says.
        credentials: the Authorization header of its user and password; None: it has none.
    """

    scheme: str
    host: str
    port: int
    target: str
    authority: str
    credentials: str | None = attrs.field(default=None, repr=False)

    def at(self, target: str) -> Url:
        """Return the address of another path and query at the same place."""
        return attrs.evolve(self, target=target)


def url_of(text: object) -> Url:
    """Take an address apart.

    Args:
        text: ``http://host:port/path?query``, the same with ``https``, or
            ``http+unix://%2Frun%2Fapp.sock/path``: of a unix socket, its path percent-encoded.

    Raises:
        ValueError: it is none of these. The message says what is allowed; the text, which may
            hold secrets, is not in it.
    """
    parts = _split(text)
    if parts is None:
        raise ValueError(URL_ALLOWED)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http+unix":
        return Url(parts.scheme, unquote(parts.netloc), 0, target, "localhost")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    authority = parts.netloc.rpartition("@")[2]
    return Url(parts.scheme, parts.hostname or "", port, target, authority, _credentials(parts))


def _split(text: object) -> SplitResult | None:
    if not isinstance(text, str) or _UNSAFE.search(text):
        return None
    try:
        parts = urlsplit(text)
        found = bool(parts.hostname and parts.port != 0)
    except ValueError:
        return None
    if parts.scheme == "http+unix":
        path = unquote(parts.netloc)
        return parts if path.startswith("/") and "\0" not in path else None
    return parts if found and parts.scheme in ("http", "https") else None


def _credentials(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def address_of(text: str) -> tuple[str, int]:
    """Take ``host:port`` apart; an IPv6 address is in brackets.

    Raises:
        ValueError: it is no such thing. The message says what is allowed, and not the text.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(ADDRESS_ALLOWED)
    return match["six"] or match["host"], int(match["port"])


def shown_url(text: str) -> str:
    """Return an address as people may see it: without a user, a password, or what is asked for."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    place, slash, path = rest.partition("/")
    place = place.rpartition("@")[2]
    return f"{scheme}://{place}{slash}{path.partition('?')[0].partition('#')[0]}"
