"""Who may do what: the control socket's peers everything, TCP reads, a token changes.

A browser must not become somebody else's hand. So over TCP the ``Host`` of a request is this host
(otherwise a page of any site could have its name point here: DNS rebinding), and its ``Origin``,
if it has one, is the same or one that the configuration names.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import trio

from a2a_sup.errors import SpecError
from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.origins import host_of, origins_of

PEER_UID = "peer_uid"
"""Key of the ``state`` of an ASGI scope: who is at the other end of a unix socket, as the kernel
says. It is None over TCP."""
FAILURES = 10
"""Wrong tokens of one peer within ``FAILURE_SECONDS``; then it has to wait."""
FAILURE_SECONDS = 60.0
PEERS_REMEMBERED = 10_000
"""Beyond that the peer whose failure is longest ago is forgotten."""


@attrs.frozen
class Caller:
    """Somebody who asks.

    Attributes:
        name: for the log: ``uid:1000``, ``token from 127.0.0.1``, or an address.
        is_trusted: whether they may change things and read what may be sensitive.
    """

    name: str
    is_trusted: bool


class Authority:
    """The rules for callers, and the failures of each peer."""

    def __init__(
        self,
        token: str | None = None,
        *,
        origins: Iterable[str] = (),
        names: Iterable[str] = (),
    ) -> None:
        """Take what the configuration says.

        Args:
            token: whoever has it may change things over TCP; None: nobody may.
            origins: names of this host, beside ``localhost`` and all addresses, and whose pages
                may ask; see :mod:`a2a_sup.serve.origins`.
            names: the hosts at which the server is told to listen.

        Raises:
            ValueError: one of the origins is none.
            SpecError: the token is empty or has characters that no header can carry.
        """
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise SpecError("a token is a text of printable ASCII characters, at least one")
        self._digest = None if token is None else _digest(token)
        self._origins = origins_of(origins, names)
        self._failures = Failures()

    @property
    def has_token(self) -> bool:
        """Whether there is a token."""
        return self._digest is not None

    def caller(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Caller:
        """Return who asks.

        Args:
            scope: of ASGI.
            headers: their names in any case.

        Raises:
            Problem: foreign-user, foreign-host, foreign-origin, wrong-token, too-many-failures.
        """
        uid = scope.get("state", {}).get(PEER_UID)
        if uid is not None:
            if uid not in {0, os.geteuid()}:
                detail = f"found the user {uid}; allowed: {os.geteuid()} and root"
                raise Problem("foreign-user", detail)
            return Caller(f"uid:{uid}", is_trusted=True)
        self.check_site(headers)
        address = str((scope.get("client") or ("unknown", 0))[0])
        given = headers.get("authorization")
        if given is None or self._digest is None:
            return Caller(address, is_trusted=False)
        self._check_token(given, peer_of(address))
        return Caller(f"token from {address}", is_trusted=True)

    def check_site(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that another site's page makes. Raises Problem: foreign-*."""
        host = headers.get("host", "")
        if not self._origins.know(host_of(host)):
            named = ", ".join(sorted({"localhost", *self._origins.names}))
            detail = f"Host: found {host!r:.80}; allowed: addresses, {named}"
            raise Problem("foreign-host", detail)
        origin = headers.get("origin")
        if origin is not None and not self._is_known_origin(origin.lower(), host.lower()):
            detail = f"Origin: found {origin!r:.80}; allowed: this host's own, or a configured one"
            raise Problem("foreign-origin", detail)

    def demand(self, caller: Caller) -> None:
        """Refuse a caller who is not trusted.

        Raises:
            Problem: no-token-configured, no-token.
        """
        if caller.is_trusted:
            return
        if self._digest is None:
            detail = "no token is configured, so changes are made through the control socket only"
            raise Problem("no-token-configured", detail)
        detail = "send the header 'Authorization: Bearer TOKEN', or use the control socket"
        raise Problem("no-token", detail, {"WWW-Authenticate": 'Bearer realm="a2a-sup"'})

    def _check_token(self, given: str, peer: str) -> None:
        now = trio.current_time()
        if wait := self._failures.wait(peer, now):
            detail = f"{FAILURES} wrong tokens within {FAILURE_SECONDS:g} s; try again later"
            raise Problem("too-many-failures", detail, {"Retry-After": str(int(wait) + 1)})
        scheme, _, token = given.partition(" ")
        is_right = self._digest is not None and hmac.compare_digest(
            _digest(token.strip()), self._digest
        )
        if not is_right or scheme.lower() != "bearer":
            self._failures.note(peer, now)
            challenge = 'Bearer realm="a2a-sup", error="invalid_token"'
            detail = "the header Authorization holds no token that is valid here"
            raise Problem("wrong-token", detail, {"WWW-Authenticate": challenge})

    def _is_known_origin(self, origin: str, host: str) -> bool:
        return origin in {f"http://{host}", f"https://{host}"} or self._origins.allow(origin)


class Failures:
    """When each peer failed; bounded."""

    def __init__(self) -> None:
        """Begin with none."""
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, peer: str, now: float) -> None:
        """Count one failure."""
        times = self._times.setdefault(peer, deque(maxlen=FAILURES))
        times.append(now)
        self._times.move_to_end(peer)
        if len(self._times) > PEERS_REMEMBERED:
            self._times.popitem(last=False)

    def wait(self, peer: str, now: float) -> float:
        """Return for how many seconds a peer is not listened to; 0: it is."""
        times = self._times.get(peer)
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + FAILURE_SECONDS - now)


def peer_of(address: str) -> str:
    """Return what counts as one peer: an address, or the network of 64 bits of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _digest(token: str) -> bytes:
    """Return a text of fixed length: comparing it does not tell how long the token is."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
