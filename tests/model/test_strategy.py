"""Who is touched by a restart, and when a supervisor shuts itself down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.model.strategy import AutoShutdown, Strategy, members, shuts_down

families = st.lists(st.integers(), min_size=1, unique=True).flatmap(
    lambda names: st.tuples(st.just(names), st.sampled_from(names))
)


@given(families, st.sampled_from(Strategy))
def test_the_ended_child_is_a_member_and_members_keep_their_order(
    family: tuple[list[int], int], strategy: Strategy
) -> None:
    names, ended = family
    group = list(members(strategy, names, ended))
    assert ended in group
    assert group == [name for name in names if name in group]


@given(families)
def test_one_for_one_restarts_the_ended_child_alone(family: tuple[list[int], int]) -> None:
    names, ended = family
    assert list(members(Strategy.ONE_FOR_ONE, names, ended)) == [ended]
    assert list(members(Strategy.SIMPLE_ONE_FOR_ONE, names, ended)) == [ended]


@given(families)
def test_one_for_all_restarts_all(family: tuple[list[int], int]) -> None:
    names, ended = family
    assert list(members(Strategy.ONE_FOR_ALL, names, ended)) == names


@given(families)
def test_rest_for_one_spares_exactly_those_before(family: tuple[list[int], int]) -> None:
    names, ended = family
    group = list(members(Strategy.REST_FOR_ONE, names, ended))
    assert group[0] == ended
    assert names[: names.index(ended)] + group == names


def test_only_the_group_strategies_touch_siblings() -> None:
    assert [strategy for strategy in Strategy if strategy.grouped] == [
        Strategy.ONE_FOR_ALL,
        Strategy.REST_FOR_ONE,
    ]


others = st.lists(st.booleans())


@given(st.sampled_from(AutoShutdown), others)
def test_an_insignificant_child_never_ends_its_supervisor(
    policy: AutoShutdown, others: list[bool]
) -> None:
    assert not shuts_down(policy, significant=False, others=others)


@given(st.booleans(), others)
def test_never_is_never(significant: bool, others: list[bool]) -> None:
    assert not shuts_down(AutoShutdown.NEVER, significant=significant, others=others)


@given(others)
def test_any_significant_needs_no_others(others: list[bool]) -> None:
    assert shuts_down(AutoShutdown.ANY_SIGNIFICANT, significant=True, others=others)


@pytest.mark.parametrize(
    ("others", "ends"),
    [([], True), ([False], True), ([True], False), ([False, True], False), ([False] * 3, True)],
)
def test_all_significant_waits_for_those_still_present(*, others: list[bool], ends: bool) -> None:
    assert shuts_down(AutoShutdown.ALL_SIGNIFICANT, significant=True, others=others) is ends
