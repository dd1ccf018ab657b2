"""Health checks: what one costs beside a bare loop that calls the same function."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast

import trio

from a2a_sup import ChildSpec, Probe, open_tree, supervisor, task
from a2a_sup.checks import HTTPCheck, call, http, liveness
from a2a_sup.model.spec import ChildContext

INTERVAL = 0.001
"""Seconds: as good as at once, and every check still waits on the clock once, as all do."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Counter:
    """A check that passes, and says when it was asked often enough."""

    def __init__(self, wanted: int) -> None:
        """Wait for so many calls."""
        self.calls = 0
        self.wanted = wanted
        self.done = trio.Event()

    async def ask(self) -> str:
        """Count a call."""
        await trio.lowlevel.checkpoint()
        self.calls += 1
        if self.calls == self.wanted:
            self.done.set()
        return "fine"


async def bare_checks(count: int) -> float:
    """Return the CPU seconds of a check in a loop that does nothing else, deadline included."""
    counter = Counter(count)

    async def loop() -> None:
        while True:
            await trio.sleep(INTERVAL)
            with trio.move_on_after(5):
                await counter.ask()

    async with trio.open_nursery() as nursery:
        begin = time.process_time()
        nursery.start_soon(loop)
        await counter.done.wait()
        taken = time.process_time() - begin
        nursery.cancel_scope.cancel()
    return taken / count


async def probed_checks(count: int) -> float:
    """Return the CPU seconds of a check by a probe: its result kept, told, and seen by nobody."""
    counter = Counter(count)
    async with open_tree(supervisor("app", [_child("child", [_probe(counter)])])):
        begin = time.process_time()
        await counter.done.wait()
        return (time.process_time() - begin) / count


async def crowd_cost(children: int) -> float:
    """Return the CPU seconds of a check with many children, each asked twice."""
    counter = Counter(children * 2)
    async with open_tree(_crowd(children, counter)):
        begin = time.process_time()
        await counter.done.wait()
        return (time.process_time() - begin) / counter.wanted


async def crowd_lag(children: int) -> float:
    """Return the longest time the loop was held meanwhile, seconds."""
    counter = Counter(children * 2)
    async with open_tree(_crowd(children, counter)), trio.open_nursery() as nursery:
        watch = Lag()
        nursery.start_soon(watch.run)
        await counter.done.wait()
        nursery.cancel_scope.cancel()
    return watch.longest


def _crowd(children: int, counter: Counter) -> ChildSpec:
    probe = liveness(call(counter.ask), interval=5)  # a sixth of the default
    return supervisor("app", [_child(f"child-{number}", [probe]) for number in range(children)])


class Lag:
    """How late a task was that wanted to run every millisecond."""

    def __init__(self) -> None:
        """Begin without any."""
        self.longest = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + INTERVAL
            await trio.sleep_until(due)
            self.longest = max(self.longest, trio.current_time() - due)


async def bare_requests(count: int) -> float:
    """Return the CPU seconds of a request by hand: connect, send, read; and of its server."""

    async def ask(port: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            await stream.receive_some()

    return await _requests(count, ask)


async def checked_requests(count: int) -> float:
    """Return the CPU seconds of an HTTP check, and of its server."""
    checks: dict[int, HTTPCheck] = {}

    async def ask(port: int) -> None:
        if port not in checks:
            checks[port] = http(f"http://127.0.0.1:{port}/")
        await checks[port](cast(ChildContext, None))  # it asks the same of every child

    return await _requests(count, ask)


async def _requests(count: int, ask: Callable[[int], Awaitable[None]]) -> float:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ANSWER)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, respond, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        port = listeners[0].socket.getsockname()[1]
        await ask(port)  # what is imported at first use
        begin = time.process_time()
        for _ in range(count):
            await ask(port)
        taken = time.process_time() - begin
        nursery.cancel_scope.cancel()
    return taken / count


def _probe(counter: Counter) -> Probe:
    return liveness(call(counter.ask), interval=INTERVAL, jitter=0)


def _child(name: str, probes: Sequence[Probe]) -> ChildSpec:
    return task(name, trio.sleep_forever, probes=probes)
