"""Events and snapshots as JSON: always accepted by json.dumps, in documented shapes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.model import events
from a2a_sup.model.codec import ITEM_LIMIT, event_to_json, plain, snapshot_to_json
from a2a_sup.model.health import ProbeResult, ProbeSnapshot
from a2a_sup.model.reasons import Crash, Frame, Reason, ReasonKind
from a2a_sup.model.snapshot import ChildSnapshot, SupervisorSnapshot, TreeSnapshot
from a2a_sup.model.states import State

EVENT_CLASSES = [
    value
    for value in vars(events).values()
    if isinstance(value, type) and issubclass(value, events.Event)
]

texts = st.text(st.characters(codec=None), max_size=10)
floats = st.floats(allow_nan=True, allow_infinity=True)
frames = st.builds(Frame, texts, st.integers(1, 999), texts)
crashes = st.recursive(
    st.builds(Crash, texts, texts, st.tuples(frames)),
    lambda causes: st.builds(Crash, texts, texts, st.just(()), st.tuples(causes)),
    max_leaves=3,
)
reasons = st.builds(
    Reason,
    st.sampled_from(ReasonKind),
    texts,
    st.none() | st.integers(),
    st.none() | crashes,
    st.tuples(texts),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | texts | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(texts | st.integers(), inner) | st.sets(texts),
    max_leaves=10,
)
details = st.dictionaries(texts, anything, max_size=4)
probe_results = st.builds(ProbeResult, floats, st.booleans(), floats, texts)
probes = st.builds(
    ProbeSnapshot, texts, texts, st.none() | st.booleans(), floats, st.tuples(probe_results)
)
FIELDS = {
    "seq": st.integers(0),
    "time": floats,
    "path": texts,
    "incarnation": st.integers(0),
    "reason": reasons,
    "ready": st.booleans(),
    "details": details,
    "uptime": floats,
    "delay": floats,
    "restarts": st.integers(0),
    "stack": texts,
    "child": texts,
    "count": st.integers(0),
    "probe": texts,
    "purpose": texts,
    "result": probe_results,
    "healthy": st.booleans(),
    "because": texts,
    "before": st.none() | texts,
    "stream": texts,
    "line": texts,
    "left_out": st.integers(0),
    "waits_for": st.lists(texts, max_size=3).map(tuple),
}


def event_of(cls: type[events.Event]) -> st.SearchStrategy[events.Event]:
    return st.builds(cls, **{field.name: FIELDS[field.name] for field in attrs.fields(cls)})


def child(
    name: str, supervisor: st.SearchStrategy[SupervisorSnapshot | None]
) -> st.SearchStrategy[ChildSnapshot]:
    return st.builds(
        ChildSnapshot,
        name=st.just(name),
        path=texts,
        kind=texts,
        state=st.sampled_from(State),
        incarnation=st.integers(0),
        restarts=st.integers(0),
        since=floats,
        started_at=st.none() | floats,
        next_attempt_at=st.none() | floats,
        ready=st.none() | st.booleans(),
        last_reason=st.none() | reasons,
        details=details,
        info=details,
        tags=st.just(("a", "b")),
        restart=texts,
        supervisor=supervisor,
        healthy=st.none() | st.booleans(),
        probes=st.tuples(probes),
    )


leaf = child("leaf", st.none())
nested = st.builds(SupervisorSnapshot, texts, texts, st.tuples(leaf))
trees = st.builds(
    TreeSnapshot,
    st.integers(0),
    floats,
    texts,
    st.builds(SupervisorSnapshot, texts, texts, st.tuples(leaf, child("sup", nested))),
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


@given(st.sampled_from(EVENT_CLASSES).flatmap(event_of))
def test_every_event_survives_json(event: events.Event) -> None:
    written = event_to_json(event)
    assert through_json(written) == written
    names = {field.name for field in attrs.fields(type(event))}
    assert written.keys() == {"type", *names}
    assert written["type"] == event.type


@given(trees)
def test_every_snapshot_survives_json(tree: TreeSnapshot) -> None:
    written = snapshot_to_json(tree)
    assert through_json(written) == written
    leaf, supervisor = written["root"]["children"]
    assert leaf["supervisor"] is None
    assert [below["name"] for below in supervisor["supervisor"]["children"]] == ["leaf"]


@given(anything)
def test_plain_is_a_fixed_point(value: Any) -> None:
    assert plain(plain(value)) == plain(value)


def test_the_shape_of_an_end() -> None:
    crash = Crash("ValueError", "no", (Frame("a.py", 3, "run"),))
    event = events.ChildEnded(
        7, 1.5, "a/b", 2, Reason(ReasonKind.CRASHED, "no", 1, crash, ("bye",))
    )
    assert event_to_json(event) == {
        "type": "child.ended",
        "seq": 7,
        "time": 1.5,
        "path": "a/b",
        "incarnation": 2,
        "reason": {
            "kind": "crashed",
            "text": "no",
            "exit_status": 1,
            "crash": {
                "type": "ValueError",
                "message": "no",
                "frames": [{"file": "a.py", "line": 3, "function": "run"}],
                "causes": [],
            },
            "last_output": ["bye"],
        },
    }


def test_the_shape_of_dropped_events() -> None:
    assert event_to_json(events.EventsDropped(3)) == {"type": "events.dropped", "count": 3}


class Secretive:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"\xffok", "\ufffdok"),
        (math.nan, None),
        (-math.inf, None),
        (2**63, 2**63),
        (2**64, "0x10000000000000000"),
        ("\ud800", "\\ud800"),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ({"s": frozenset({"x"})}, {"s": ["x"]}),
        ((1, [2]), [1, [2]]),
        (Path("a/b"), "a/b"),
        (State.RUNNING, "running"),
        (Secretive(), "<Secretive>"),
    ],
)
def test_what_json_lacks_is_replaced(value: Any, written: object) -> None:
    assert plain(value) == written


def test_cycles_depth_and_length_are_bounded() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert plain(loop) == ["..."]
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    assert json.dumps(plain(deep)) == "[" * 8 + '"..."' + "]" * 8
    assert len(plain(list(range(ITEM_LIMIT + 1)))) == ITEM_LIMIT
