"""Who may watch: what is looked at before a handshake is accepted."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

import attrs

from a2a_sup.serve.origins import Origins, host_of, host_of_origin, origins_of

PROTOCOL = "a2a-sup"
"""The subprotocol that a client may propose, beside one that carries its token."""
TOKEN_PREFIX = "token."  # noqa: S105 - a prefix
"""Before the token in a proposed subprotocol: a page can send it no other way but in the URL."""


@attrs.frozen(kw_only=True)
class Rules:
    """What a handshake has to fulfil.

    Attributes:
        origins: names of this host, and whose pages may watch, beside those of the same host;
            see :mod:`a2a_sup.serve.origins`.
        names: the hosts at which the server is told to listen.
        token: whoever watches has to know it; None: nobody has to.
        known: the origins, read.
    """

    origins: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    token: str | None = attrs.field(default=None, repr=False)
    known: Origins = attrs.field(init=False, repr=False)

    @known.default
    def _known(self) -> Origins:
        return origins_of(self.origins, self.names)


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
    is_local: bool = True,
) -> Refusal | None:
    """Return why a handshake is refused; None: it is not.

    Args:
        rules: what it has to fulfil.
        host: its Host header.
        path: its target, with the query.
        headers: its other headers, with names in small letters.
        protocols: the subprotocols that it proposes.
        is_local: only this machine can connect, so a foreign name is a trick: a page of another
            site whose name was made to point here (DNS rebinding).
    """
    name = host_of(host)
    if is_local and not rules.known.know(name):
        return Refusal(HTTPStatus.FORBIDDEN, "this host name is not known here")
    origin = headers.get("origin")
    if origin is not None and not _is_allowed(origin, name, rules.known):
        return Refusal(HTTPStatus.FORBIDDEN, "pages of this origin may not watch")
    if rules.token is not None and not _knows(rules.token, path, headers, protocols):
        return Refusal(HTTPStatus.UNAUTHORIZED, "a token is needed")
    return None


def _is_allowed(origin: str, name: str | None, origins: Origins) -> bool:
    # The page is served at another port of the same host.
    host = host_of_origin(origin)
    return host is not None and (host == name or origins.allow(origin))


def _knows(token: str, path: str, headers: Mapping[str, str], protocols: Iterable[str]) -> bool:
    given = [each.removeprefix(TOKEN_PREFIX) for each in protocols if each != PROTOCOL]
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given.append(credentials.strip())
    given.extend(parse_qs(path.partition("?")[2]).get("token", ()))
    # All of them are compared, each in a time that tells nothing.
    found = [hmac.compare_digest(each.encode(errors="replace"), token.encode()) for each in given]
    return any(found)
