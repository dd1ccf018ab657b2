"""Health checks: what one costs, beside a bare loop that calls the same function."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast

import httpx
import trio

from a2a_sup import ChildContext, ChildSpec, open_tree, supervisor, task
from a2a_sup.checks import call, http, liveness
from bench.alone import serve
from bench.trees.holds import Holds

INTERVAL = 0.5
"""Seconds between two checks of a child."""
ROUNDS = 4
"""Checks of each child that are waited for."""
REQUESTS = 500
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


async def probed(children: int) -> Mapping[str, float]:
    """Return CPU microseconds of a check by the probes of so many children, and the hold."""
    counter = Counter(children * ROUNDS)
    probe = liveness(call(counter.ask), interval=INTERVAL, jitter=0)

    def child(number: int) -> ChildSpec:
        return task(f"child-{number}", trio.sleep_forever, probes=[probe])

    async with open_tree(supervisor("app", map(child, range(children)))):
        return await _counted(counter)


async def bare(children: int) -> Mapping[str, float]:
    """Return the same of as many loops that do nothing else, deadline included."""
    counter = Counter(children * ROUNDS)

    async def loop() -> None:
        while True:
            await trio.sleep(INTERVAL)
            with trio.move_on_after(5):
                await counter.ask()

    async with trio.open_nursery() as nursery:
        for _ in range(children):
            nursery.start_soon(loop)
        found = await _counted(counter)
        nursery.cancel_scope.cancel()
    return found


async def _counted(counter: Counter) -> Mapping[str, float]:
    hold = Holds()
    async with trio.open_nursery() as nursery:
        begin = time.process_time()
        await counter.done.wait()
        cpu = (time.process_time() - begin) / counter.wanted
        # Another round, watched: the watch costs more than the checks of a few children.
        nursery.start_soon(hold.watch)
        await trio.sleep(INTERVAL)
        nursery.cancel_scope.cancel()
    return {"cpu": cpu * 1e6, "held": hold.longest * 1e3}


# --- over HTTP -----------------------------------------------------------------------------------


async def http_check(_: int) -> Mapping[str, float]:
    """Return CPU microseconds of an HTTP check, and of its server."""
    return await _requests(_check_of)


async def by_hand(_: int) -> Mapping[str, float]:
    """Return the same of a request by hand: connect, send, read, close."""
    return await _requests(_bare_request)


async def by_httpx(_: int) -> Mapping[str, float]:
    """Return the same of a client that connects anew each time, as a check has to."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        return await _requests(lambda port: partial(client.get, f"http://127.0.0.1:{port}/"))


def _check_of(port: int) -> Callable[[], Awaitable[object]]:
    check = http(f"http://127.0.0.1:{port}/")
    return lambda: check(cast(ChildContext, None))  # it asks the same of every child


def _bare_request(port: int) -> Callable[[], Awaitable[object]]:
    async def ask() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            await stream.receive_some()

    return ask


async def _requests(make: Callable[[int], Callable[[], Awaitable[object]]]) -> Mapping[str, float]:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ANSWER)

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, respond, 0, host="127.0.0.1")
        listeners = await nursery.start(listen)
        ask = make(listeners[0].socket.getsockname()[1])
        await ask()  # what is imported at first use
        begin = time.process_time()
        for _ in range(REQUESTS):
            await ask()
        taken = time.process_time() - begin
        nursery.cancel_scope.cancel()
    return {"cpu": taken / REQUESTS * 1e6}


if __name__ == "__main__":
    serve((probed, bare, http_check, by_hand, by_httpx))
