"""What happens in a tree, as log lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from a2a_sup.app.logs import logger
from a2a_sup.model import events
from a2a_sup.model.reasons import Reason
from a2a_sup.tree.bus import Subscription

Event = events.Event | events.EventsDropped
Who = Literal["child", "service"]
"""Whose path it is: of the user's tree, or of the program's own services."""

QUIET = frozenset(
    {
        events.ChildAdded,
        events.ChildOutput,
        events.ChildRemoved,
        events.ChildStarting,
        events.ChildStopping,
        events.ChildWaiting,
        events.SupervisorStarted,
        events.SupervisorUpdated,
        events.SupervisorEnded,
    }
)
"""Told at debug level: another event says the same, or says it better."""
LOUD = frozenset({events.ChildFailed, events.ChildStuck, events.SupervisorGaveUp})
"""Told as errors: somebody has to do something."""
NOTABLE = frozenset(
    {
        events.ChildBackingOff,
        events.ChildHealth,
        events.ChildStartFailed,
        events.EventsDropped,
    }
)
"""Told as warnings: the tree deals with it."""

TROUBLES = frozenset({"failed", "junk_lines", "log_error", "missed", "survivors", "tools_error"})
"""What a child reports that an operator has to know: told as warnings."""

NEWS = frozenset({"last_run"})
"""What a child reports that an operator wants to know."""

LINE_LIMIT = 200
"""Characters shown of what a child printed last."""


def level_of(event: Event) -> str:
    """Return the log level of an event."""
    kind = type(event)
    if isinstance(event, events.ChildReported):
        return _level_of_report(event.details)
    if kind in QUIET or _is_good_news(event):
        return "debug"
    if kind in LOUD:
        return "error"
    if kind in NOTABLE:
        return "warning"
    if isinstance(event, events.ChildEnded) and not event.reason.benign:
        return "warning"
    return "info"


def _level_of_report(details: Mapping[str, Any]) -> str:
    if not TROUBLES.isdisjoint(details):
        return "warning"
    return "debug" if NEWS.isdisjoint(details) else "info"


def _is_good_news(event: Event) -> bool:
    """Return whether a probe found what it should."""
    match event:
        case events.ChildProbed(result=result):
            return result.passed
        case events.ChildHealth(healthy=healthy):
            return healthy
        case _:
            return False


_OWN_FIELDS: Mapping[type[Event], Callable[[Any], Mapping[str, Any]]] = {
    events.ChildBackingOff: lambda it: {"delay": round(it.delay, 3), "restarts": it.restarts},
    events.ChildHealth: lambda it: {"healthy": it.healthy, "because": it.because},
    events.ChildOutput: lambda it: {
        "stream": it.stream,
        "line": it.line,
        "left_out": it.left_out,
    },
    events.ChildProbed: lambda it: {
        "probe": it.probe,
        "passed": it.result.passed,
        "message": it.result.message,
    },
    events.ChildReady: lambda it: {"ready": it.ready},
    events.ChildRecovered: lambda it: {"uptime": round(it.uptime, 3)},
    events.ChildReported: lambda it: it.details,
    events.ChildStuck: lambda it: {"stack": it.stack},
    events.ChildWaiting: lambda it: {"waits_for": list(it.waits_for)},
    events.SupervisorAutoShutdown: lambda it: {"because": it.child},
    events.SupervisorGaveUp: lambda it: {"because": it.child},
}


def fields_of(event: Event, who: Who = "child") -> dict[str, Any]:
    """Return what a log line says beside the event's name."""
    if isinstance(event, events.EventsDropped):
        return {"count": event.count}
    fields: dict[str, Any] = {who: event.path} if event.path else {}
    own = _OWN_FIELDS.get(type(event))
    if own is not None:
        fields |= own(event)
    reason = getattr(event, "reason", None)
    if isinstance(reason, Reason):
        fields |= {"reason": str(reason)}
        if reason.last_output:
            fields |= {"last_line": reason.last_output[-1][:LINE_LIMIT]}
    return fields


class Narrator:
    """Writes events to the log. The pid that a child reports is told when it has started."""

    def __init__(
        self, about: Mapping[str, Any], wall_time: Callable[[float], float] | None = None
    ) -> None:
        """Use the log that ``configure_logs`` set up.

        Args:
            about: is told when the tree has started.
            wall_time: makes the time of an event that of its line, in seconds since 1970; None:
                lines have the time at which they are written.
        """
        self._log = logger().bind()
        self._about = about
        self._wall_time = wall_time
        self._pids: dict[str, Any] = {}

    async def narrate(self, subscription: Subscription) -> None:
        """Write every event until the tree has ended."""
        while batch := await subscription.batch():
            for event in batch:
                self.tell(event)

    def tell(self, event: Event) -> None:
        """Write one event."""
        pid: dict[str, Any] = {}
        match event:
            case events.ChildReported(details=details, path=path):
                self._remember_pid(path, details)
            case events.ChildStarted(path=path) if path in self._pids:
                pid = {"pid": self._pids.pop(path)}
            case events.SupervisorStarted(path=""):
                self._log.info("tree.started", **{**self._about, **self._timestamp(event)})
        number = _NUMBERS[level_of(event)]
        if self._log.is_enabled_for(number):
            line = {**fields_of(event), **pid, **self._timestamp(event)}
            self._log.log(number, event.type, **line)

    def _timestamp(self, event: Event) -> dict[str, float]:
        if self._wall_time is None or isinstance(event, events.EventsDropped):
            return {}
        return {"timestamp": self._wall_time(event.time)}

    def _remember_pid(self, path: str, details: Mapping[str, Any]) -> None:
        if details.get("pid") is not None:
            self._pids[path] = details["pid"]
        elif "pid" in details:
            self._pids.pop(path, None)


async def narrate_services(subscription: Subscription) -> None:
    """Write what goes wrong in the tree of the program's own services; the rest at debug level."""
    log = logger()
    while batch := await subscription.batch():
        for event in batch:
            level = level_of(event)
            name = event.type.replace("child.", "service.")
            number = _NUMBERS["debug" if level == "info" else level]
            log.log(number, name, **fields_of(event, "service"))


_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
