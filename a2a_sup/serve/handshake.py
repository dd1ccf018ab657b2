"""Who may watch: what is looked at before a handshake is accepted."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import attrs

PROTOCOL = "a2a-sup"
"""The subprotocol that a client may propose, beside one that carries its token."""
TOKEN_PREFIX = "token."  # noqa: S105 - a prefix
"""Before the token in a proposed subprotocol: a page can send it no other way but in the URL."""


@attrs.frozen(kw_only=True)
class Rules:
    """What a handshake has to fulfil.

    Attributes:
        origins: hosts, or whole origins, whose pages may watch, beside those of the same host.
        is_local: only this machine can connect, so a foreign name is a trick: a page of another
            site whose name was made to point here (DNS rebinding).
        token: whoever watches has to know it; None: nobody has to.
    """

    origins: tuple[str, ...] = ()
    is_local: bool = True
    token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Refusal:
    """Why a handshake is refused."""

    status: HTTPStatus
    reason: str


def refusal(
    rules: Rules,
    *,
    host: str,
    path: str,
    headers: Mapping[str, str],
    protocols: Iterable[str] = (),
) -> Refusal | None:
    """Return why a handshake is refused; None: it is not.

    Args:
        rules: what it has to fulfil.
        host: its Host header.
        path: its target, with the query.
        headers: its other headers, with names in small letters.
        protocols: the subprotocols that it proposes.
    """
    name = _host_name(f"//{host}")
    if rules.is_local and not (_is_own(name) or name in _names(rules.origins)):
        return Refusal(HTTPStatus.FORBIDDEN, "this host name is not known here")
    origin = headers.get("origin")
    if origin is not None and not _is_allowed(origin, name, rules.origins):
        return Refusal(HTTPStatus.FORBIDDEN, "pages of this origin may not watch")
    if rules.token is not None and not _knows(rules.token, path, headers, protocols):
        return Refusal(HTTPStatus.UNAUTHORIZED, "a token is needed")
    return None


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_own(name: str) -> bool:
    """Return whether nobody else can have made a name point here."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_allowed(origin: str, name: str, origins: Iterable[str]) -> bool:
    if not origin.startswith(("http://", "https://")):
        return False
    host = _host_name(origin)
    if not host:
        return False
    return host == name or any(each.lower() in (host, origin.lower()) for each in origins)


def _names(origins: Iterable[str]) -> set[str]:
    return {_host_name(each if "//" in each else f"//{each}") for each in origins}


def _knows(token: str, path: str, headers: Mapping[str, str], protocols: Iterable[str]) -> bool:
    given = [each.removeprefix(TOKEN_PREFIX) for each in protocols if each != PROTOCOL]
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given.append(credentials.strip())
    given.extend(parse_qs(path.partition("?")[2]).get("token", ()))
    # All of them are compared, each in a time that tells nothing.
    found = [hmac.compare_digest(each.encode(errors="replace"), token.encode()) for each in given]
    return any(found)
