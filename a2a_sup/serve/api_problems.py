"""Every mistake as ``application/problem+json``: https://www.rfc-editor.org/rfc/rfc9457."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.responses import JSONResponse

PROBLEM_TYPE = "application/problem+json"
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad-parameter": (400, "A parameter of the address is wrong"),
    "bad-json": (400, "The body is not JSON"),
    "no-token": (401, "A token is needed"),
    "wrong-token": (401, "The token is wrong"),
    "foreign-user": (403, "The control socket is another user's"),
    "foreign-host": (403, "The request names a host that is not this one"),
    "foreign-origin": (403, "The request comes from a page of another site"),
    "no-token-configured": (403, "Nothing can be changed here"),
    "no-such-resource": (404, "There is nothing at this address"),
    "no-such-child": (404, "There is no such child"),
    "no-logs": (404, "The child has printed nothing"),
    "wrong-method": (405, "This address does not do that"),
    "too-slow": (408, "The body did not arrive in time"),
    "not-supported": (409, "This child cannot do that"),
    "interrupted": (409, "A later stop came in between"),
    "child-stuck": (409, "The child does not end"),
    "child-moved": (409, "The tree changed meanwhile"),
    "start-failed": (409, "The child did not start"),
    "tree-ended": (409, "The tree has ended"),
    "reload-failed": (409, "The file was not applied"),
    "too-large": (413, "The body is too large"),
    "wrong-content-type": (415, "A body is application/json"),
    "bad-body": (422, "The body says something that is not allowed"),
    "too-many-failures": (429, "Too many wrong tokens"),
    "internal-error": (500, "A mistake of the supervisor"),
    "timed-out": (504, "It takes longer than you wanted to wait"),
}
"""Status and title of every type of problem. The types are stable: clients rely on them."""
COMPARED = 1000
"""Known names that a wrong one is compared with: it must cost little to be wrong."""


class Problem(Exception):
    """A request that gets a problem as its answer.

    Attributes:
        kind: the last part of its type, a key of ``PROBLEMS``.
        status: of HTTP.
        detail: what was found and what is allowed, for people.
        headers: for the answer.
        more: further members of the answer.
    """

    def __init__(
        self, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Take a key of ``PROBLEMS`` and the words."""
        super().__init__(detail)
        self.kind = kind
        self.status = PROBLEMS[kind][0]
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self, instance: str) -> JSONResponse:
        """Return the answer to the request for ``instance``, a path."""
        from starlette.responses import JSONResponse  # noqa: PLC0415 - only when it serves

        body = {
            "type": f"/problems/{self.kind}",
            "title": PROBLEMS[self.kind][1],
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **self.more,
        }
        return JSONResponse(
            body, status_code=self.status, headers=self.headers, media_type=PROBLEM_TYPE
        )


def nearest(given: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'api'?"`` if one of ``known`` is like ``given``, else nothing."""
    near = difflib.get_close_matches(given[:200], islice(known, COMPARED), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
