"""Metrics for Prometheus: from the tree's snapshot at each scrape, or counted from its events.

What is shown of children is made when it is asked for, so it is never stale and costs nothing
between scrapes; a child that is gone has no series. It is rendered here and not by the client
library, which renders all of it in one go: here the loop is let go every thousand children.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from a2a_sup.model import events
from a2a_sup.model.snapshot import ChildSnapshot, TreeSnapshot
from a2a_sup.model.states import State
from a2a_sup.serve.exposition import CONTENT_TYPE, Histogram, escaped, head, number, sample
from a2a_sup.serve.health import is_ready
from a2a_sup.serve.lag import LoopLag
from a2a_sup.tree.bus import Subscription

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

CHUNK = 1000
"""Children rendered before the loop is let go."""
EVENTS_HELD = 10_000
"""Events that counting may lag behind."""
PATHS_HELD = 10_000
"""Children remembered, gone ones included, before those that are gone are looked for."""
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Gauge = tuple[str, str, Callable[[], float]]
"""A name, what it is, and what returns its value now."""


class Metrics:
    """The metrics of one tree.

    Attributes:
        gauges: values that other parts of the program show.
    """

    def __init__(
        self,
        take_snapshot: Callable[[], TreeSnapshot],
        lag: LoopLag,
        *,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        """Show the tree of ``take_snapshot`` and the loop; ``now`` is the tree's clock."""
        self.gauges: list[Gauge] = []
        self._take_snapshot = take_snapshot
        self._lag = lag
        self._now = now
        self._dropped = 0
        self._leftovers = 0
        self._exits: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._probes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._deaths: dict[str, tuple[float, float]] = {}
        """When a child ended that has not come back, and for how long it was told to wait."""
        self._held_limit = PATHS_HELD
        self._probe_durations = Histogram(SHORT)
        self._restart_durations = Histogram(SHORT)
        self._requests: defaultdict[tuple[str, str, str], Histogram] = defaultdict(
            partial(Histogram, SHORT)
        )

    # --- counting --------------------------------------------------------------------------------

    async def count(self, subscription: Subscription) -> None:
        """Count what happens until the tree has ended."""
        while batch := await subscription.batch():
            for event in batch:
                self.take(event)

    def take(self, event: events.Event | events.EventsDropped) -> None:
        """Count one event."""
        match event:
            case events.EventsDropped(count=count):
                self._dropped += count
            case events.ChildReported(details=details) if "leftovers" in details:
                self._leftovers += details["leftovers"]
            case events.ChildProbed(path=path, result=result):
                self._probes[path]["passed" if result.passed else "failed"] += 1
                self._probe_durations.observe(result.duration)
            case (
                events.ChildEnded(path=path, reason=reason)
                | events.ChildStartFailed(path=path, reason=reason)
            ):
                self._exits[path][str(reason.kind)] += 1
                self._deaths.setdefault(path, (event.time, 0.0))
                self._forget_the_gone_if_many()
            case events.ChildBackingOff(path=path, delay=delay) if path in self._deaths:
                died_at, waited = self._deaths[path]
                self._deaths[path] = died_at, waited + delay
            case events.ChildStarted(path=path) if path in self._deaths:
                died_at, waited = self._deaths.pop(path)
                self._restart_durations.observe(max(0.0, event.time - died_at - waited))
            case events.ChildStopped(path=path) | events.ChildFailed(path=path):
                self._deaths.pop(path, None)
            case events.ChildRemoved(path=path):
                for known in (self._exits, self._probes, self._deaths):
                    known.pop(path, None)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered. ``route`` is the template of its path."""
        known = method if method in METHODS else "other"
        self._requests[known, route, str(status)].observe(seconds)

    def _forget_the_gone_if_many(self) -> None:
        if len(self._exits) > self._held_limit:
            self._forget_all_but({child.path for child in self._take_snapshot().walk()})
            self._held_limit = max(PATHS_HELD, 2 * len(self._exits))

    def _forget_all_but(self, paths: set[str]) -> None:
        for known in (self._exits, self._probes, self._deaths):
            for path in known.keys() - paths:
                del known[path]

    # --- showing ---------------------------------------------------------------------------------

    async def exposition(self) -> AsyncIterator[str]:
        """Yield everything in the text format, piece by piece; the loop is let go between."""
        snapshot = self._take_snapshot()
        children = list(snapshot.walk())
        # Before the loop is let go: who comes then is not in this snapshot, and counts.
        self._forget_all_but({child.path for child in children})
        await trio.lowlevel.checkpoint()
        labels: list[str] = []
        for start in range(0, len(children), CHUNK):
            chunk = children[start : start + CHUNK]
            labels += [f'{{child="{escaped(child.path)}"' for child in chunk]
            await trio.lowlevel.checkpoint()
        for family in self._families(snapshot.time):
            yield head(*family[:3])
            for start in range(0, len(children), CHUNK):
                end = start + CHUNK
                yield "".join(family[3](children[start:end], labels[start:end]))
                await trio.lowlevel.checkpoint()
        yield "".join(self._totals(children))
        yield "".join(self._histograms())

    def _families(self, now: float) -> Iterator[Family]:
        yield _family("child_up", "gauge", "Whether the child is running.", _up)
        yield _family(
            "child_healthy",
            "gauge",
            "Whether its liveness and startup probes pass; missing while nobody knows.",
            _healthy,
        )
        yield _family("child_ready", "gauge", "Whether the child can serve.", _ready)
        yield _family(
            "child_uptime_seconds",
            "gauge",
            "Since when the running incarnation of the child is up.",
            partial(_uptime, now),
        )
        yield _family(
            "child_backoff_seconds",
            "gauge",
            "How long until the next attempt to start the child.",
            partial(_backoff, now),
        )
        yield _family(
            "child_restarts_total",
            "counter",
            "How often the child was restarted by its supervisor.",
            _restarts,
        )
        yield _family(
            "child_exits_total",
            "counter",
            "How often the child ended by itself or did not start, by reason.",
            partial(_counted, "a2a_sup_child_exits_total", "reason", self._exits),
        )
        yield _family(
            "probes_total",
            "counter",
            "Probes of the child, by result.",
            partial(_counted, "a2a_sup_probes_total", "result", self._probes),
        )

    def _totals(self, children: Sequence[ChildSnapshot]) -> Iterator[str]:
        states = Counter(child.state for child in children)
        yield head("a2a_sup_children", "gauge", "Children by state.")
        for state in State:
            yield sample("a2a_sup_children", states[state], {"state": str(state)})
        name = "a2a_sup_events_dropped_total"
        yield head(name, "counter", "Events that were not counted here: too many at once.")
        yield sample(name, self._dropped)
        name = "a2a_sup_leftovers_swept_total"
        yield head(name, "counter", "Processes that children left behind, ended for them.")
        yield sample(name, self._leftovers)
        for gauge, about, read in self.gauges:
            yield head(gauge, "counter" if gauge.endswith("_total") else "gauge", about)
            yield sample(gauge, read())

    def _histograms(self) -> Iterator[str]:
        for name, about, histogram in (
            ("probe_duration", "How long probes took.", self._probe_durations),
            (
                "restart_duration",
                "From the end of a child to its being up again, without the backoff.",
                self._restart_durations,
            ),
            (
                "event_loop_lag",
                "For how long the event loop looked at nothing new: its turns.",
                self._lag.turns,
            ),
        ):
            yield head(f"a2a_sup_{name}_seconds", "histogram", about)
            yield from histogram.lines(f"a2a_sup_{name}_seconds")
        name = "a2a_sup_http_request_duration_seconds"
        yield head(name, "histogram", "How long requests took, streams until their first byte.")
        for (method, route, status), histogram in self._requests.items():
            labels = {"method": method, "route": route, "status": status}
            yield from histogram.lines(name, labels)


# --- the lines of a chunk of children ------------------------------------------------------------

Lines = Callable[[Sequence[ChildSnapshot], Sequence[str]], Iterable[str]]
Family = tuple[str, str, str, Lines]


def _family(name: str, kind: str, about: str, lines: Lines) -> Family:
    return f"a2a_sup_{name}", kind, about, lines


def _up(children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_up{label}}} {1 if child.state is State.RUNNING else 0}\n"
        for child, label in zip(children, labels, strict=True)
    ]


def _healthy(children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_healthy{label}}} {1 if child.healthy else 0}\n"
        for child, label in zip(children, labels, strict=True)
        if child.healthy is not None
    ]


def _ready(children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_ready{label}}} {1 if is_ready(child) else 0}\n"
        for child, label in zip(children, labels, strict=True)
    ]


def _uptime(now: float, children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_uptime_seconds{label}}} {now - child.started_at:.3f}\n"
        for child, label in zip(children, labels, strict=True)
        if child.started_at is not None
    ]


def _backoff(now: float, children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_backoff_seconds{label}}} 0\n"
        if child.next_attempt_at is None
        else f"a2a_sup_child_backoff_seconds{label}}} {max(0, child.next_attempt_at - now):.3f}\n"
        for child, label in zip(children, labels, strict=True)
    ]


def _restarts(children: Sequence[ChildSnapshot], labels: Sequence[str]) -> Iterable[str]:
    return [
        f"a2a_sup_child_restarts_total{label}}} {child.restarts}\n"
        for child, label in zip(children, labels, strict=True)
    ]


def _counted(
    name: str,
    by: str,
    counts: dict[str, Counter[str]],
    children: Sequence[ChildSnapshot],
    labels: Sequence[str],
) -> Iterable[str]:
    return [
        f'{name}{label},{by}="{word}"}} {number(count)}\n'
        for child, label in zip(children, labels, strict=True)
        if child.path in counts
        for word, count in counts[child.path].items()
    ]


# --- over HTTP -----------------------------------------------------------------------------------


def metrics_routes(metrics: Metrics) -> list[BaseRoute]:
    """Return the route ``/metrics``: those of the tree, and the client library's of the process."""
    from prometheus_client import (  # noqa: PLC0415 - only when it serves
        CollectorRegistry,
        ProcessCollector,
        generate_latest,
    )
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import Response, StreamingResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    async def everything() -> AsyncIterator[str]:
        async for piece in metrics.exposition():
            yield piece
        yield generate_latest(registry).decode()

    async def scraped(_: Request) -> Response:
        return StreamingResponse(everything(), headers={"content-type": CONTENT_TYPE})

    return [Route("/metrics", scraped)]
