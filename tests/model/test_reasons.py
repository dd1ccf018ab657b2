"""Why a child ended, as data: bounded, never raising, keeping nothing alive."""

from __future__ import annotations

import gc
import time
import weakref

import pytest

from a2a_sup.errors import ChildExit, GaveUp, IgnoreStart, ShutdownExit, StartFailed
from a2a_sup.model.reasons import (
    CAUSE_LIMIT,
    FRAME_LIMIT,
    MESSAGE_LIMIT,
    Crash,
    Reason,
    ReasonKind,
    crash_of,
    message_of,
    reason_of,
)
from a2a_sup.testing import Scripted


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


class NotText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - the mistake that is tested


class Exploding(ShutdownExit):
    kind = "exploding"


def caught(error: Exception) -> Exception:
    """Return ``error`` with a traceback, as a crashed child's has."""
    try:
        raise error  # noqa: TRY301 - for its traceback
    except Exception as exc:  # noqa: BLE001 - any
        return exc


def nodes(crash: Crash) -> int:
    return 1 + sum(map(nodes, crash.causes))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), ReasonKind.CRASHED),
        (ShutdownExit("x"), ReasonKind.SHUTDOWN),
        (GaveUp("a", "a/b", "x"), ReasonKind.SHUTDOWN),
        (StartFailed("a", "x"), ReasonKind.START_FAILED),
        (IgnoreStart("x"), ReasonKind.CRASHED),
        (ChildExit("x"), ReasonKind.CRASHED),
        (ExceptionGroup("x", [ShutdownExit()]), ReasonKind.CRASHED),
    ],
)
def test_the_kind_of_an_end(error: Exception, kind: ReasonKind) -> None:
    reason = reason_of(caught(error))
    assert reason.kind is kind
    assert reason.benign is (kind is ReasonKind.SHUTDOWN)
    assert "x" in reason.text


def test_an_exit_of_an_unknown_kind_is_a_crash() -> None:
    reason = reason_of(caught(Exploding("boom")))
    assert (reason.kind, reason.text) == (ReasonKind.CRASHED, "Exploding: boom")
    assert reason.crash is not None


def test_fifty_megabytes_of_message_are_cut_at_once() -> None:
    error = caught(ValueError("x" * 50_000_000))
    begin = time.perf_counter()
    reason = reason_of(error)
    assert time.perf_counter() - begin < 0.05
    assert len(reason.text) < MESSAGE_LIMIT + 50
    assert reason.crash is not None
    assert reason.crash.message.endswith("... (50000000 characters)")
    assert len(reason.trace) < 2 * MESSAGE_LIMIT


@pytest.mark.parametrize("error", [Unprintable(), NotText()])
def test_an_error_that_cannot_be_printed_is_named_by_its_type(error: Exception) -> None:
    reason = reason_of(caught(error))
    assert reason.kind is ReasonKind.CRASHED
    assert reason.text.startswith(f"{type(error).__name__}: <its message could not be rendered")
    assert "could not be rendered" in reason.trace


def test_an_unprintable_exit_keeps_its_kind() -> None:
    assert reason_of(caught(ShutdownExit(Unprintable()))).kind is ReasonKind.SHUTDOWN
    assert "RuntimeError" in message_of(ShutdownExit(Unprintable()))


@pytest.mark.parametrize("error", [ValueError("one\ntwo"), ShutdownExit("one\ntwo")])
def test_the_text_is_one_line(error: Exception) -> None:
    reason = reason_of(caught(error))
    assert reason.text.endswith("one")
    assert str(reason) == f"{reason.kind}: {reason.text}"


def test_a_reason_without_text_is_its_kind() -> None:
    assert str(Reason(ReasonKind.NORMAL)) == "normal"
    assert Reason(ReasonKind.NORMAL).trace == ""


def fail() -> None:
    raise KeyError("lost")


def test_the_trace_says_where_and_why() -> None:
    try:
        try:
            fail()
        except KeyError as exc:
            raise ValueError("found nothing") from exc
    except ValueError as exc:
        reason = reason_of(exc)
    lines = reason.trace.splitlines()
    assert reason.text == "ValueError: found nothing"
    assert 'raise ValueError("found nothing") from exc' in reason.trace
    assert lines.index("ValueError: found nothing") < lines.index("  from")
    assert "KeyError: 'lost'" in lines[-1]
    assert "in fail" in reason.trace
    assert __file__ in reason.trace


def test_a_context_is_a_cause_unless_suppressed() -> None:
    def raised(*, hide: bool) -> Crash:
        try:
            try:
                fail()
            except KeyError:
                if hide:
                    raise ValueError from None
                raise ValueError  # noqa: B904 - the context is what is tested
        except ValueError as exc:
            crash = crash_of(exc)
        return crash

    assert [cause.type for cause in raised(hide=False).causes] == ["KeyError"]
    assert raised(hide=True).causes == ()


def test_members_of_a_group_are_its_causes() -> None:
    group = caught(ExceptionGroup("both", [ValueError("a"), TypeError("b")]))
    crash = crash_of(group)
    assert crash.summary == "ExceptionGroup: both (2 sub-exceptions)"
    assert [cause.summary for cause in crash.causes] == ["ValueError: a", "TypeError: b"]


def test_groups_within_groups_and_wide_groups_are_bounded() -> None:
    error: Exception = ValueError("leaf")
    for _ in range(20):
        error = ExceptionGroup("g", [error] * 50)
    assert nodes(crash_of(error)) <= (CAUSE_LIMIT + 1) ** (CAUSE_LIMIT + 1)


def test_causes_that_lead_in_a_circle_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert nodes(crash_of(one)) == CAUSE_LIMIT + 1


def test_the_innermost_frames_are_kept() -> None:
    def dig(depth: int) -> None:
        if not depth:
            fail()
        dig(depth - 1)

    try:
        dig(100)
    except KeyError as exc:
        frames = crash_of(exc).frames
    assert len(frames) == FRAME_LIMIT
    assert frames[-1].function == "fail"


def test_a_reason_keeps_no_frame_and_no_exception_alive() -> None:
    class Big:
        """Stands for what a crashed child held."""

    held: list[weakref.ref[object]] = []

    def crash() -> None:
        big = Big()
        held.append(weakref.ref(big))
        raise Scripted(big)

    try:
        crash()
    except Scripted as exc:
        held.append(weakref.ref(exc))
        reason = reason_of(exc)
    gc.collect()
    assert reason.crash is not None
    assert [reference() for reference in held] == [None, None]
