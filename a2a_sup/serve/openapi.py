"""The OpenAPI document of the control API: https://spec.openapis.org/oas/v3.1.1.html."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

import attrs

from a2a_sup.serve.api_problems import PROBLEM_TYPE, PROBLEMS
from a2a_sup.serve.openapi_schemas import SCHEMAS, TEXT, TRUTH, Json, ref

CHILD_PATH: Json = {
    "name": "path",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "from the root, without its name: pipeline/loader",
}
SECONDS: Json = {"type": "number", "minimum": 0}
ALWAYS = ("foreign-user", "foreign-host", "foreign-origin", "wrong-token", "too-many-failures")
"""Problems that every request may get."""
BODY = ("bad-json", "bad-body", "too-large", "too-slow", "wrong-content-type")
"""What may be wrong with a body."""
COMMANDS = (
    "no-such-child",
    "not-supported",
    "interrupted",
    "child-stuck",
    "child-moved",
    "tree-ended",
    *BODY,
    "timed-out",
)


@attrs.frozen(kw_only=True)
class Operation:
    """What one method does at one address.

    Attributes:
        name: unique, for clients that are generated.
        summary: one line.
        answer: the schema of the JSON that it answers.
        problems: what may be wrong, beside ``ALWAYS``.
        parameters: of the path, the query and the headers.
        body: the schema of its body, if it takes one.
        needs_body: whether there has to be one.
        streams: whether it may answer with server-sent events.
        guarded: ``always``: whoever asks needs authority; ``if_token``: if there is a token.
    """

    name: str
    summary: str
    answer: str | None = None
    problems: tuple[str, ...] = ()
    parameters: tuple[Json, ...] = ()
    body: str | None = None
    needs_body: bool = False
    streams: bool = False
    guarded: str = ""


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _digits(low: int, high: int, default: int) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def _flag(default: int) -> Json:
    return {"type": "integer", "enum": [0, 1], "default": default}


def _command(verb: str, summary: str, *problems: str) -> Operation:
    return Operation(
        name=verb,
        summary=summary,
        answer="CommandAnswer",
        problems=(*COMMANDS, *problems, "no-token", "no-token-configured"),
        parameters=(CHILD_PATH,),
        body="Command",
        guarded="always",
    )


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/tree"): Operation(name="tree", summary="The whole tree", answer="Tree"),
    ("GET", "/status"): Operation(
        name="status",
        summary="A row for each child: state, health, process, what it uses",
        answer="Status",
    ),
    ("GET", "/usage"): Operation(
        name="usage",
        summary="Memory and CPU time of each child with all processes below it",
        answer="Usage",
    ),
    ("GET", "/children/{path}"): Operation(
        name="child",
        summary="One child, a supervisor with all below it",
        answer="ChildAnswer",
        problems=("no-such-child",),
        parameters=(CHILD_PATH,),
    ),
    ("POST", "/children/{path}/start"): _command(
        "start", "Start a child that is down; answers when it has started", "start-failed"
    ),
    ("POST", "/children/{path}/stop"): _command(
        "stop", "Stop a child, which stays down; answers when it is gone"
    ),
    ("POST", "/children/{path}/restart"): _command(
        "restart", "Stop a child if it is up, then start it", "start-failed"
    ),
    ("POST", "/children/{path}/scale"): Operation(
        name="scale",
        summary="Have so many copies of a child that has replicas; the last ones go first",
        answer="Outcome",
        problems=(
            "no-such-child",
            "not-supported",
            "start-failed",
            "tree-ended",
            *BODY,
            "no-token",
            "no-token-configured",
        ),
        parameters=(CHILD_PATH,),
        body="Scale",
        needs_body=True,
        guarded="always",
    ),
    ("GET", "/children/{path}/logs"): Operation(
        name="logs",
        summary="The last lines that a child printed, and those that follow",
        answer="Lines",
        problems=("no-such-child", "no-logs", "no-token"),
        parameters=(
            CHILD_PATH,
            _query("lines", _digits(0, 10_000, 100), "at most so many"),
            _query("since", SECONDS, "only those of this time or later, in seconds since 1970"),
            _query("follow", _flag(0), "1: go on with what comes, as server-sent events"),
        ),
        streams=True,
        guarded="if_token",
    ),
    ("GET", "/events"): Operation(
        name="events",
        summary="What happens, and what happened lately",
        answer="Events",
        problems=("no-token",),
        parameters=(
            _query("follow", _flag(1), "0: only the last ones, as JSON"),
            _query("last", _digits(0, 10_000, 0), "begin with so many; without follow 100"),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
                "description": "go on after this one; what is no longer kept is counted",
            },
        ),
        streams=True,
        guarded="if_token",
    ),
    ("GET", "/agents"): Operation(
        name="agents",
        summary="The registered agents that meet all conditions",
        answer="Agents",
        parameters=(
            _query("enabled", TRUTH, "only those that are, or are not"),
            _query("category", {**TEXT, "maxLength": 200}, "only of this category"),
            _query("tags", {**TEXT, "maxLength": 200}, "with one of these; commas between them"),
            _query("search", {**TEXT, "maxLength": 200}, "in id, name and capabilities"),
        ),
    ),
    ("POST", "/reload"): Operation(
        name="reload",
        summary="Apply the changed file with the smallest plan",
        answer="Reload",
        problems=(
            "reload-failed",
            *BODY,
            "no-token",
            "no-token-configured",
        ),
        parameters=(_query("plan", _flag(0), "1: only say what would be done"),),
        guarded="always",
    ),
    ("GET", "/openapi.json"): Operation(name="openapi", summary="This document"),
}


def document(available: Iterable[tuple[str, str]]) -> Json:
    """Return the document for those methods and addresses.

    Raises KeyError if one of them is not described.
    """
    paths: dict[str, Json] = {}
    for method, address in available:
        paths.setdefault(address, {})[method.lower()] = _operation(OPERATIONS[method, address])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "a2a-sup",
            "version": version("a2a_sup"),
            "description": "Watch and command a running supervisor.",
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> Json:
    made: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(operation.parameters),
        "responses": {"200": _answer(operation), **_problems(operation)},
    }
    if operation.body is not None:
        content = {"application/json": {"schema": ref(operation.body)}}
        made["requestBody"] = {"required": operation.needs_body, "content": content}
    if operation.guarded:
        made["security"] = [{"token": []}]
        if operation.guarded == "if_token":
            made["security"].append({})
    return made


def _answer(operation: Operation) -> Json:
    schema = {"type": "object"} if operation.answer is None else ref(operation.answer)
    content: Json = {"application/json": {"schema": schema}}
    if operation.streams:
        content["text/event-stream"] = {"schema": TEXT}
    return {"description": operation.summary, "content": content}


def _problems(operation: Operation) -> Json:
    by_status: dict[str, list[str]] = {}
    for kind in (*ALWAYS, "bad-parameter", *operation.problems):
        by_status.setdefault(str(PROBLEMS[kind][0]), []).append(kind)
    return {
        status: {
            "description": "; ".join(f"{kind}: {PROBLEMS[kind][1]}" for kind in kinds),
            "content": {PROBLEM_TYPE: {"schema": ref("Problem")}},
        }
        for status, kinds in sorted(by_status.items())
    }
