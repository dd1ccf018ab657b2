"""The program's own log, and what it says of events."""

from __future__ import annotations

import io
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import ProbeResult, Reason, ReasonKind, events
from a2a_sup.app.logs import configure_logs, logger
from a2a_sup.app.narration import Narrator, level_of
from a2a_sup.app.narration import fields_of as fields

CRASHED = Reason(ReasonKind.CRASHED, "exited with status 3", 3, last_output=("first", "last"))


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> object:
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


def told(*happened: events.Event, level: str = "debug") -> list[dict[str, object]]:
    out = io.StringIO()
    configure_logs("json", level, out)
    narrator = Narrator({"file": "tree.toml"})
    for event in happened:
        narrator.tell(event)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_start_is_told_with_the_pid_that_the_child_reported() -> None:
    reported = events.ChildReported(1, 0.0, "web", 1, {"pid": 42})
    started = events.ChildStarted(2, 0.0, "web", 1)
    (_, line) = told(reported, started)
    assert (line["event"], line["child"], line["pid"]) == ("child.started", "web", 42)


def test_a_pid_is_told_once() -> None:
    reported = events.ChildReported(1, 0.0, "web", 1, {"pid": 42})
    lines = told(reported, *(events.ChildStarted(n, 0.0, "web", n) for n in (2, 3)))
    assert "pid" not in lines[-1]


def test_a_crash_is_told_with_its_reason_and_the_last_line_printed() -> None:
    (line,) = told(events.ChildEnded(1, 0.0, "web", 1, CRASHED), level="warning")
    assert line["reason"] == "crashed: exited with status 3"
    assert line["last_line"] == "last"


def test_the_tree_is_told_to_be_up_with_where_it_is() -> None:
    (line,) = told(events.SupervisorStarted(1, 0.0, "", 1), level="info")
    assert (line["event"], line["file"]) == ("tree.started", "tree.toml")


def test_what_is_below_the_level_is_not_told() -> None:
    started = events.ChildStarted(2, 0.0, "web", 1)
    assert told(started, level="warning") == []


PASSED = ProbeResult(0.0, passed=True, duration=0.1, message="")
MISSED = ProbeResult(0.0, passed=False, duration=0.1, message="no answer within 5 s")


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (events.ChildEnded(1, 0.0, "a", 1, CRASHED), "warning"),
        (events.ChildEnded(1, 0.0, "a", 1, Reason(ReasonKind.NORMAL)), "info"),
        (events.ChildFailed(1, 0.0, "a", 1, CRASHED), "error"),
        (events.ChildStuck(1, 0.0, "a", 1, "stack"), "error"),
        (events.ChildBackingOff(1, 0.0, "a", 1, 1.0, 1), "warning"),
        (events.ChildStarting(1, 0.0, "a", 1), "debug"),
        (events.ChildWaiting(1, 0.0, "a", 0, ("b started",)), "debug"),
        (events.EventsDropped(7), "warning"),
        (events.ChildProbed(1, 0.0, "a", 1, "p", "liveness", PASSED), "debug"),
        (events.ChildProbed(1, 0.0, "a", 1, "p", "liveness", MISSED), "info"),
        (events.ChildHealth(1, 0.0, "a", 1, healthy=True, because="p"), "debug"),
        (events.ChildHealth(1, 0.0, "a", 1, healthy=False, because="p"), "warning"),
        (events.ChildReported(1, 0.0, "a", 1, {"pid": 3}), "debug"),
        (events.ChildReported(1, 0.0, "a", 1, {"log_error": "full"}), "warning"),
        (events.ChildReported(1, 0.0, "a", 1, {"junk_lines": 1}), "warning"),
    ],
)
def test_levels(event: events.Event, level: str) -> None:
    assert level_of(event) == level


def test_events_that_were_lost_are_told_by_number() -> None:
    assert fields(events.EventsDropped(7)) == {"count": 7}


@given(text=st.text(), name=st.text(min_size=1))
def test_whatever_a_child_prints_a_json_line_stays_one_line(text: str, name: str) -> None:
    reason = Reason(ReasonKind.CRASHED, text, last_output=(text,))
    (line,) = told(events.ChildEnded(1, 0.0, name, 1, reason))
    assert line["child"] == name


def test_console_lines_do_not_obey_control_characters_of_a_child() -> None:
    out = io.StringIO()
    configure_logs("console", "debug", out)
    reason = Reason(ReasonKind.CRASHED, "x", last_output=("\x1b[2J\nforged line",))
    Narrator({}).tell(events.ChildEnded(1, 0.0, "web", 1, reason))
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1


def test_an_exception_in_the_log_is_text() -> None:
    out = io.StringIO()
    configure_logs("json", "info", out)
    logger().error("failed", exc_info=trio.TooSlowError("too slow"))
    assert "TooSlowError: too slow" in json.loads(out.getvalue())["exception"]


def test_warnings_of_lower_layers_have_the_same_form() -> None:
    out = io.StringIO()
    configure_logs("json", "info", out)
    logging.getLogger("a2a_sup.children").warning("killed orphan %d", 42)
    logging.getLogger("a2a_sup.children").info("not worth it")
    (line,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["event"], line["level"]) == ("killed orphan 42", "warning")
    assert line["logger"] == "a2a_sup.children"


class Asked(io.StringIO):
    """A stream that lets others go first when it is asked what it is."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self._pool = pool
        self.lines: list[Future[None]] = []

    def isatty(self) -> bool:
        self.lines.append(self._pool.submit(lambda: logger().info("of another thread")))
        with suppress(TimeoutError):
            self.lines[0].result(timeout=0.2)
        return False


def test_lines_of_other_threads_wait_until_the_log_is_what_it_is_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        out = Asked(pool)
        configure_logs("console", "info", out)
        logger().info("of this thread")
        out.lines[0].result(timeout=20)
    assert capsys.readouterr().out == ""
    assert {"of this thread" in out.getvalue(), "of another thread" in out.getvalue()} == {True}
