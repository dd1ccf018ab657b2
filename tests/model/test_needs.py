"""Needs of siblings: orders and circles."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import ChildContext, ChildSpec, SpecError, SupervisorSpec
from a2a_sup.model.needs import Need, cycle, family_problems, in_order

names = st.sampled_from("abcdefgh")
families = st.dictionaries(names, st.dictionaries(names, st.just(Need.READY), max_size=3))


async def run(_: ChildContext) -> None: ...


def child(name: str, **after: Need | str) -> ChildSpec:
    return ChildSpec(name, run, after=after)  # type: ignore[arg-type]


@given(families)
def test_an_order_puts_each_after_those_it_needs(family: dict[str, dict[str, Need]]) -> None:
    order = in_order(family)
    assert len(order) == len(set(order))
    for place, name in enumerate(order):
        assert {other for other in family[name] if other in family} <= set(order[:place])
    known = {name: [other for other in after if other in family] for name, after in family.items()}
    assert (len(order) == len(family)) is not bool(cycle(known))


@given(families)
def test_a_circle_is_one(family: dict[str, dict[str, Need]]) -> None:
    known = {name: [other for other in after if other in family] for name, after in family.items()}
    found = cycle(known)
    assert not found or found[0] == found[-1]
    assert all(other in known[name] for name, other in itertools.pairwise(found))


def test_without_needs_the_order_is_that_of_the_file() -> None:
    assert in_order(dict.fromkeys("cab", ())) == ["c", "a", "b"]


def test_the_circle_is_named() -> None:
    family = {"a": {"b": Need.READY}, "b": {"c": Need.STARTED}, "c": {"a": Need.READY}, "d": {}}
    (problem,) = family_problems(family)
    assert problem == "children need each other: a -> b -> c -> a"


@pytest.mark.parametrize(
    ("children", "strategy", "problem"),
    [
        ([child("a", b="ready")], "one_for_one", "no such sibling"),
        ([child("a", a="ready")], "one_for_one", "a -> a"),
        ([child("a"), child("b", a="ready")], "rest_for_one", "after is for one_for_one"),
    ],
)
def test_mistakes_of_a_family(children: list[ChildSpec], strategy: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        SupervisorSpec(strategy, children)  # type: ignore[arg-type]


def test_mistakes_of_one_child() -> None:
    with pytest.raises(SpecError, match="after b"):
        child("a", b="running")
    with pytest.raises(SpecError, match="after is a table"):
        ChildSpec("a", run, after=["b"])  # type: ignore[arg-type]
