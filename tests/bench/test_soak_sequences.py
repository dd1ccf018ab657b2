"""What a soak finds in a sequence of events or of frames: each false step is told, no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from a2a_sup import ChildSnapshot, Reason, ReasonKind, State, events, open_tree, supervisor
from a2a_sup.model.reasons import NORMAL, SHUTDOWN
from a2a_sup.model.restarts import RestartType
from a2a_sup.serve.changes import TIMELINE_HELD
from a2a_sup.testing import Recorder, run_virtual, scripted
from bench.soak.following import MOVES, NOTES, Follower
from bench.soak.population import FAST
from bench.soak.report import Watched
from bench.soak.watching import Page, Seen, accepted

CRASH = Reason(ReasonKind.CRASHED, "so")
Step = tuple[Any, ...]
"""A class of events, the path, the incarnation, and the fields that only this class has."""


def restart_of(path: str) -> RestartType:
    return RestartType.TRANSIENT if path.endswith("once") else RestartType.PERMANENT


def follower(
    children: Iterable[ChildSnapshot] = (), alive: Iterable[int] = (), seq: int = 0
) -> Follower:
    living = {*alive}
    return Follower(seq, children, restart_of, lambda _, pid: pid in living)


def made(steps: Iterable[Step]) -> list[events.Event]:
    return [kind(seq, 0.0, path, n, *more) for seq, (kind, path, n, *more) in enumerate(steps, 1)]


def problems(*steps: Step, alive: Iterable[int] = ()) -> list[str]:
    it = follower(alive=alive)
    return [problem for event in made(steps) for problem in it.take(event)]


A: tuple[Step, ...] = ((events.ChildAdded, "a", 0),)
UP: tuple[Step, ...] = (*A, (events.ChildStarting, "a", 1), (events.ChildStarted, "a", 1))
CRASHED: tuple[Step, ...] = (*UP, (events.ChildEnded, "a", 1, CRASH))
STOPPING: tuple[Step, ...] = (*UP, (events.ChildStopping, "a", 1))
FAILED_START: tuple[Step, ...] = (*UP[:2], (events.ChildStartFailed, "a", 1, CRASH))
BACKING_OFF = events.ChildBackingOff


def test_a_whole_life_is_right() -> None:
    assert not problems(
        *CRASHED,
        (BACKING_OFF, "a", 1, 1.0, 1),
        (events.ChildStarting, "a", 2),
        (events.ChildReported, "a", 2, {"pid": 7}),
        (events.ChildStarted, "a", 2),
        (events.ChildRecovered, "a", 2, 1.0),
        (events.ChildUpdated, "a", 2),
        (events.ChildStopping, "a", 2),
        (events.ChildStuck, "a", 2, ""),
        (events.ChildStopped, "a", 2, SHUTDOWN),
        (events.ChildRemoved, "a", 2),
        (events.ChildAdded, "a", 0),
        (events.ChildWaiting, "a", 0, ("b",)),
        (events.ChildWaiting, "a", 0, ("c",)),
        (events.ChildStarting, "a", 1),
        (events.ChildIgnored, "a", 1),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        (*A, (events.ChildStarted, "a", 0)),
        (*UP, (events.ChildStarting, "a", 2)),
        (*UP, (events.ChildStopped, "a", 1, SHUTDOWN)),
        (*UP, (events.ChildStuck, "a", 1, "")),
        (*CRASHED, (events.ChildFailed, "a", 1, CRASH), (events.ChildFailed, "a", 1, CRASH)),
        (*UP, (BACKING_OFF, "a", 1, 1.0, 1)),
        (*UP, (events.ChildRemoved, "a", 1)),
        (*UP, (events.ChildWaiting, "a", 1, ())),
        (*CRASHED, (events.ChildReady, "a", 1, True)),
        (*CRASHED, (events.ChildRemoved, "a", 1)),
        (*CRASHED, (events.ChildStopping, "a", 1)),
        (*CRASHED, (events.ChildStarted, "a", 1)),
        (*STOPPING, (events.ChildStarting, "a", 2)),
        (*STOPPING, (events.ChildStopping, "a", 1)),
        (*STOPPING, (events.ChildRecovered, "a", 1, 1.0)),
        (*FAILED_START, (events.ChildStarted, "a", 1)),
        (*UP, (events.ChildStopping, "a", 2)),
        (*CRASHED, (events.ChildStarting, "a", 1)),
        (*CRASHED, (events.ChildStarting, "a", 3)),
        (*UP, (events.ChildAdded, "a", 0)),
        (*A, (events.ChildAdded, "a/b", 0)),
        ((events.ChildAdded, "a", 1),),
        ((events.ChildStarting, "a", 1),),
        ((events.SupervisorStarted, "a", 1),),
        ((events.SupervisorEnded, "", 2, SHUTDOWN),),
        (*A, (events.SupervisorStarted, "a", 0)),
        (*UP, (events.Event, "a", 1)),
        (*A, (events.SupervisorEnded, "", 1, SHUTDOWN)),
    ],
)
def test_a_false_step_is_told(wrong: tuple[Step, ...]) -> None:
    assert problems(*wrong)
    assert not problems(*wrong[:-1])


def test_a_start_that_failed_is_followed_by_a_restart_or_by_none() -> None:
    assert not problems(*FAILED_START, (BACKING_OFF, "a", 1, 1.0, 1))
    assert not problems(*FAILED_START, (events.ChildRemoved, "a", 1))
    # Told apart once, it stays that.
    assert problems(*FAILED_START, (BACKING_OFF, "a", 1, 1.0, 1), (events.ChildRemoved, "a", 1))
    assert not problems(*FAILED_START, (events.ChildFailed, "a", 1, CRASH))
    failed = (events.ChildFailed, "a", 1, CRASH)
    assert problems(*FAILED_START, failed, (BACKING_OFF, "a", 1, 1.0, 1))


def test_who_is_done_when_it_returns_is_not_started_again() -> None:
    once: tuple[Step, ...] = (
        (events.ChildAdded, "once", 0),
        (events.ChildStarting, "once", 1),
        (events.ChildStarted, "once", 1),
    )
    done = (events.ChildEnded, "once", 1, NORMAL)
    assert problems(*once, done, (BACKING_OFF, "once", 1, 1.0, 1))
    assert not problems(*once, done, (events.ChildRemoved, "once", 1))
    assert not problems(
        *once, (events.ChildEnded, "once", 1, CRASH), (BACKING_OFF, "once", 1, 1.0, 1)
    )


def test_two_processes_of_one_child_that_live_at_once_are_told() -> None:
    again: tuple[Step, ...] = (
        (events.ChildAdded, "a", 0),
        (events.ChildStarting, "a", 1),
        (events.ChildReported, "a", 1, {"pid": 7}),
        (events.ChildStarted, "a", 1),
        (events.ChildEnded, "a", 1, CRASH),
        (events.ChildStarting, "a", 2),
        (events.ChildReported, "a", 2, {"pid": 8}),
    )
    assert problems(*again, alive=[7, 8]) == ["a: the processes 7 and 8 live at once"]
    assert not problems(*again, alive=[8])


def test_a_gap_is_told_and_so_is_a_number_that_comes_twice() -> None:
    for second in (1, 3):
        it = follower()
        assert not it.take(events.ChildAdded(1, 0.0, "a", 0))
        event = events.ChildAdded(second, 0.0, "b", 0)
        assert it.take(event) == [f"gap: {event} after number 1"]


BELOW: tuple[Step, ...] = (
    *UP,
    (events.ChildAdded, "a/b", 0),
    (events.ChildStarting, "a/b", 1),
    (events.ChildStarted, "a/b", 1),
)
STOPPED_BELOW: tuple[Step, ...] = (
    *BELOW,
    (events.ChildStopping, "a/b", 1),
    (events.ChildStopped, "a/b", 1, SHUTDOWN),
)
SUPERVISOR_ENDED = (events.SupervisorEnded, "a", 1, SHUTDOWN)


def test_children_are_gone_with_their_supervisor_once_they_are_at_rest() -> None:
    assert problems(*BELOW, SUPERVISOR_ENDED) == ["a/b: not at rest when its supervisor ended"]
    ended = (events.ChildEnded, "a", 1, CRASH)
    assert not problems(*STOPPED_BELOW, SUPERVISOR_ENDED, ended)
    assert problems(*STOPPED_BELOW, ended) == ["a: child.ended, and a/b is still there"]


def test_every_event_of_a_child_is_followed() -> None:
    about_children = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and "child." in kind.type
    }
    special = {events.ChildAdded, events.ChildRemoved, events.ChildEnded, events.ChildWaiting}
    assert about_children == {*MOVES, *NOTES} | special


def test_a_real_tree_is_followed_from_any_moment_to_its_end_without_a_fault() -> None:
    async def main() -> None:
        found: list[str] = []
        a, b, c = scripted("a b c")
        group = supervisor(
            "group", [each.spec(restart=FAST) for each in (a, b)], strategy="one_for_all"
        )
        async with open_tree(supervisor("root", [group, c.spec(restart=FAST)])) as tree:
            snapshot, recorder = tree.snapshot(), Recorder(tree)
            it = follower(snapshot.walk(), seq=snapshot.revision)
            for _ in range(3):
                b.fail_next_start()
                a.crash()
                c.finish()
                await trio.sleep(10)
            await tree.terminate_child("group")
            await tree.restart_child("group")
            await tree.delete_child("c") if c.alive == 0 else await tree.terminate_child("c")
            assert {known.path: known.state for known in tree.snapshot().walk()} == {
                path: next(iter(known.states))
                for path, known in _after(it, recorder, found).children.items()
            }
        _after(it, recorder, found)
        assert it.is_over
        assert not it.children
        assert not found
        assert it.moves[State.RUNNING] > 8

    run_virtual(main)


def _after(it: Follower, recorder: Recorder, found: list[str]) -> Follower:
    found += [problem for event in recorder.take() for problem in it.take(event)]
    return it


# --- frames ------------------------------------------------------------------------------------


def event_frame(first: int, last: int) -> dict[str, Any]:
    numbers = [{"seq": number} for number in range(first, last + 1)]
    return {"type": "tree:event", "data": {"events": numbers}}


def delta(begin: int, end: int, *changes: Any) -> dict[str, Any]:
    return {"type": "tree:delta", "data": {"from": begin, "to": end, "changes": [*changes]}}


def snapshot_frame(revision: int) -> dict[str, Any]:
    root = {"path": "", "strategy": "one_for_one", "children": []}
    return {
        "type": "tree:snapshot",
        "data": {"revision": revision, "tree": {"name": "root", "root": root}},
    }


def seen(*frames: dict[str, Any], dropped: int = 0) -> tuple[list[str], Watched]:
    it = Seen(Watched())
    return [problem for frame in frames for problem in it.take(frame, dropped)], it.counts


def test_events_without_a_gap_are_right_wherever_they_begin() -> None:
    found, counts = seen(event_frame(7, 9), event_frame(10, 10), event_frame(11, 20))
    assert not found
    assert (counts.event_frames, counts.events, counts.excused) == (3, 14, 0)


@pytest.mark.parametrize("first", [8, 9, 11])
def test_a_gap_before_a_frame_and_events_told_twice_are_told(first: int) -> None:
    found, _ = seen(event_frame(7, 9), event_frame(first, 12))
    assert found == [f"a watcher was told event {first} after 9"]


def test_a_gap_is_excused_by_a_full_frame() -> None:
    found, counts = seen(event_frame(7, 9), event_frame(100, 99 + TIMELINE_HELD))
    assert not found
    assert counts.excused == 1
    assert seen(event_frame(7, 9), event_frame(100, 98 + TIMELINE_HELD))[0]


def test_each_frame_that_gave_way_excuses_one_gap() -> None:
    two = (event_frame(1, 2), event_frame(4, 5), event_frame(7, 8))
    assert not seen(*two, dropped=2)[0]
    assert seen(*two, dropped=1)[0] == ["a watcher was told event 7 after 5"]


def test_nothing_excuses_what_was_told_before() -> None:
    assert seen(event_frame(7, 9), event_frame(1, TIMELINE_HELD), dropped=9)[0]


def test_a_gap_within_a_frame_and_an_empty_one_are_told() -> None:
    frame = event_frame(7, 9)
    del frame["data"]["events"][1]
    assert seen(frame)[0] == ["the events of a frame are not in a row: 7 to 9"]
    assert seen(event_frame(2, 1))[0] == ["a frame of events has none"]


def test_a_delta_leads_on_from_what_the_watcher_has() -> None:
    assert not seen(snapshot_frame(5), delta(5, 8), delta(8, 9))[0]
    assert seen(snapshot_frame(5), delta(6, 8))[0]
    assert seen(delta(5, 8))[0]
    assert seen(snapshot_frame(5), delta(5, 4))[0]


def test_a_delta_that_does_not_fit_is_told() -> None:
    change = {"path": "nowhere/child", "child": {"path": "nowhere/child"}}
    [problem] = seen(snapshot_frame(5), delta(5, 8, change))[0]
    assert "does not fit" in problem


def test_an_error_is_told() -> None:
    assert seen({"type": "error", "data": {"message": "no"}})[0]


ACCEPTING = b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
REFUSING = b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(("answer", "is_accepted"), [(ACCEPTING, True), (REFUSING, False)])
def test_a_handshake_is_accepted_by_101_alone(answer: bytes, *, is_accepted: bool) -> None:
    async def main() -> None:
        page, server = trio.testing.memory_stream_pair()
        await server.send_all(answer)
        assert await accepted(page, "localhost") is is_accepted

    run_virtual(main)


def test_no_answer_to_a_handshake_is_told() -> None:
    async def main() -> None:
        page, server = trio.testing.memory_stream_pair()
        await server.aclose()
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await accepted(page, "localhost")

    run_virtual(main)


def test_a_page_reads_frames_and_answers_pings_until_it_is_closed() -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        protocol.receive_data(bytes(await stream.receive_some()))
        await stream.send_all(protocol.send(AcceptConnection()))
        await stream.send_all(protocol.send(TextMessage('{"type": ', message_finished=False)))
        await stream.send_all(protocol.send(TextMessage('"error"}')))
        await stream.send_all(protocol.send(Ping()))
        protocol.receive_data(bytes(await stream.receive_some()))
        heard.extend(protocol.events())
        await stream.send_all(protocol.send(CloseConnection(1000)))

    async def main() -> None:
        page, server = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, server)
            told = [frame async for frame in Page(page).frames("localhost", "/1")]
        assert told == [True, {"type": "error"}]
        assert [type(event) for event in heard] == [Request, Pong]

    heard: list[Event] = []
    run_virtual(main)
