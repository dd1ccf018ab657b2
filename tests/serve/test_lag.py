"""The lag of the loop is measured, and a loop that is held is told of while it is."""

from __future__ import annotations

import threading
import time

import pytest
import structlog
import trio
import trio.lowlevel

from a2a_sup.serve.lag import LoopLag


async def test_turns_are_measured() -> None:
    with LoopLag() as lag:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        time.sleep(0.05)  # noqa: ASYNC251 - this holds the loop
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    assert lag.turns.count >= 4
    assert lag.turns.sum >= 0.05


async def test_a_loop_with_nothing_to_do_has_no_turns() -> None:
    with LoopLag() as lag:
        await trio.lowlevel.checkpoint()
        before = lag.turns.count
        await trio.sleep(0.05)
        # Its own wake-up, and what the test's clock does.
        assert lag.turns.count - before <= 3
        assert lag.holding() < 0.05


async def test_while_the_loop_is_held_a_thread_says_where() -> None:
    told = threading.Event()
    with structlog.testing.capture_logs() as log, LoopLag(0.02):
        # Let it see the begin of a turn before it is held.
        await trio.lowlevel.checkpoint()

        def hold_the_loop() -> None:
            deadline = time.monotonic() + 20
            while not log and time.monotonic() < deadline:
                told.wait(0.01)

        hold_the_loop()
        held = list(log)
    assert held[0]["event"] == "loop.blocked"
    assert held[0]["log_level"] == "error"
    assert held[0]["seconds"] >= 0
    assert "hold_the_loop" in held[0]["stack"]


async def test_a_hold_is_told_of_once() -> None:
    with structlog.testing.capture_logs() as log, LoopLag(0.02):
        for times in (1, 2):
            await trio.lowlevel.checkpoint()
            deadline = time.monotonic() + 20
            while len(log) < times and time.monotonic() < deadline:
                time.sleep(0.01)  # noqa: ASYNC251 - this holds the loop
            time.sleep(0.1)  # noqa: ASYNC251 - several more looks of the thread
            assert len(log) == times
            with trio.fail_after(20):
                await trio.sleep(0.1)  # it looks at a loop that turns


@pytest.mark.parametrize(("seconds", "blocked"), [(9.9, False), (10.1, True)])
def test_only_a_long_turn_counts_as_blocked(seconds: float, *, blocked: bool) -> None:
    now = 0.0
    lag = LoopLag(10.0, clock=lambda: now)
    lag.after_io_wait(0)
    now = seconds
    assert (lag.held_too_long() is not None) is blocked
    lag.before_io_wait(0)
    assert lag.held_too_long() == (seconds if blocked else None)
    now += 9.9
    assert lag.held_too_long() == (seconds if blocked else None)
    now += 0.2
    assert lag.held_too_long() is None


def test_the_longest_turn_is_that_of_the_last_seconds_and_not_for_ever() -> None:
    now = 100.0
    lag = LoopLag(clock=lambda: now)
    assert lag.longest() == 0
    for turn in (0.5, 0.25, 0.1):
        lag.after_io_wait(0)
        now += turn
        lag.before_io_wait(0)
    assert lag.longest() == 0.5
    now += 5
    lag.after_io_wait(0)
    now += 0.125
    lag.before_io_wait(0)
    assert lag.longest() == 0.5  # of the window before
    now += 5
    assert lag.longest() == 0.125
    now += 5
    assert lag.longest() == 0
