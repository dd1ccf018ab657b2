"""The tables of docs/concepts.md are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import attrs

from a2a_sup import ReasonKind, State, events
from a2a_sup.model.states import TRANSITIONS

PAGE = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables between a heading and the next one."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_states_and_transitions() -> None:
    table = {words(name)[0]: set(words(after)) for name, _, after in rows("States")}
    assert table == {state.value: set(map(str, TRANSITIONS[state])) for state in State}


def test_events() -> None:
    table = {(words(kind)[0], words(name)[0]) for kind, name, *_ in rows("Events")[:-7]}
    classes = dict(inspect.getmembers(events, inspect.isclass))
    types = {(vars(each)["type"], name) for name, each in classes.items() if "type" in vars(each)}
    assert table == types - {("event", "Event")}


def test_fields_of_events() -> None:
    common = {field.name for field in attrs.fields(events.Event)}
    for _, name, text in (row for row in rows("Events") if len(row) == 3):
        own = {field.name for field in attrs.fields(getattr(events, words(name)[0]))} - common
        assert own <= set(words(text)), f"{name} also has {own - set(words(text))}"


def test_kinds_of_reasons() -> None:
    assert [words(name)[0] for name, _ in rows("Events")[-7:]] == list(map(str, ReasonKind))
