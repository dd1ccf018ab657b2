"""What a run of the benchmark makes of the numbers: ratios, aims, growth, who is ahead and why."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import (
    EXPONENT,
    Aim,
    Contender,
    Figure,
    Kind,
    Limit,
    Measure,
    NotMeasured,
    Table,
    Take,
    exponent,
    taken,
)


def takes(cost: float, power: float = 0.0) -> Take:
    return lambda size: {"ms": cost * size**power}


def fails(message: str) -> Take:
    def take(_: int) -> Mapping[str, float]:
        raise NotMeasured(message)

    return take


def measure(
    *contenders: tuple[str, Kind, Take],
    sizes: tuple[int, ...] = (10,),
    figure: Figure | None = None,
) -> Measure:
    return Measure(
        "work",
        "Work.",
        (figure or Figure("ms", "work of {size}", "ms"),),
        tuple(Contender(*each) for each in contenders),
        sizes,
        repeats=2,
    )


def only(tables: list[Table]) -> Table:
    [table] = tables
    return table


def test_a_ratio_above_one_means_that_we_are_ahead() -> None:
    table = only(taken(measure(("a", Kind.OURS, takes(2)), ("b", Kind.PEER, takes(6)))))
    assert [row.ratio for row in table.rows] == [1, 3]
    assert not table.behind


def test_a_peer_that_fails_is_named_with_its_reason_and_the_others_go_on() -> None:
    found = only(
        taken(
            measure(
                ("a", Kind.OURS, takes(2)),
                ("b", Kind.PEER, fails("not here:\n   get it")),
                ("c", Kind.PEER, takes(6)),
            )
        )
    )
    assert [row.failed for row in found.rows] == ["", "not here: get it", ""]
    assert found.rows[2].ratio == 3


def test_one_that_failed_once_is_not_tried_again() -> None:
    calls = []

    def take(size: int) -> Mapping[str, float]:
        calls.append(size)
        raise NotMeasured("no")

    taken(measure(("a", Kind.OURS, takes(2)), ("b", Kind.PEER, take)))
    assert calls == [10]


def test_repeats_are_interleaved() -> None:
    order: list[str] = []

    def take(name: str) -> Take:
        def work(_: int) -> Mapping[str, float]:
            order.append(name)
            return {"ms": 1.0}

        return work

    taken(measure(("a", Kind.OURS, take("a")), ("b", Kind.PEER, take("b"))))
    assert order == ["a", "b", "a", "b"]


@pytest.mark.parametrize(("theirs", "is_behind"), [(0.5, True), (0.96, False), (1.5, False)])
def test_where_a_peer_takes_less_we_are_behind(theirs: float, *, is_behind: bool) -> None:
    figure = Figure("ms", "work", "ms", limits={"b": Limit("it is made of stone", 3)})
    table = only(
        taken(measure(("a", Kind.OURS, takes(1)), ("b", Kind.PEER, takes(theirs)), figure=figure))
    )
    assert table.behind == ({"b": "it is made of stone"} if is_behind else {})


def test_a_floor_below_us_is_no_peer_ahead_of_us() -> None:
    table = only(taken(measure(("a", Kind.OURS, takes(1)), ("b", Kind.FLOOR, takes(0.5)))))
    assert not table.behind


def test_what_nobody_explained_has_an_empty_reason() -> None:
    table = only(taken(measure(("a", Kind.OURS, takes(1)), ("b", Kind.PEER, takes(0.5)))))
    assert table.behind == {"b": ""}


@pytest.mark.parametrize(
    ("aim", "is_missed"),
    [
        (Aim(2), False),
        (Aim(1.9), True),
        (Aim(1.9, at=11), False),
        (Aim(0.5, "b"), False),
        (Aim(0.4, "b"), True),
    ],
)
def test_an_aim_is_missed_by_more_than_it_allows(aim: Aim, *, is_missed: bool) -> None:
    figure = Figure("ms", "work", "ms", (aim,))
    table = only(
        taken(
            measure(
                ("a", Kind.OURS, takes(2)),
                ("b", Kind.PEER, takes(4)),
                ("nobody was measured", Kind.PEER, fails("away")),
                figure=figure,
            )
        )
    )
    assert table.missed == ((str(aim),) if is_missed else ())
    assert not table.unseen


def test_an_aim_that_nobody_could_look_at_is_neither_met_nor_missed() -> None:
    figure = Figure("ms", "work", "ms", (Aim(0.1, "b"), Aim(5)))
    both = measure(("a", Kind.OURS, takes(2)), ("b", Kind.PEER, fails("away")), figure=figure)
    table = only(taken(both))
    assert (table.missed, table.unseen) == ((), ("at most 0.1 x b",))


def test_an_explanation_holds_up_to_a_factor() -> None:
    figure = Figure("ms", "work", "ms", limits={"b": Limit("it is made of stone", 3)})
    far = measure(("a", Kind.OURS, takes(1)), ("b", Kind.PEER, takes(0.3)), figure=figure)
    assert only(taken(far)).behind == {"b": ""}


def test_one_that_takes_nothing_is_explained_by_what_has_no_bound() -> None:
    figure = Figure("ms", "work", "ms", limits={"b": Limit("it sleeps", math.inf)})
    none = measure(("a", Kind.OURS, takes(1)), ("b", Kind.PEER, takes(0)), figure=figure)
    assert only(taken(none)).behind == {"b": "it sleeps"}


def test_whatever_a_contender_fails_with_the_run_goes_on() -> None:
    def take(_: int) -> Mapping[str, float]:
        raise KeyError("nothing")

    table = only(taken(measure(("a", Kind.OURS, takes(2)), ("b", Kind.PEER, take))))
    assert table.rows[1].failed == "KeyError: 'nothing'"


def test_nothing_has_no_growth_and_ends_no_run() -> None:
    both = measure(("a", Kind.OURS, takes(0)), ("b", Kind.PEER, takes(-1)), sizes=(1, 10, 100))
    growth = taken(both)[-1]
    assert [row.failed for row in growth.rows] == ["nothing at some size"] * 2
    assert growth.unseen


def test_what_was_not_done_in_time_is_said_and_what_means_nothing_is_left_out() -> None:
    table = only(
        taken(
            measure(
                ("a", Kind.OURS, takes(2)),
                ("late", Kind.PEER, lambda _: {"ms": math.nan}),
                ("other", Kind.PEER, lambda _: {"bytes": 1.0}),
            )
        )
    )
    assert [(row.who, row.failed) for row in table.rows] == [
        ("a", ""),
        ("late", "not done in time"),
    ]


def test_growth_is_told_where_there_are_sizes_to_see_it() -> None:
    *by_size, growth = taken(
        measure(
            ("a", Kind.OURS, takes(1, 2)), ("b", Kind.PEER, takes(1, 1)), sizes=(10, 100, 1_000)
        )
    )
    assert [table.what for table in by_size] == ["work of 10", "work of 100", "work of 1,000"]
    assert growth.unit == EXPONENT
    assert [round(row.median, 6) for row in growth.rows] == [2, 1]
    assert growth.missed == ("at most 1.1",)


@given(
    st.floats(1e-6, 1e6),
    st.floats(-2, 2),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True),
)
def test_the_exponent_of_a_power_is_found(cost: float, power: float, sizes: list[int]) -> None:
    costs = [cost * size**power for size in sizes]
    assert exponent(sizes, costs) == pytest.approx(power, abs=1e-6)
