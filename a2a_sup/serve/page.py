"""The page at ``/``: static files from the package, and the headers that keep it to itself.

The page is one HTML file that names its scripts below ``/static/DIGEST/``, the digest being that
of all files together. So a browser keeps them for ever, and takes all of them anew with the next
version, never a mixture. Nothing is loaded from elsewhere, no script and no style is inline, and
the browser is told so: https://www.w3.org/TR/CSP3/.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by its suffix. Licences and notes beside the libraries are not."""
INDEX = "index.html"
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_ORIGIN = re.compile(r"wss?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~/-]*)?")


@attrs.frozen
class Asset:
    """One file of the page."""

    body: bytes
    kind: str


@attrs.frozen
class Assets:
    """All files of the page.

    Attributes:
        files: by their path below ``static/``.
        digest: of all of them.
    """

    files: Mapping[str, Asset]
    digest: str


def load_assets() -> Assets:
    """Read the files of the page from the package: a few hundred kilobytes."""
    found = dict(sorted(_walk(files("a2a_sup.serve") / "static", PurePosixPath())))
    digest = hashlib.sha256()
    for path, asset in found.items():
        digest.update(f"{path}\0{len(asset.body)}\0".encode())
        digest.update(asset.body)
    return Assets(found, digest.hexdigest()[:16])


def _walk(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[str, Asset]]:
    for item in folder.iterdir():
        path = at / item.name
        if item.is_dir():
            yield from _walk(item, path)
        elif path.suffix in KINDS:
            yield str(path), Asset(item.read_bytes(), KINDS[path.suffix])


def page_routes(dashboard: Callable[[], str | int | None]) -> list[BaseRoute]:
    """Return the routes of the page: ``/`` and ``/static/...``.

    Args:
        dashboard: asked for each view of the page: where a browser finds the dashboard's
            WebSocket, as a port of the host that the page came from, or as a ``ws://`` or
            ``wss://`` URL. None: there is none, and the page asks the API from time to time.
    """
    from starlette.responses import PlainTextResponse  # noqa: PLC0415 - only when it serves
    from starlette.routing import Route  # noqa: PLC0415

    assets = load_assets()

    async def index(request: Request) -> Response:
        where = dashboard()
        body = _filled(assets, where)
        headers = {
            "cache-control": ASK_AGAIN,
            "content-security-policy": content_security_policy(request.url.hostname, where),
        }
        return _reply(request, Asset(body, KINDS[".html"]), headers)

    async def static(request: Request) -> Response:
        asset = assets.files.get(request.path_params["path"])
        if asset is None or request.path_params["digest"] != assets.digest:
            return PlainTextResponse("no such file\n", status_code=404, headers=_GUARDS)
        return _reply(request, asset, {"cache-control": FOR_EVER})

    return [
        Route("/", index, name="page"),
        Route("/static/{digest}/{path:path}", static, name="page-files"),
    ]


def content_security_policy(host: str | None, dashboard: str | int | None) -> str:
    """Return the policy of the page.

    Args:
        host: the name by which the browser asked for the page. It comes from outside, and stands
            in the policy only if it is plainly a name or an IPv4 address.
        dashboard: as for ``page_routes``.
    """
    connect = " ".join(["'self'", *_socket_sources(host, dashboard)])
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": connect,
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # No script of the page can turn text into HTML, not even by mistake.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _socket_sources(host: str | None, dashboard: str | int | None) -> list[str]:
    match dashboard:
        case None:
            return []
        case str() as url:
            parts = urlsplit(_checked(url))
            return [f"{parts.scheme}://{parts.netloc}"]
        case int() as port if host is not None and _HOST.fullmatch(host):
            return [f"ws://{host}:{port}", f"wss://{host}:{port}"]
        case _:
            # The grammar of a source has no IPv6 address: any WebSocket is the next narrower.
            return ["ws:", "wss:"]


def _checked(url: str) -> str:
    """Return ``url``, which becomes part of a header. Raises ValueError for what is no URL."""
    if not _ORIGIN.fullmatch(url):
        raise ValueError(f"the dashboard's address is ws://... or wss://..., not {url!r}")
    return url


def _filled(assets: Assets, dashboard: str | int | None) -> bytes:
    where = "" if dashboard is None else str(dashboard)
    text = assets.files[INDEX].body.decode()
    text = text.replace("{{digest}}", assets.digest)
    return text.replace("{{dashboard}}", html.escape(where, quote=True)).encode()


_GUARDS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def _reply(request: Request, asset: Asset, headers: Mapping[str, str]) -> Response:
    from starlette.responses import Response  # noqa: PLC0415

    etag = f'"{hashlib.sha256(asset.body).hexdigest()[:32]}"'
    sent = {**_GUARDS, **headers, "etag": etag}
    known = {tag.strip().removeprefix("W/") for tag in _header(request, "if-none-match").split(",")}
    if known & {etag, "*"}:
        return Response(status_code=304, headers=sent)
    return Response(asset.body, media_type=asset.kind, headers=sent)


def _header(request: Request, name: str) -> str:
    value: str = request.headers.get(name, "")
    return value
