"""The shapes of the API's answers as JSON Schema, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from a2a_sup.model.health import Purpose
from a2a_sup.model.reasons import ReasonKind
from a2a_sup.model.states import State

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
COUNT: Json = {"type": "integer", "minimum": 0}
TRUTH: Json = {"type": "boolean"}


def maybe(schema: Json) -> Json:
    """Return the schema of something that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Json:
    """Return a reference to one of ``SCHEMAS``."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(schema: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def shape(**fields: Json) -> Json:
    """Return the schema of an object that has at least these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def _words(words: type[Any]) -> Json:
    return {"type": "string", "enum": [str(word) for word in words]}


_MOMENT = {
    "revision": {**COUNT, "description": "the number of the last event that this includes"},
    "time": {**NUMBER, "description": "seconds on the supervisor's own clock"},
    "wall_time": {**NUMBER, "description": "the same moment in seconds since 1970"},
}

SCHEMAS: dict[str, Json] = {
    "Tree": shape(**_MOMENT, name=TEXT, root=ref("Supervisor")),
    "Status": shape(**_MOMENT, name=TEXT, children=listed(ref("Row"))),
    "Row": shape(
        path=TEXT,
        kind=TEXT,
        state=_words(State),
        healthy=maybe(TRUTH),
        ready=maybe(TRUTH),
        pid=maybe(COUNT),
        uptime=maybe(NUMBER),
        incarnation=COUNT,
        restarts=COUNT,
        processes=maybe(COUNT),
        memory_bytes=maybe(COUNT),
        cpu_seconds=maybe(NUMBER),
        next_attempt_in=maybe(NUMBER),
        last_reason=maybe(TEXT),
        waits_for={**listed(TEXT), "description": "what it needs before it can start"},
        next_run={**maybe(TEXT), "description": "of a child that runs at times; ISO 8601"},
        tags=listed(TEXT),
    ),
    "Supervisor": shape(path=TEXT, strategy=TEXT, children=listed(ref("Child"))),
    "Child": shape(
        name=TEXT,
        path=TEXT,
        kind=TEXT,
        state=_words(State),
        incarnation=COUNT,
        restarts=COUNT,
        since=NUMBER,
        started_at=maybe(NUMBER),
        next_attempt_at=maybe(NUMBER),
        ready=maybe(TRUTH),
        healthy=maybe(TRUTH),
        last_reason=maybe(ref("Reason")),
        details={"type": "object", "description": "what it reported: pid, tools, ..."},
        info={"type": "object", "description": "what its specification shows: the command, ..."},
        tags=listed(TEXT),
        restart=TEXT,
        supervisor=maybe(ref("Supervisor")),
        probes=listed(ref("Probe")),
    ),
    "Reason": shape(
        kind=_words(ReasonKind),
        text=TEXT,
        exit_status=maybe({"type": "integer"}),
        crash=maybe(ref("Crash")),
        last_output=listed(TEXT),
    ),
    "Crash": shape(
        type=TEXT,
        message=TEXT,
        frames=listed(shape(file=TEXT, line={"type": "integer"}, function=TEXT)),
        causes=listed(ref("Crash")),
    ),
    "Probe": shape(
        name=TEXT,
        purpose=_words(Purpose),
        passing=maybe(TRUTH),
        interval=NUMBER,
        results=listed(shape(time=NUMBER, passed=TRUTH, duration=NUMBER, message=TEXT)),
    ),
    "ChildAnswer": shape(**_MOMENT, child=ref("Child")),
    "CommandAnswer": shape(
        command=TEXT,
        path={**TEXT, "description": "a dynamic child comes back with another number"},
        already={**TRUTH, "description": "it was so before, nothing was done"},
        child=maybe(ref("Child")),
    ),
    "Command": {
        "type": "object",
        "properties": {
            "timeout": {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
                    {"type": "null"},
                ],
                "description": "seconds to wait; the command goes on after them",
            }
        },
        "additionalProperties": False,
    },
    "Line": shape(
        time={**NUMBER, "description": "when its beginning was read, in seconds since 1970"},
        stream={"type": "string", "enum": ["output", "stdout", "stderr"]},
        text={**TEXT, "description": "what is no UTF-8 is replaced"},
    ),
    "Lines": shape(lines=listed(ref("Line"))),
    "Event": shape(
        type={**TEXT, "description": "such as child.started; see docs/concepts.md"},
        seq=COUNT,
        time=NUMBER,
        wall_time=NUMBER,
        path=TEXT,
        incarnation=COUNT,
    ),
    "Events": shape(events=listed(ref("Event"))),
    "Usage": shape(
        wall_time=NUMBER,
        children={
            "type": "object",
            "additionalProperties": shape(processes=COUNT, memory_bytes=COUNT, cpu_seconds=NUMBER),
        },
    ),
    "Agents": shape(
        total=COUNT,
        agents=listed(shape(id=TEXT, name=TEXT, version=TEXT, tags=listed(TEXT), enabled=TRUTH)),
    ),
    "Scale": {
        "type": "object",
        "properties": {"replicas": {**COUNT, "maximum": 1000}},
        "required": ["replicas"],
        "additionalProperties": False,
    },
    "Step": shape(
        child={**TEXT, "description": "its path; empty: the root"},
        act={"type": "string", "enum": ["add", "remove", "restart", "update"]},
        why=listed(TEXT),
    ),
    "Plan": shape(
        steps=listed(ref("Step")),
        untouched=listed(TEXT),
        next_start={
            **listed(TEXT),
            "description": "keys that are not what they were at the start, and are read then only",
        },
        webhooks={**TRUTH, "description": "whether the receivers of webhooks are other ones"},
    ),
    "Outcome": shape(
        ok={**TRUTH, "description": "false: a child did not start; the rest was not begun"},
        plan=ref("Plan"),
        applied=listed(ref("Step")),
        failed=maybe(ref("Step")),
        because={**TEXT, "description": "why it failed"},
        not_applied=listed(ref("Step")),
    ),
    "Reload": {"anyOf": [ref("Plan"), ref("Outcome")]},
    "Problem": shape(
        type={**TEXT, "description": "stable; see docs/api.md"},
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
        instance=TEXT,
    ),
}
