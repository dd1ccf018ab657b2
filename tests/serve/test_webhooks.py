"""Webhooks against a real server that is slow, dead, wrong, and then well."""

from __future__ import annotations

import hmac
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from a2a_sup import Backoff, Restart, supervisor, task
from a2a_sup.serve import webhooks
from a2a_sup.serve.webhooks import Receivers, Webhook, signature
from a2a_sup.tree.handle import TreeHandle, open_tree

Json = dict[str, Any]


class Receiver:
    """A server that answers as told; what is told last holds for all later requests."""

    def __init__(self, *answers: int | str) -> None:
        self.answers = list(answers)
        self.url = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.arrived = trio.Event()
        self.released = trio.Event()

    @property
    def bodies(self) -> list[Json]:
        return [json.loads(body) for _, body in self.requests]

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/hook?key=hunter2"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, self._answer, [listener]))
            task_status.started()

    async def _answer(self, stream: trio.SocketStream) -> None:
        try:
            await self._answer_one(stream)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer_one(self, stream: trio.SocketStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            received = await stream.receive_some()
            if not received:
                return
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:]
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in lines)
        }
        while len(body) < int(headers["content-length"]):
            body += await stream.receive_some()
        self.requests.append((headers, body))
        self.arrived.set()
        self.arrived = trio.Event()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "mute":
            await trio.sleep_forever()
        if answer == "hold":
            await self.released.wait()
        if answer in ("hold", "hang up"):
            return
        place = f"Location: {self.url}\r\n" if answer in (301, 307) else ""
        reply = f"HTTP/1.1 {answer} X\r\n{place}Content-Length: 0\r\nConnection: close\r\n\r\n"
        await stream.send_all(reply.encode())

    async def until(self, count: int) -> None:
        with trio.fail_after(20):
            while len(self.requests) < count:
                await self.arrived.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(webhooks, "LONGEST_DELAY", 0.05)


@asynccontextmanager
async def posting(tree: TreeHandle, hooks: Sequence[Webhook]) -> AsyncIterator[Receivers]:
    """Run the service beside a tree, as the program does."""
    receivers = Receivers(hooks, tree)
    async with open_tree(supervisor("services", [task("webhooks", receivers.serve)])):
        yield receivers


def failing_tree() -> TreeHandle:
    async def once(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        raise ValueError("broken")

    policy = Restart(intensity=0, when_exhausted="isolate")
    return TreeHandle(supervisor("shop", [task("web", once, restart=policy)]))


async def run_to_failure(tree: TreeHandle) -> None:
    """Run a tree until its child has failed, and end it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        with trio.fail_after(10):
            await tree.wait_until(
                lambda now: any(str(child.state) == "failed" for child in now.walk())
            )
        tree.stop()


@pytest.fixture
def importers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that import httpx, which is new to the program."""
    found: list[threading.Thread] = []

    class Witness:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "httpx":
                found.append(threading.current_thread())

    monkeypatch.delitem(sys.modules, "httpx", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Witness, *sys.meta_path])
    return found


async def test_what_posts_is_imported_beside_the_loop(
    nursery: trio.Nursery, importers: list[threading.Thread]
) -> None:
    receiver = Receiver(204)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url)]):
        await run_to_failure(tree)
        await receiver.until(1)
    assert len(importers) == 1
    assert importers[0] is not threading.current_thread()


# --- what is sent ---------------------------------------------------------------------------------


async def test_a_failed_child_is_posted_and_signed(nursery: trio.Nursery) -> None:
    receiver = Receiver(204)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url, secret="k3y")]):
        await run_to_failure(tree)
        await receiver.until(1)
    ((headers, body),) = receiver.requests
    content = json.loads(body)
    assert content["tree"] == "shop"
    assert content["dropped"] == 0
    assert content["event"]["type"] == headers["x-a2a-sup-event"] == "child.failed"
    assert content["event"]["path"] == "web"
    assert content["event"]["wall_time"] > 1.6e9
    assert content["delivery"] == headers["x-a2a-sup-delivery"]
    expected = signature("k3y", headers["x-a2a-sup-timestamp"], body)
    assert headers["x-a2a-sup-signature"] == expected
    assert headers["content-type"] == "application/json"
    nursery.cancel_scope.cancel()


async def test_events_are_chosen_by_patterns_and_come_in_order(nursery: trio.Nursery) -> None:
    receiver = Receiver(200)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url, ("child.[!a]*ed", "supervisor.ended"))]):
        await run_to_failure(tree)
        # The tree has ended: the service ends when all is delivered.
        await receiver.until(4)
    types = [body["event"]["type"] for body in receiver.bodies]
    assert types == ["child.started", "child.ended", "child.failed", "supervisor.ended"]
    assert "x-a2a-sup-signature" not in receiver.requests[0][0]
    nursery.cancel_scope.cancel()


async def test_the_last_events_are_delivered_at_the_end_of_the_program(
    nursery: trio.Nursery,
) -> None:
    receiver = Receiver(503, 200)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url, ("supervisor.ended",))]):
        await run_to_failure(tree)
    assert [body["event"]["type"] for body in receiver.bodies] == ["supervisor.ended"] * 2
    nursery.cancel_scope.cancel()


# --- receivers in trouble -------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, "hang up", "mute"])
async def test_a_receiver_that_heals_gets_the_same_delivery(
    nursery: trio.Nursery, trouble: int | str
) -> None:
    receiver = Receiver(trouble, trouble, 200)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url, timeout=0.2)]):
        await run_to_failure(tree)
        await receiver.until(3)
    assert len({headers["x-a2a-sup-delivery"] for headers, _ in receiver.requests}) == 1
    assert len({body for _, body in receiver.requests}) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("refusal", [301, 307, 400, 404, 410])
async def test_a_refusal_is_final_and_told_by_the_next_delivery(
    nursery: trio.Nursery, refusal: int
) -> None:
    receiver = Receiver(refusal, 200)
    await nursery.start(receiver.serve)
    tree = failing_tree()
    async with posting(tree, [Webhook(receiver.url, ("child.ended", "child.failed"))]):
        await run_to_failure(tree)
        await receiver.until(2)
    types = [body["event"]["type"] for body in receiver.bodies]
    assert types == ["child.ended", "child.failed"]
    assert [body["dropped"] for body in receiver.bodies] == [0, 1]
    nursery.cancel_scope.cancel()


async def test_a_dead_receiver_costs_bounded_memory_and_no_other_receiver_anything(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "HELD", 10)
    monkeypatch.setattr(webhooks, "FLUSH_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)
    well, dead = Receiver(200), Receiver("hold", 200)
    for receiver in (well, dead):
        await nursery.start(receiver.serve)
    restarts = 40

    async def again_and_again(task_status: Any) -> None:
        task_status.started()
        if task_status.number <= restarts:
            raise ValueError("broken")
        await trio.sleep_forever()

    policy = Restart(backoff=Backoff(()), intensity=None)
    tree = TreeHandle(supervisor("shop", [task("web", again_and_again, restart=policy)]))
    hooks = [
        Webhook(well.url, ("child.ended",)),
        Webhook(dead.url, ("child.ended",), timeout=1000, retries=0),
    ]
    async with posting(tree, hooks):
        nursery.start_soon(tree.run)
        with trio.fail_after(10):
            await tree.wait_until(
                lambda now: any(child.incarnation > restarts for child in now.walk())
            )
        await well.until(1)
        await dead.until(1)
        # All events are sorted.
        await trio.testing.wait_all_tasks_blocked()
        dead.released.set()
        await dead.until(11)
        tree.stop()
        await tree.wait_ended()
    assert well.bodies[0]["event"]["type"] == "child.ended"
    told = dead.bodies
    # The first was given up, and of the 39 behind it 10 were held.
    assert sum(body["dropped"] for body in told[1:]) == restarts - 10
    assert told[1]["dropped"] == restarts - 10
    assert [body["event"]["incarnation"] for body in told[1:]] == list(range(31, 41))
    text = caplog.text
    assert "fails: RemoteProtocolError" in text
    assert "works again" in text
    assert "hunter2" not in text
    nursery.cancel_scope.cancel()


async def test_the_end_of_the_program_waits_for_no_dead_receiver(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FLUSH_SECONDS", 0.05)
    receiver = Receiver("mute")
    await nursery.start(receiver.serve)
    tree = failing_tree()
    with trio.fail_after(10):
        async with posting(tree, [Webhook(receiver.url, timeout=1000)]):
            await run_to_failure(tree)
            await receiver.until(1)
    nursery.cancel_scope.cancel()


async def test_nobody_listening_is_a_failure_like_others(caplog: pytest.LogCaptureFixture) -> None:
    tree = failing_tree()
    async with posting(tree, [Webhook("http://127.0.0.1:1/hook", retries=1)]):
        await run_to_failure(tree)
    assert "webhook to 127.0.0.1:1 fails: ConnectError" in caplog.text


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("host", ["a" * 64, "a..b", "xn--"])
async def test_a_name_that_cannot_be_looked_up_is_a_failure_like_others(
    caplog: pytest.LogCaptureFixture, host: str
) -> None:
    tree = failing_tree()
    async with posting(tree, [Webhook(f"http://{host}.invalid/", retries=1)]):
        await run_to_failure(tree)
    assert f"webhook to {host}.invalid fails: " in caplog.text


# --- receivers that change ------------------------------------------------------------------------

STARTED = ("child.started",)


@asynccontextmanager
async def shop() -> AsyncIterator[tuple[TreeHandle, Callable[[int], Awaitable[None]]]]:
    """Run a tree, and yield it with what starts its only child again, so many times."""

    async with open_tree(supervisor("shop", [task("web", trio.sleep_forever)])) as tree:

        async def start_again(times: int) -> None:
            for _ in range(times):
                await tree.terminate_child("web")
                await tree.restart_child("web")
            # All events are sorted.
            await trio.testing.wait_all_tasks_blocked()

        yield tree, start_again


def incarnations(receiver: Receiver) -> list[int]:
    return [body["event"]["incarnation"] for body in receiver.bodies]


async def test_receivers_come_and_go_and_one_that_stays_misses_nothing(
    nursery: trio.Nursery,
) -> None:
    stays, comes, goes = Receiver(200), Receiver(200), Receiver(200)
    for receiver in (stays, comes, goes):
        await nursery.start(receiver.serve)
    hooks = {each: Webhook(each.url, STARTED) for each in (stays, comes, goes)}
    async with shop() as (tree, start_again), posting(tree, [hooks[goes], hooks[stays]]) as posted:
        await start_again(2)
        await goes.until(2)
        posted.become([hooks[stays], hooks[comes]])
        await start_again(2)
        await comes.until(2)
        await stays.until(4)
    assert incarnations(stays) == [2, 3, 4, 5]
    assert incarnations(comes) == [4, 5]
    assert incarnations(goes) == [2, 3]
    nursery.cancel_scope.cancel()


async def test_what_is_held_survives_other_settings_of_its_receiver(nursery: trio.Nursery) -> None:
    receiver = Receiver("hold", 200)
    await nursery.start(receiver.serve)
    hook = Webhook(receiver.url, STARTED)
    async with shop() as (tree, start_again), posting(tree, [hook]) as posted:
        await start_again(3)
        await receiver.until(1)
        posted.become([attrs.evolve(hook, events=("child.stopped",), secret="k3y")])
        receiver.released.set()
        await start_again(1)
        await receiver.until(5)
    types = [body["event"]["type"] for body in receiver.bodies]
    assert types == ["child.started"] * 4 + ["child.stopped"]
    assert ["x-a2a-sup-signature" in headers for headers, _ in receiver.requests][1:] == [True] * 4
    nursery.cancel_scope.cancel()


async def test_a_dead_receiver_that_goes_is_not_tried_any_more(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver("mute")
    await nursery.start(receiver.serve)
    async with shop() as (tree, start_again):
        with trio.fail_after(10):  # the time for the rest at the end is not even begun
            async with posting(tree, [Webhook(receiver.url, STARTED, timeout=1000)]) as posted:
                await start_again(3)
                await receiver.until(1)
                posted.become([])
                await start_again(1)
                tree.stop()
                await tree.wait_ended()
    assert len(receiver.requests) == 1
    host = receiver.url.partition("//")[2].partition("/")[0]
    assert f"webhook to {host} was taken back with 2 events not delivered" in caplog.text
    nursery.cancel_scope.cancel()


async def test_the_first_receiver_may_come_late(nursery: trio.Nursery) -> None:
    receiver = Receiver(200)
    await nursery.start(receiver.serve)
    async with shop() as (tree, start_again), posting(tree, []) as posted:
        await start_again(1)
        posted.become([Webhook(receiver.url, STARTED)])
        await trio.testing.wait_all_tasks_blocked()
        await start_again(1)
        await receiver.until(1)
    assert incarnations(receiver) == [3]
    nursery.cancel_scope.cancel()


async def test_nobody_to_tell_holds_up_no_end(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as (tree, _):
        async with posting(tree, []):
            pass
        assert trio.current_time() == 0


def test_a_secret_may_be_any_bytes() -> None:
    found = signature(b"\xff\xfe".decode(errors="surrogateescape"), "1", b"body")
    assert found == "sha256=" + hmac.new(b"\xff\xfe", b"1.body", "sha256").hexdigest()


def test_secrets_are_not_shown() -> None:
    shown = repr(Webhook("https://user:hunter2@example.com/x?k=hunter2", secret="hunter2"))
    assert "hunter2" not in shown
    assert Webhook("https://user:hunter2@example.com/x?k=hunter2").host == "example.com"
