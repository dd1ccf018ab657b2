"""When a restart comes and when there are too many: the numbers, without a tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.errors import SpecError
from a2a_sup.model.reasons import Reason, ReasonKind
from a2a_sup.model.restarts import NO_BACKOFF, OTP, Backoff, Restart, RestartType, Window

whole_seconds = st.integers(0, 100)


def test_the_default_delays_are_1_2_4_and_then_4() -> None:
    assert [Backoff().delay(earlier) for earlier in range(6)] == [1, 2, 4, 4, 4, 4]


def test_without_delays_there_is_no_waiting() -> None:
    assert [NO_BACKOFF.delay(earlier) for earlier in (0, 1, 100)] == [0, 0, 0]


def test_exponential_delays_grow_to_the_cap_and_stay_there() -> None:
    backoff = Backoff.exponential(0.5, factor=3, cap=10)
    assert backoff.delays == (0.5, 1.5, 4.5, 10)
    assert backoff.delay(50) == 10


def test_exponential_with_a_cap_equal_to_the_first_delay_is_constant() -> None:
    assert Backoff.exponential(2, cap=2).delays == (2,)


@given(st.floats(0.001, 1000), st.floats(1.01, 10), st.floats(1, 1000), st.integers(0, 10_000))
def test_exponential_delays_never_shrink_and_never_pass_the_cap(
    first: float, factor: float, above: float, earlier: int
) -> None:
    backoff = Backoff.exponential(first, factor=factor, cap=first * above)
    assert first <= backoff.delay(earlier) <= backoff.delay(earlier + 1) <= first * above


@pytest.mark.parametrize(
    "mistake",
    [
        {"first": 0},
        {"first": -1},
        {"factor": 1},
        {"factor": 0.5},
        {"first": 10, "cap": 5},
        {"cap": float("inf")},
        {"cap": float("nan")},
    ],
)
def test_exponential_refuses_delays_that_do_not_grow_to_a_cap(mistake: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="exponential needs 0 < first <= cap and factor > 1"):
        Backoff.exponential(**mistake)


@given(st.floats(0, 1), st.floats(0, 1))
def test_jitter_adds_at_most_its_share(jitter: float, chance: float) -> None:
    delay = Backoff((8.0,), jitter).delay(0, chance)
    assert 8 <= delay <= 8 * (1 + jitter)
    assert delay == pytest.approx(8 + 8 * jitter * chance)


def test_jitter_is_random() -> None:
    backoff = Backoff((8.0,), 0.5)
    delays = {backoff.delay(0) for _ in range(50)}
    assert len(delays) > 40
    assert all(8 <= delay <= 12 for delay in delays)


@pytest.mark.parametrize("delay", [-1, float("inf"), float("nan"), "1", None, True])
def test_a_delay_is_a_finite_number_of_seconds(delay: float) -> None:
    with pytest.raises(SpecError, match="a delay is a number of seconds"):
        Backoff((1, delay))


def test_all_mistakes_of_a_backoff_are_named() -> None:
    with pytest.raises(SpecError) as raised:
        Backoff((-1, 2, float("nan")), jitter=1.5)
    assert raised.value.problems == (
        "backoff: a delay is a number of seconds >= 0, not -1",
        "backoff: a delay is a number of seconds >= 0, not nan",
        "backoff: jitter is a share between 0 and 1, not 1.5",
    )


# --- the window ----------------------------------------------------------------------------------


def test_a_restart_as_old_as_the_period_still_counts() -> None:
    window = Window([0])
    assert window.count(30, 30) == 1
    assert window.count(30.001, 30) == 0


def test_a_forgotten_restart_does_not_come_back() -> None:
    window = Window([0])
    window.count(31, 30)
    assert window.count(31, 1000) == 0


@given(st.lists(whole_seconds), whole_seconds, st.integers(1, 100))
def test_the_window_holds_exactly_the_restarts_not_older_than_the_period(
    times: list[int], later: int, period: int
) -> None:
    times = sorted(times)
    now = (times[-1] if times else 0) + later
    assert Window(times).count(now, period) == sum(now - time <= period for time in times)


@given(st.lists(st.integers(0, 20), max_size=50), st.integers(1, 30))
def test_counting_as_time_goes_by_equals_counting_at_the_end(gaps: list[int], period: int) -> None:
    window, times, now = Window(), list[int](), 0
    for gap in gaps:
        now += gap
        assert window.count(now, period) == sum(now - time <= period for time in times)
        window.add(now)
        times.append(now)


# --- restart types and policies ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ReasonKind)
def test_which_ends_ask_for_a_restart(kind: ReasonKind) -> None:
    benign = kind in (ReasonKind.NORMAL, ReasonKind.SHUTDOWN)
    reason = Reason(kind)
    assert RestartType.PERMANENT.wants_restart(reason)
    assert RestartType.TRANSIENT.wants_restart(reason) is not benign
    assert not RestartType.TEMPORARY.wants_restart(reason)


def test_the_default_policy_is_3_restarts_in_30_seconds() -> None:
    restart = Restart()
    assert (restart.type, restart.intensity, restart.period) == (RestartType.PERMANENT, 3, 30)
    assert restart.when_exhausted == "escalate"


def test_the_policy_named_otp_neither_waits_nor_counts() -> None:
    assert OTP.backoff.delay(7) == 0
    assert OTP.intensity is None


def test_all_mistakes_of_a_policy_are_named() -> None:
    with pytest.raises(SpecError) as raised:
        Restart(
            "permanet",  # type: ignore[arg-type]
            backoff=3,  # type: ignore[arg-type]
            intensity=-1,
            period=0,
            when_exhausted="explode",  # type: ignore[arg-type]
            min_uptime=-0.5,
        )
    assert raised.value.problems == (
        "restart is one of permanent, transient, temporary, not 'permanet'; "
        "did you mean 'permanent'?",
        "restart: backoff is a Backoff, not 3",
        "restart: intensity is a whole number >= 0 or None, not -1",
        "restart: period is a number of seconds > 0, not 0",
        "restart: when_exhausted is 'escalate' or 'isolate', not 'explode'",
        "restart: min_uptime is seconds >= 0, not -0.5",
    )


@pytest.mark.parametrize("intensity", [-1, 1.5, "3", True])
def test_an_intensity_is_a_whole_number(intensity: int) -> None:
    with pytest.raises(SpecError, match="intensity is a whole number"):
        Restart(intensity=intensity)


@pytest.mark.parametrize("period", [0, -1, float("inf"), float("nan"), "30", None])
def test_a_period_is_a_finite_number_of_seconds(period: float) -> None:
    with pytest.raises(SpecError, match="period is a number of seconds"):
        Restart(period=period)
