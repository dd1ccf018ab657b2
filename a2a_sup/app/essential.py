"""The children that a program is run for: when one of them ends for good, so does the program.

In a container this is what makes the exit status of a job, or of the one server that matters, the
container's own.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from a2a_sup.app.logs import logger
from a2a_sup.model import events
from a2a_sup.model.reasons import Reason
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.tree.bus import Subscription

INFO = "essential"
"""The key in the info of a child's specification that says so."""


def is_final(restart: str, reason: Reason) -> bool:
    """Return whether a child that ended by itself like this is not started again (OTP's rules)."""
    return restart == RestartType.TEMPORARY or (restart == RestartType.TRANSIENT and reason.benign)


def status_of(exit_status: int | None, reason: Reason) -> int:
    """Return the exit status that tells of this end: its own, or 128 + its signal, as of a shell.

    One without a status of its own, such as a program that could not be started, is 1.
    """
    if exit_status is None:
        exit_status = reason.exit_status
    if exit_status is None:
        return 0 if reason.benign else 1
    return exit_status if exit_status >= 0 else 128 - exit_status


@attrs.define
class _Run:
    restart: str
    exit_status: int | None = None
    reason: Reason | None = None


class Essential:
    """Watches a tree for the end of its essential children.

    Attributes:
        status: what the program is to exit with; None: none of them has ended for good.
    """

    def __init__(
        self, look: Callable[[str], ChildSnapshot | None], stop: Callable[[], object]
    ) -> None:
        """Take how a child is looked up, and what stops the tree."""
        self.status: int | None = None
        self._look = look
        self._stop = stop
        self._runs: dict[str, _Run] = {}

    async def watch(self, subscription: Subscription) -> None:
        """Watch until the tree has ended."""
        while batch := await subscription.batch():
            for event in batch:
                self.heed(event)

    def heed(self, event: events.Event | events.EventsDropped) -> None:
        """Take one event."""
        match event:
            case events.ChildStarting(path=path):
                self._begin(path)
            case events.ChildReported(path=path, details=details):
                if path in self._runs and "exit_status" in details:
                    self._runs[path].exit_status = details["exit_status"]
            case events.ChildEnded(path=path, reason=reason):
                if path in self._runs:
                    run = self._runs[path]
                    run.reason = reason
                    if is_final(run.restart, reason):
                        self._end(path, reason)
            case events.ChildFailed(path=path, reason=reason):
                if path in self._runs:
                    self._end(path, reason)
            case events.SupervisorGaveUp(path="", child=culprit):
                self._end_below(culprit)

    def _begin(self, path: str) -> None:
        child = self._look(path)
        if child is not None and child.info.get(INFO):
            self._runs[path] = _Run(child.restart)
        else:
            self._runs.pop(path, None)

    def _end_below(self, culprit: str) -> None:
        """End for the essential child that made the root give up, alone or with its supervisors."""
        for path, run in self._runs.items():
            if f"{path}/".startswith(f"{culprit}/") and run.reason is not None:
                self._end(path, run.reason)

    def _end(self, path: str, reason: Reason) -> None:
        if self.status is None:
            self.status = status_of(self._runs[path].exit_status, reason)
            logger().warning("essential.ended", child=path, reason=str(reason), status=self.status)
            self._stop()
