"""What an operator decided outlives the program that was told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from a2a_sup.app.operator import OperatorStops


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operator.json"


def test_stops_are_kept_until_a_start(file: Path) -> None:
    first = OperatorStops(file)
    first.stopped("a")
    first.stopped("group/b")
    second = OperatorStops(file)
    assert second.is_stopped("a")
    assert second.is_stopped("group/b")
    assert not second.is_stopped("group")
    second.started("a")
    assert not OperatorStops(file).is_stopped("a")


def test_numbers_of_copies_are_kept(file: Path) -> None:
    OperatorStops(file).scaled("web", 4)
    assert OperatorStops(file).copies == {"web": 4}


def test_a_fresh_run_forgets(file: Path) -> None:
    OperatorStops(file).stopped("a")
    assert not OperatorStops(file, fresh=True).is_stopped("a")
    assert not OperatorStops(file).is_stopped("a")


def test_what_is_gone_is_forgotten_with_all_below(file: Path) -> None:
    stops = OperatorStops(file)
    for path in ("a", "ab", "a/b", "c"):
        stops.stopped(path)
    stops.scaled("a/b", 2)
    stops.forget(["a"])
    again = OperatorStops(file)
    assert [path for path in ("a", "ab", "a/b", "c") if again.is_stopped(path)] == ["ab", "c"]
    assert again.copies == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stopped": 3, "copies": {}}', "\0" * 50])
def test_a_damaged_file_counts_as_empty_and_is_replaced(file: Path, content: str) -> None:
    file.write_text(content)
    stops = OperatorStops(file)
    assert not stops.is_stopped("a")
    stops.stopped("a")
    assert json.loads(file.read_text()) == {"stopped": ["a"], "copies": {}}


def test_a_file_that_cannot_be_written_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    stops = OperatorStops(tmp_path / "missing" / "operator.json")
    stops.stopped("a")
    assert stops.is_stopped("a")
