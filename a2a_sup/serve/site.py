"""The site: routes put together, with what holds for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from a2a_sup.serve.http import App, Message, Receive, Scope, Send
from a2a_sup.serve.origins import Origins, host_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


def problem(status: int, detail: str = "", **more: object) -> Response:
    """Return an error as ``application/problem+json`` (RFC 9457)."""
    from starlette.responses import JSONResponse  # noqa: PLC0415 - only when it serves

    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        body["detail"] = detail
    return JSONResponse({**body, **more}, status, media_type="application/problem+json")


def site(
    routes: Iterable[BaseRoute],
    observe: Callable[[str, str, int, float], None],
    *,
    origins: Origins | None = None,
) -> App:
    """Return the application with these routes.

    Args:
        routes: in the order in which they are tried.
        observe: is told of every request: method, template of the path, status, seconds.
        origins: by which names a client may call the server; None: by any.
    """
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.exceptions import HTTPException  # noqa: PLC0415

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
        response = problem(error.status_code, error.detail)
        response.headers.update(error.headers or {})
        return response

    async def failed(_: Request, error: Exception) -> Response:  # noqa: ARG001 - it is logged
        return problem(500)

    starlette = Starlette(
        routes=list(routes), exception_handlers={HTTPException: refused, Exception: failed}
    )
    app = observed(starlette, observe)
    return app if origins is None else known_hosts_only(app, origins)


def observed(app: App, observe: Callable[[str, str, int, float], None]) -> App:
    """Return ``app`` with every request told: method, template of the path, status, seconds.

    A stream of events is told at its beginning, everything else at its end.
    """

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status = 500
        is_told = False

        def tell() -> None:
            nonlocal is_told
            if not is_told:
                is_told = True
                route = getattr(scope.get("route"), "path", "unmatched")
                observe(scope["method"], route, status, time.perf_counter() - began)

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = dict(message["headers"]).get(b"content-type", b"")
                if kind.startswith(b"text/event-stream"):
                    tell()
            await send(message)

        try:
            await app(scope, receive, send_noting)
        finally:
            tell()

    return timed


def known_hosts_only(app: App, origins: Origins) -> App:
    """Return ``app`` behind a look at the Host header: see :mod:`a2a_sup.serve.origins`.

    HTTP/1.0 may have none; no browser speaks it.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"host"), None)
        host = None if given is None else given.decode("latin-1")
        if host is None or origins.know(host_of(host)):
            await app(scope, receive, send)
        else:
            detail = f"this server is not known as {host!r:.100}; see origins in [serve]"
            await problem(HTTPStatus.MISDIRECTED_REQUEST, detail)(scope, receive, send)

    return guarded
