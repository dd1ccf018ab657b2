"""The page as it is served: whole, unchanged, cached, and locked up."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

import a2a_sup.serve
from a2a_sup.serve.page import content_security_policy, load_assets, page_routes

STATIC = Path(a2a_sup.serve.__file__).parent / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(path for path in STATIC.rglob("*.*") if VENDOR not in path.parents)


def client(
    dashboard: Callable[[], str | int | None] = lambda: 9000, host: str = "127.0.0.1:3000"
) -> httpx.AsyncClient:
    app = Starlette(routes=page_routes(dashboard))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f"http://{host}")


def policy_of(response: httpx.Response) -> dict[str, list[str]]:
    rules = [rule.split() for rule in response.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in rules}


async def test_everything_that_the_page_names_is_served() -> None:
    async with client() as http:
        page = await http.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(named) >= 4
        seen = set[str]()
        todo = [str(page.url.join(name)) for name in named]
        while todo:
            url = todo.pop()
            if url in seen:
                continue
            seen.add(url)
            reply = await http.get(url)
            assert reply.status_code == 200, url
            if url.endswith(".js"):
                imports = re.findall(
                    r'^(?:import|export)[^"\n]*?from\s*"([^"]+)"', reply.text, re.M
                )
                todo += [str(reply.url.join(name)) for name in imports]
    names = {url.rpartition("/")[2] for url in seen}
    assert {"main.js", "preact.js", "uplot.js", "style.css", "icon.svg"} <= names


async def test_nothing_is_loaded_from_elsewhere_or_written_into_the_page() -> None:
    async with client() as http:
        page = await http.get("/")
    assert "://" not in page.text
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page.text)
    for path in OURS:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path
        assert "innerHTML" not in text, path
        assert "insertAdjacentHTML" not in text, path


async def test_the_policy_allows_this_host_and_the_dashboard_only() -> None:
    async with client() as http:
        page = await http.get("/")
    policy = policy_of(page)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == ["'self'"]
    assert policy["connect-src"] == ["'self'", "ws://127.0.0.1:9000", "wss://127.0.0.1:9000"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert policy["require-trusted-types-for"] == ["'script'"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("dashboard", "sources"),
    [(None, ["'self'"]), ("wss://dash.example/live", ["'self'", "wss://dash.example"])],
)
async def test_the_dashboard_may_be_elsewhere_or_nowhere(
    dashboard: str | None, sources: list[str]
) -> None:
    async with client(lambda: dashboard) as http:
        page = await http.get("/")
    assert policy_of(page)["connect-src"] == sources
    assert f'<meta name="a2a-dashboard" content="{dashboard or ""}">' in page.text


async def test_the_dashboard_is_asked_for_at_each_view() -> None:
    ports = iter([9000, 9001])
    async with client(lambda: next(ports)) as http:
        first, second = await http.get("/"), await http.get("/")
    assert 'name="a2a-dashboard" content="9000"' in first.text
    assert 'name="a2a-dashboard" content="9001"' in second.text
    assert first.headers["etag"] != second.headers["etag"]


@pytest.mark.parametrize("host", ["evil.example; script-src *", "*", "", "a b", "::1", "[::1]"])
def test_a_host_that_is_no_plain_name_does_not_stand_in_the_policy(host: str) -> None:
    rules = content_security_policy(host, 9000)
    assert "connect-src 'self' ws: wss:;" in rules
    assert "*" not in rules
    assert rules.count("script-src") == 1


@pytest.mark.parametrize("url", ["http://x", "ws://x; script-src *", "ws://x y", "javascript:1"])
def test_a_dashboard_that_is_no_websocket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="dashboard's address"):
        content_security_policy("localhost", url)


async def test_files_are_kept_for_ever_and_the_page_is_asked_for_again() -> None:
    async with client() as http:
        page = await http.get("/")
        assert page.headers["cache-control"] == "no-cache"
        again = await http.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"]
        style = await http.get(f"/static/{load_assets().digest}/style.css")
        assert "immutable" in style.headers["cache-control"]
        tag = style.headers["etag"]
        again = await http.get(str(style.url), headers={"if-none-match": f'"other", W/{tag}'})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "DIGEST/vendor/README.md",
        "DIGEST/vendor/LICENSE.htm",
        "DIGEST/%2e%2e/page.py",
        "DIGEST//etc/passwd",
        "DIGEST/",
        "0123456789abcdef/style.css",
    ],
)
async def test_nothing_else_is_served(path: str) -> None:
    async with client() as http:
        reply = await http.get(f"/static/{path.replace('DIGEST', load_assets().digest)}")
    assert reply.status_code == 404
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_the_libraries_are_those_of_the_list_with_their_licences() -> None:
    listed = re.findall(r"^\| `([^`]+)`.*`(LICENSE\.\w+)`.*`([0-9a-f]{64})` \|$", _list(), re.M)
    files = {path.name for path in VENDOR.iterdir()}
    assert files == {"README.md"} | {name for name, *_ in listed} | {each for _, each, _ in listed}
    for name, _, digest in listed:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def _list() -> str:
    return (VENDOR / "README.md").read_text(encoding="utf-8")


def test_the_policy_without_a_host_still_finds_the_dashboard() -> None:
    assert "connect-src 'self' ws: wss:;" in content_security_policy(None, 9000)
