"""What serving takes: the dashboard, metrics, health checks."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import closing
from functools import partial

from bench.alone import alone
from bench.measure import FLAT, Aim, Contender, Figure, Kind, Limit, Measure
from bench.serving.broadcast.crowd import NODE, OURS, PYTHON, Crowd, allow_files

FRAMES = 30
WARM_UP = 5
STALLED = 100
STALLED_FRAMES = 600
"""3 MB for each client: more than the kernel holds for one that reads nothing."""
MB = 2**20


def _broadcast(name: str, clients: int) -> Mapping[str, float]:
    """Return what a server takes to tell so many clients, each frame after the one before."""
    allow_files(2 * (clients + 100))
    with closing(Crowd(name, clients)) as crowd:
        for _ in range(WARM_UP):
            crowd.seconds()
        _held(name, crowd)  # what it took to let them in is not asked
        begin = crowd.cpu()
        taken = [crowd.seconds() for _ in range(FRAMES)]
        cpu = (crowd.cpu() - begin) / FRAMES
        found = {"told": statistics.median(taken) * 1e3, "cpu": cpu * 1e3}
        return {**found, "memory": crowd.memory / MB, **_held(name, crowd)}


def _held(name: str, crowd: Crowd) -> Mapping[str, float]:
    if name != OURS:
        return {}
    longest, most = crowd.held()
    return {"held": longest * 1e3, "worked": most * 1e3}


def _stalled(name: str, clients: int) -> Mapping[str, float]:
    """Return how much a server grows while some of its clients read nothing."""
    allow_files(2 * (clients + 100))
    with closing(Crowd(name, clients, STALLED)) as crowd:
        before = crowd.resident()
        taken = [crowd.seconds() for _ in range(STALLED_FRAMES)]
        grown = max(0, crowd.resident() - before)
        return {"told": statistics.median(taken) * 1e3, "grown": grown / MB}


_SERVERS = ((OURS, Kind.OURS), (NODE, Kind.PEER), (PYTHON, Kind.PEER))

NODE_WRITES = Limit(
    "node is handed a finished text, and writes it in C++ without a lock; here a record of the "
    "registry is changed, made an event and JSON, and each connection's lock is taken, so that a "
    "pong or the rest of a frame is never torn apart",
    3,
)
ASYNCIO_WRITES = Limit(
    "`websockets.broadcast` is handed a finished text, and writes to each transport without a "
    "lock; here a record of the registry is changed, made an event and JSON, and each "
    "connection's lock is taken",
    4,
)
NODE_KEEPS = Limit(
    "node keeps no task for a connection; ours has two tasks of Trio and a WebSocket state machine "
    "in Python for each, so that its messages are answered and the dead are found",
    4,
)
ASYNCIO_KEEPS = Limit(
    "`websockets` has a task for each connection that waits for its messages; ours has two of "
    "Trio's, with a scope each, so that one that reads nothing holds up only itself",
    3,
)
IN_TURNS = (
    "node writes to all in one turn of its loop, in C++; here others have a turn in between, and "
    "each write is a call from Python"
)


BROADCAST = Measure(
    "broadcast",
    "A frame of 5 KB to each client of a WebSocket server; until the last one has it.",
    (
        Figure(
            "told",
            "5 KB to {size} clients: until the last has it",
            "ms",
            (Aim(1.05, NODE),),
            {NODE: NODE_WRITES, PYTHON: ASYNCIO_WRITES},
            missed=IN_TURNS,
        ),
        Figure(
            "cpu",
            "5 KB to {size} clients: CPU of the server",
            "ms",
            (),
            {NODE: NODE_WRITES, PYTHON: ASYNCIO_WRITES},
        ),
        Figure(
            "memory",
            "{size} clients: memory of the server",
            "MB",
            (Aim(4.0, at=100),),
            {NODE: NODE_KEEPS, PYTHON: ASYNCIO_KEEPS},
        ),
        Figure("held", "5 KB to {size} clients: loop held", "ms", (Aim(20),)),
        Figure("worked", "5 KB to {size} clients: loop held, CPU alone", "ms", (Aim(20),)),
    ),
    tuple(Contender(name, kind, partial(_broadcast, name)) for name, kind in _SERVERS),
    sizes=(10, 100, 1_000),
)

STALL = Measure(
    "stall",
    f"{STALLED_FRAMES} frames of 5 KB, one after the other, to each client of a WebSocket server; "
    f"{STALLED} of them read nothing; until the last of the others has it.",
    (
        Figure(
            "told",
            "5 KB to {size} clients, 100 stalled: until the others have it",
            "ms",
            (Aim(1.05, NODE),),
            {NODE: NODE_WRITES, PYTHON: ASYNCIO_WRITES},
            missed=IN_TURNS,
        ),
        Figure("grown", "3 MB to each of {size} clients, 100 stalled: memory grows by", "MB"),
    ),
    tuple(Contender(name, kind, partial(_stalled, name)) for name, kind in _SERVERS),
    sizes=(1_000,),
    repeats=2,
)

CHANGES = Measure(
    "changes",
    "One child of a tree changes; until a watcher of the dashboard is told.",
    (
        Figure("told", "a change of one of {size} is told", "ms", (Aim(150),), growth=FLAT),
        Figure("cpu", "a change of one of {size}: CPU of all of it", "ms", growth=FLAT),
        Figure("held", "a change of one of {size}: loop held", "ms", (Aim(20),), growth=FLAT),
        Figure("whole", "a tree of {size} is told: loop held", "ms", (Aim(20),)),
    ),
    (Contender("a2a_sup", Kind.OURS, alone("bench.serving.changes", "changes")),),
    sizes=(100, 1_000, 10_000),
)

SCRAPE = Measure(
    "scrape",
    "The text of /metrics after one change, without the sending. The floor formats as many lines; "
    "prometheus_client renders as many labelled gauges.",
    (
        Figure("cpu", "scrape of {size} children", "CPU ms", (Aim(20, at=10_000),)),
        Figure("held", "scrape of {size} children: loop held", "ms", (Aim(20),)),
    ),
    (
        Contender("a2a_sup", Kind.OURS, alone("bench.serving.scrape", "scrape")),
        Contender("formatting", Kind.FLOOR, alone("bench.serving.scrape", "formatting")),
        Contender("prometheus_client", Kind.PEER, alone("bench.serving.scrape", "client_library")),
    ),
    sizes=(100, 1_000, 10_000),
)

PROBES = Measure(
    "probes",
    "Children with a liveness probe each, all due at once; the floor is as many loops with a "
    "deadline that call the same function.",
    (
        Figure("cpu", "check of each of {size} children", "CPU us each", growth=FLAT),
        Figure("held", "{size} children checked at once: loop held", "ms", (Aim(20),)),
    ),
    (
        Contender("a2a_sup", Kind.OURS, alone("bench.serving.checks", "probed")),
        Contender("bare loops", Kind.FLOOR, alone("bench.serving.checks", "bare")),
    ),
    sizes=(10, 100, 1_000),
)

HTTP = Measure(
    "http",
    "A health check over HTTP, its server in the same process; the floor is a request by hand: "
    "connect, send, read once, close.",
    (
        Figure(
            "cpu",
            "check over HTTP, and its server",
            "CPU us",
            (Aim(1.5, "by hand"),),
            missed="the request by hand has no deadline, reads once and understands nothing",
        ),
    ),
    (
        Contender("a2a_sup", Kind.OURS, alone("bench.serving.checks", "http_check")),
        Contender("by hand", Kind.FLOOR, alone("bench.serving.checks", "by_hand")),
        Contender("httpx", Kind.PEER, alone("bench.serving.checks", "by_httpx")),
    ),
    sizes=(1,),
)

MEASURES = (BROADCAST, STALL, CHANGES, SCRAPE, PROBES, HTTP)
