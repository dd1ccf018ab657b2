"""Connections for checks, and one line for why there is none."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

import trio

from a2a_sup.errors import CheckFailed

LOCALHOST = ("127.0.0.1", "::1")
"""What ``localhost`` is (RFC 6761, 6.3). Other names are looked up in threads, and a resolver that
hangs keeps its thread."""


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[trio.abc.Stream]:
    """Be connected to a TCP port for the length of the block.

    Raises:
        CheckFailed: nobody answers there.
    """
    for last, address in _places(host):
        try:
            stream = await trio.open_tcp_stream(address, port)
        except OSError as exc:
            if last:
                raise CheckFailed(f"no connection: {reason_of(exc)}") from exc
        else:
            break
    async with stream:
        yield stream


@asynccontextmanager
async def connected_to_unix(path: str) -> AsyncIterator[trio.abc.Stream]:
    """Be connected to a unix socket for the length of the block.

    Raises:
        CheckFailed: nobody answers there.
    """
    try:
        stream = await trio.open_unix_socket(path)
    except (OSError, ValueError) as exc:
        raise CheckFailed(f"no connection: {reason_of(exc)}") from exc
    async with stream:
        yield stream


@asynccontextmanager
async def encrypted(
    stream: trio.abc.Stream, host: str, ca_file: str | None
) -> AsyncIterator[trio.abc.Stream]:
    """Speak TLS over ``stream`` for the length of the block, if the peer's certificate is good.

    Raises:
        CheckFailed: it is not, or there is no TLS there.
    """
    try:
        context = _system_trust() if ca_file is None else ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise CheckFailed(f"ca_file {ca_file}: {reason_of(exc)}") from exc
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except trio.BrokenResourceError as exc:
        raise CheckFailed(f"no TLS connection: {reason_of(exc)}") from exc
    async with secure:
        yield secure


@lru_cache(maxsize=1)
def _system_trust() -> ssl.SSLContext:
    # Reading the system's certificates takes many milliseconds.
    return ssl.create_default_context()


def _places(host: str) -> list[tuple[bool, str]]:
    places = LOCALHOST if host.lower() == "localhost" else (host,)
    return [(place is places[-1], place) for place in places]


def reason_of(error: BaseException) -> str:
    """Return in a few words why there is no connection."""
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, BaseException):
        # Several addresses were tried: the first tells enough.
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        causes.append(cause)
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or str(cause)).replace("_", " ").lower()
        if isinstance(cause, socket.gaierror):
            return "no such host"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
    return str(error) or type(error).__name__
