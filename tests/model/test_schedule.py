"""When the times of a schedule are."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.model.schedule import (
    COUNT_LIMIT,
    SET_BACK,
    BadCron,
    Every,
    Schedule,
    cron_times,
    look,
)

BERLIN = ZoneInfo("Europe/Berlin")
EXPRESSIONS = ("* * * * *", "*/10 8-18 * * MON-FRI", "30 2 * * *", "0 3 1 * *", "15 */6 * * SUN")
WALLS = st.floats(0, 4e9)
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Every, st.floats(0.5, 1e6)),
    st.builds(
        cron_times,
        st.sampled_from(EXPRESSIONS),
        st.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kolkata")]),
    ),
)


def wall(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def times(expression: str, since: float, count: int = 3) -> list[str]:
    found = islice(cron_times(expression, BERLIN).after(since), count)
    return [datetime.fromtimestamp(each, BERLIN).isoformat() for each in found]


def test_every_night() -> None:
    assert times("0 3 * * *", wall("2026-06-01 12:00")) == [
        "2026-06-02T03:00:00+02:00",
        "2026-06-03T03:00:00+02:00",
        "2026-06-04T03:00:00+02:00",
    ]


def test_an_hour_that_the_clock_leaps_over_is_made_up_for_at_once() -> None:
    assert times("30 2 * * *", wall("2026-03-28 12:00"), 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


@pytest.mark.parametrize(("since", "fold"), [("2026-10-25 02:10", 0), ("2026-10-24 12:00", 0)])
def test_of_an_hour_that_comes_twice_the_first_one_counts(since: str, fold: int) -> None:
    assert times("30 2 * * *", wall(since, fold=fold), 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(("since", "fold"), [("2026-10-25 02:40", 0), ("2026-10-25 02:10", 1)])
def test_and_what_is_past_does_not_come_again(since: str, fold: int) -> None:
    assert times("30 2 * * *", wall(since, fold=fold), 1) == ["2026-10-26T02:30:00+01:00"]


def test_what_runs_all_day_runs_in_both_of_the_hours_that_are_one() -> None:
    found = list(islice(cron_times("*/30 * * * *", BERLIN).after(wall("2026-10-25 01:45")), 5))
    assert {later - earlier for earlier, later in pairwise(found)} == {1800.0}


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* * * * MOON",
        "0 0 30 2 *",
        "x",
        "1L/2 * * * *",
        "* * * * 1L/2",
        "9" * 5000,
        "@daily",
        "\0 * * * *",
    ],
)
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(BadCron):
        cron_times(expression)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_is_not(expression: str) -> None:
    try:
        found = cron_times(expression)
    except BadCron:
        return
    assert next(found.after(0.0)) > 0


@given(SCHEDULES, WALLS)
def test_the_next_time_is_later_and_nothing_lies_between(schedule: Schedule, since: float) -> None:
    first, second = islice(schedule.after(since), 2)
    assert since < first < second
    if not isinstance(schedule, Every):
        assert next(schedule.after((first + second) / 2)) == second
        assert next(schedule.after(first)) == second


@given(SCHEDULES, WALLS, st.floats(0, 1e5))
def test_a_look_finds_all_that_has_come(schedule: Schedule, past: float, later: float) -> None:
    now = past + later
    seen = look(schedule, past, now)
    assert seen.next > now
    come = [when for when in islice(schedule.after(past), COUNT_LIMIT) if when <= now]
    assert seen.times == pytest.approx(len(come), abs=1 if isinstance(schedule, Every) else 0)
    # Looking again at the same moment finds nothing new.
    assert look(schedule, seen.past, now).times == 0


@given(SCHEDULES, WALLS, st.lists(st.floats(0, 5e4), max_size=5))
def test_no_time_is_lost_or_found_twice_however_often_one_looks(
    schedule: Schedule, past: float, steps: list[float]
) -> None:
    now = start = past
    found = 0
    for step in steps:
        now += step
        seen = look(schedule, past, now)
        found, past = found + seen.times, seen.past
    at_once = look(schedule, start, now).times
    if at_once < COUNT_LIMIT:
        assert found == pytest.approx(at_once, abs=1 if isinstance(schedule, Every) else 0)


@given(st.floats(0.001, SET_BACK - 1))
def test_a_clock_that_is_corrected_repeats_nothing(back: float) -> None:
    three = wall("2026-06-02 03:00")
    seen = look(cron_times("0 3 * * *", BERLIN), three, three - back)
    assert seen.times == 0
    assert seen.next == wall("2026-06-03 03:00")


@pytest.mark.parametrize("schedule", [Every(60.0), cron_times("* * * * *")])
def test_a_clock_that_was_years_ahead_begins_anew(schedule: Schedule) -> None:
    now = wall("2026-06-02 03:00")
    seen = look(schedule, wall("2040-01-01 00:00"), now)
    assert (seen.times, seen.next) == (0, now + 60)


@pytest.mark.parametrize("schedule", [Every(1.0), cron_times("* * * * * *")])
def test_a_clock_that_leaps_by_years_is_looked_at_quickly(schedule: Schedule) -> None:
    seen = look(schedule, 0.0, 1.7e9)
    assert seen.times == COUNT_LIMIT
    assert 1.7e9 < seen.next <= 1.7e9 + 1
