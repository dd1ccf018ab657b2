"""Where to listen: addresses as people write them, and sockets of our own at them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import stat
from pathlib import Path
from typing import Final

import attrs
import trio

from a2a_sup.errors import CannotListen

OFF: Final = "off"
ALLOWED = (
    "HOST:PORT, such as 127.0.0.1:3000 or [::1]:3000 (port 0: any free one), or off (do not listen)"
)
BACKLOG = 256
"""Connections that the kernel holds until they are accepted."""
SOCKET_MODE = 0o600
"""Of a unix socket: for the user alone."""
UNIX_PATH_LIMIT = 107
"""Bytes of the path of a unix socket (unix(7): sun_path, less the NUL)."""
_WRITTEN = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})"
)


@attrs.frozen
class Address:
    """A TCP address.

    Attributes:
        host: a name or an IP address.
        port: 0 stands for any free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(address: str) -> bool:
    """Return whether only this machine can connect to an IP address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` names; None for ``off``.

    Raises:
        ValueError: it is neither; the message says what is allowed.
    """
    if text == OFF:
        return None
    match = _WRITTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(ALLOWED)
    return Address(match["six"] or match["host"], int(match["port"]))


class Door:
    """A place to listen at: a TCP address, or the path of a unix socket.

    It can be opened again after it was closed, and is then at the same place, also if the port
    was any free one.

    Attributes:
        bound: where it was opened last: ``host:port``, or the path; empty before.
        is_local: whether only this machine can connect there: known when it was opened, as what
            a name stands for is.
    """

    def __init__(self, place: Address | Path, hint: str) -> None:
        """Take the place, and what to do if it cannot be had: one phrase for a message."""
        self.bound = ""
        self.is_local = True
        self._place = place
        self._hint = hint
        self._identity: tuple[int, int] | None = None
        self._reserved: trio.SocketListener | None = None

    async def reserve(self) -> None:
        """Bind and listen for whoever opens it first; until then connections wait.

        Raises:
            CannotListen: as of ``open``.
        """
        self._reserved = await self.open()

    def release(self) -> None:
        """Stop listening if it was reserved and nobody has opened it."""
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            self.close(reserved)

    async def open(self) -> trio.SocketListener:
        """Bind and listen.

        Raises:
            CannotListen: the address is taken, or the path cannot be used.
        """
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            return reserved
        try:
            if isinstance(self._place, Path):
                sock = await self._unix(self._place)
                self.bound = str(self._place)
            else:
                sock = await _tcp(self._place)
                host, port = sock.getsockname()[:2]
                self._place = Address(self._place.host, port)
                self.bound = str(Address(host, port))
                self.is_local = is_loopback(host)
        except (OSError, UnicodeError) as error:
            raise CannotListen(str(self._place), _reason(error), self._hint) from None
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))

    def close(self, listener: trio.SocketListener) -> None:
        """Stop listening at once; a unix socket's path is removed if it is still ours."""
        listener.socket.close()
        if isinstance(self._place, Path) and _identity(self._place) == self._identity:
            _unlink(self._place)

    async def _unix(self, path: Path) -> socket.socket:
        if len(os.fsencode(path)) > UNIX_PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, f"longer than {UNIX_PATH_LIMIT} bytes")
        await _remove_dead_socket(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before it has a name, so that there is no moment in which others may connect.
            os.fchmod(sock.fileno(), SOCKET_MODE)
            sock.bind(os.fspath(path))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self._identity = _identity(path)
        return sock


async def _tcp(address: Address) -> socket.socket:
    found = await trio.socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, name = found[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def _remove_dead_socket(path: Path) -> None:
    """Remove what a supervisor left that was killed. Raises OSError if somebody listens there."""
    mode = _mode_of(path)
    if mode is None:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            await probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            _unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _mode_of(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "no such host"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
