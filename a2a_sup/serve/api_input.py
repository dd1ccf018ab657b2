"""What a request says, checked: parameters of the address and JSON bodies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import trio
from starlette.requests import Request

from a2a_sup.serve.api_problems import Problem, nearest

BODY_BYTES = 64 * 1024
"""A larger body is refused before it is read."""
BODY_SECONDS = 10.0
"""A body that takes longer to arrive is refused."""
LONGEST_WAIT = 86_400.0
"""Seconds that a command may be told to wait."""

Reader: TypeAlias = Callable[[str], Any]


def parameters(request: Request, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the parameters of the address; those that are not there are missing.

    Raises:
        Problem: bad-parameter.
    """
    found: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name not in readers:
            allowed = ", ".join(sorted(readers)) or "none"
            detail = f"unknown parameter {name!r:.80}{nearest(name, readers)}; allowed: {allowed}"
            raise Problem("bad-parameter", detail)
        if name in found:
            raise Problem("bad-parameter", f"{name} is given twice; allowed: once")
        try:
            found[name] = readers[name](text)
        except ValueError as exc:
            raise Problem("bad-parameter", f"{name}: found {text!r:.80}; allowed: {exc}") from None
    return found


def whole(low: int, high: int) -> Reader:
    """Read a whole number of decimal digits from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise ValueError(f"a whole number from {low} to {high}")
        if not low <= (number := int(text)) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return read


def switch(text: str) -> bool:
    """Read ``0`` or ``1``."""
    if text not in {"0", "1"}:
        raise ValueError("0 or 1")
    return text == "1"


def boolean(text: str) -> bool:
    """Read ``true`` or ``false``."""
    if text not in {"true", "false"}:
        raise ValueError("true or false")
    return text == "true"


def seconds(text: str) -> float:
    """Read a point in time: seconds since 1970."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or "_" in text:
        raise ValueError("seconds since 1970, a number")
    return number


def words(text: str) -> str:
    """Read any text of at most 200 characters."""
    if len(text) > 200:
        raise ValueError("at most 200 characters")
    return text


async def wait_limit(request: Request) -> float:
    """Return the seconds that a command may take, from an optional body ``{"timeout": 5}``.

    Infinity if it says nothing.

    Raises:
        Problem: bad-json, bad-body, too-large, too-slow, wrong-content-type.
    """
    said = await _json_object(request, {"timeout"})
    limit = said.get("timeout")
    if limit is None:
        return math.inf
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise Problem("bad-body", f"timeout: found {limit!r:.80}; allowed: seconds, a number")
    if not 0 < limit <= LONGEST_WAIT:
        raise Problem(
            "bad-body", f"timeout: found {limit!r:.80}; allowed: seconds > 0 and <= 86400"
        )
    return float(limit)


async def copies(request: Request) -> int:
    """Return the number of copies that a body ``{"replicas": 3}`` asks for.

    Raises:
        Problem: bad-json, bad-body, too-large, too-slow, wrong-content-type.
    """
    said = await _json_object(request, {"replicas"})
    number = said.get("replicas")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        detail = f"replicas: found {number!r:.80}; allowed: a whole number from 0"
        raise Problem("bad-body", detail)
    return number


async def no_body(request: Request) -> None:
    """Refuse a body that says anything. Raises what ``wait_limit`` raises."""
    await _json_object(request, set())


async def _json_object(request: Request, allowed: set[str]) -> dict[str, Any]:
    raw = await _body(request)
    if not raw:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f"content-type: found {kind!r:.80}; allowed: application/json"
        raise Problem("wrong-content-type", detail)
    try:
        said = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise Problem("bad-json", f"the body is not JSON: {exc!s:.200}") from None
    if not isinstance(said, dict):
        raise Problem("bad-body", f"found {type(said).__name__}; allowed: an object")
    for name in said:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            detail = f"unknown key {name!r:.80}{nearest(name, allowed)}; allowed: {known}"
            raise Problem("bad-body", detail)
    return said


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


async def _body(request: Request) -> bytes:
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told[:20]) > BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(BODY_SECONDS) as patience:
        async with aclosing(request.stream()) as stream:
            async for part in stream:
                parts.append(part)
                size += len(part)
                if size > BODY_BYTES:
                    raise _too_large()
    if patience.cancelled_caught:
        detail = f"the body took more than {BODY_SECONDS:g} s"
        raise Problem("too-slow", detail, {"Connection": "close"})
    return b"".join(parts)


def _too_large() -> Problem:
    detail = f"the body has more than {BODY_BYTES} bytes"
    return Problem("too-large", detail, {"Connection": "close"})
