"""A check that an HTTP server answers as it should."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from a2a_sup.checks.fetching import Request, Response, fetch, header_problems, is_method
from a2a_sup.checks.urls import shown_url, url_of
from a2a_sup.errors import CheckFailed, SpecError
from a2a_sup.model.spec import ChildContext

BODY_BYTES = 64 * 1024
"""Of a response that are searched for a text."""
STATUS_ALLOWED = "statuses such as '200-399' or '200,204', or a list of numbers"
Ranges: TypeAlias = tuple[tuple[int, int], ...]

_RANGE = re.compile(r"\s*(\d{3})\s*(?:-\s*(\d{3})\s*)?")


def ranges_of(given: object) -> Ranges:
    """Return statuses as ranges, both ends included.

    Args:
        given: ``"200-399"``, ``"200,204,300-303"``, a number, or several numbers.

    Raises:
        ValueError: it is none of these. The message says what is allowed.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        parts = [str(given)]
    elif isinstance(given, str):
        parts = given.split(",")
    elif isinstance(given, Iterable):
        parts = [str(each) for each in given]
    else:
        parts = []
    ranges = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(STATUS_ALLOWED)
        low, high = int(match[1]), int(match[2] or match[1])
        if not 100 <= low <= high <= 599:
            raise ValueError(STATUS_ALLOWED)
        ranges.append((low, high))
    if not ranges:
        raise ValueError(STATUS_ALLOWED)
    return tuple(ranges)


@attrs.frozen
class HTTPCheck:
    """A check: an HTTP server answers as it should. See :func:`http`.

    Attributes:
        name: what the probe is called.
        request: what is asked.
        statuses: those that pass.
        expect_headers: what the answer's headers have to hold, by their names in small letters.
        body: what is to be found in the answer; None: it is not read.
    """

    name: str
    request: Request
    statuses: Ranges
    expect_headers: Mapping[str, str]
    body: re.Pattern[bytes] | None

    async def __call__(self, _context: ChildContext) -> str:
        """Ask, and return the status. Raises CheckFailed."""
        response = await fetch(self.request)
        if problem := self._problem(response):
            raise CheckFailed(problem)
        return f"status {response.status}"

    def _problem(self, response: Response) -> str | None:
        if not any(low <= response.status <= high for low, high in self.statuses):
            shown = ", ".join(
                f"{low}-{high}" if low < high else f"{low}" for low, high in self.statuses
            )
            return f"status {response.status}; allowed: {shown}"
        for name, expected in self.expect_headers.items():
            if name not in response.headers:
                return f"status {response.status} without the header {name}"
            if expected not in response.headers[name]:
                return f"status {response.status}, the header {name} is not as expected"
        if self.body is not None and not self.body.search(response.body):
            where = "" if response.is_whole else f" in the first {BODY_BYTES} bytes"
            return f"status {response.status}, the body is not as expected{where}"
        return None


def http(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    status: str | int | Iterable[int] = "200-399",
    expect_headers: Mapping[str, str] | None = None,
    body: str | None = None,
    body_regex: str | None = None,
    ca_file: str | None = None,
) -> HTTPCheck:
    """Return a check that asks an HTTP server and passes if it answers as expected.

    Each check has a connection of its own, which also shows that the server still accepts them.
    Redirects are answers, and not followed. What is expected is not shown in messages, nor are a
    user and password in the URL, which are sent as basic authentication.

    Args:
        url: ``http://``, ``https://`` (certificates are verified), or
            ``http+unix://%2Frun%2Fapp.sock/path`` for a unix socket.
        method: of the request.
        headers: sent along.
        status: those that pass: ``"200-399"``, ``"200,204"``, a number, or several.
        expect_headers: texts that the answer's headers have to hold, by name; ``""``: anything.
        body: a text that the first 64 KiB of the answer have to hold.
        body_regex: an expression that is to be found there.
        ca_file: certificates to trust in place of the system's.

    Raises:
        SpecError: an argument is out of range; all mistakes are named.
    """
    read = _Reading()
    request = Request(
        url=read(lambda: url_of(url), "url is"),
        method=method,
        headers=dict(headers or {}),
        limit=0 if body is None and body_regex is None else BODY_BYTES,
        ca_file=ca_file,
    )
    statuses = read(lambda: ranges_of(status), "status is")
    pattern = read(lambda: _pattern(body, body_regex), "body_regex is")
    read.problems += header_problems(request.headers)
    read.problems += header_problems(expect_headers or {})
    if not is_method(method):
        read.problems.append(f"method is a word such as 'GET', not {method!r}")
    if body is not None and body_regex is not None:
        read.problems.append("body and body_regex: only one of them")
    if read.problems:
        raise SpecError(f"http: {problem}" for problem in read.problems)
    expected = {name.lower(): value for name, value in (expect_headers or {}).items()}
    return HTTPCheck(f"http {shown_url(url)}", request, statuses, expected, pattern)


def _pattern(body: str | None, expression: str | None) -> re.Pattern[bytes] | None:
    if body is not None:
        return re.compile(re.escape(body.encode()))
    if expression is None:
        return None
    try:
        return re.compile(expression.encode())
    except re.error as exc:
        raise ValueError(f"a regular expression: {exc}") from None


class _Reading:
    """Reads arguments, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def __call__(self, read: Any, what: str) -> Any:
        try:
            return read()
        except ValueError as exc:
            self.problems.append(f"{what} {exc}")
            return None
