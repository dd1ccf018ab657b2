"""The comparison itself: it must not be blind, and must say well what it saw."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance import ours
from tests.conformance.choices import Choices, shrunk
from tests.conformance.generate import scenario
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.otp import ErlangMissing, Otp
from tests.conformance.scenario import (
    Call,
    End,
    Scenario,
    Step,
    Supervisor,
    Worker,
    from_data,
    to_data,
)
from tests.conformance.terms import Atom, Term, decode, encode
from tests.conformance.traces import first_difference

RESTART = Scenario(Supervisor("", children=(Worker("a"),)), (Step((End("a", "crashed"),)),))


def test_without_erlang_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ErlangMissing, match="install erlang-base"):
        Otp()


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"results": ("started",)}),
        (0, {"alive": ("",)}),
        (1, {"results": ("no_target",)}),
        (1, {"happenings": ()}),
        (2, {"happenings": ()}),
    ],
)
def test_a_change_of_anything_is_a_difference(number: int, change: dict[str, Any]) -> None:
    reports = ours.run(RESTART)
    changed = [*reports]
    changed[number] = attrs.evolve(reports[number], **change)
    difference = first_difference(RESTART, changed, reports)
    assert difference is not None
    assert difference.step == number - 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=range(len(MUTANTS)))
def test_a_mutant_changes_what_is_there(mutant: Mutant) -> None:
    assert mutant.module().exists()
    assert mutant.before != mutant.after


def test_another_order_is_a_difference() -> None:
    reports = ours.run(RESTART)
    happenings = reports[1].happenings
    swapped = attrs.evolve(reports[1], happenings=happenings[::-1])
    difference = first_difference(RESTART, [reports[0], swapped, reports[2]], reports)
    assert difference is not None
    assert "!" in str(difference)


def test_a_child_shown_as_alive_that_never_died_is_a_difference() -> None:
    steps = (Step((Call("", "which_children"),)),)
    lives = Scenario(Supervisor("", children=(Worker("a"),)), steps)
    ignores = Scenario(Supervisor("", children=(Worker("a", starts=("ignore",)),)), steps)
    boot, listed, stopped = ours.run(lives)
    other = attrs.evolve(listed, results=ours.run(ignores)[1].results)
    assert first_difference(lives, [boot, other, stopped], [boot, listed, stopped]) is not None


@pytest.mark.parametrize("number", range(50))
def test_a_scenario_survives_json(number: int) -> None:
    made = scenario(Choices.seeded(("json", number)))
    assert from_data(json.loads(json.dumps(to_data(made)))) == made


def test_a_failing_scenario_shrinks_to_what_matters() -> None:
    def fails(choices: Choices) -> bool:
        steps = scenario(choices).steps
        return any(isinstance(action, End) for step in steps for action in step.actions)

    start = next(
        choices for number in range(100) if fails(choices := Choices.seeded(("shrink", number)))
    )
    smallest = scenario(Choices.replayed(shrunk(start.made, fails)))
    assert len(smallest.root.children) == 1
    assert len(smallest.steps) == 1
    assert len(smallest.steps[0].actions) == 1


terms: st.SearchStrategy[Term] = st.recursive(
    st.integers(-(2**31), 2**31 - 1) | st.text() | st.text(max_size=60).map(Atom),
    lambda inner: st.lists(inner) | st.lists(inner, max_size=255).map(tuple),
)


@given(terms)
def test_terms_survive_their_encoding(term: Term) -> None:
    assert decode(encode(term)) == term


@pytest.mark.parametrize(
    ("data", "term"),
    [
        (b"\x83\x6b\x00\x03\x01\x00\x02", [1, 0, 2]),  # [1, 0, 2], as Erlang writes it
        (b"\x83\x64\x00\x02ok", Atom("ok")),
        (b"\x83\x77\x02ok", Atom("ok")),
    ],
)
def test_terms_are_read_as_erlang_writes_them(data: bytes, term: Term) -> None:
    assert decode(data) == term


def test_what_is_not_a_term_is_refused() -> None:
    with pytest.raises(ValueError, match="not a term"):
        decode(b"\x00")
    with pytest.raises(ValueError, match="unexpected tag"):
        decode(b"\x83\x00")
