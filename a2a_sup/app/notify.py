"""What the program tells systemd, or whoever started it with a ``NOTIFY_SOCKET``: sd_notify(3).

``READY`` when the tree has started, ``STATUS`` in words, ``RELOADING`` around a reload, and
``STOPPING`` when the tree is asked to stop. ``WATCHDOG`` is told by a task of the event loop: when
the loop does not turn, nobody tells it, and systemd starts the program again.

systemd knows the guardian as the main process, and these messages come from its child: the unit
needs ``NotifyAccess=all``. The children of the tree are never given this socket.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import attrs
import trio

from a2a_sup.model import events
from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.model.states import State
from a2a_sup.tree.bus import Subscription

STATUS_EVERY = 1.0
"""Seconds between two looks at the tree for the status line."""
NAMED = 5
"""Children that the status line names."""


@attrs.frozen
class Manager:
    """Who wants to be told.

    Attributes:
        address: of the socket; one that begins with ``@`` is abstract.
        watchdog: seconds within which it has to hear that we are alive; None: it need not.
    """

    address: str
    watchdog: float | None = None


def manager_of(environ: Mapping[str, str], pids: tuple[int, ...]) -> Manager | None:
    """Return who wants to be told, by the variables of sd_notify; None: nobody.

    Args:
        environ: the variables.
        pids: this process, and those that it stands for.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    seconds = None
    with suppress(ValueError):
        if int(environ.get("WATCHDOG_PID", pids[0])) in pids:
            microseconds = int(environ.get("WATCHDOG_USEC", "0"))
            seconds = microseconds / 1e6 if microseconds > 0 else None
    return Manager(address, seconds)


def status_line(children: Iterator[ChildSnapshot]) -> str:
    """Return what ``systemctl status`` is to show of the tree: one line."""
    workers = [child for child in children if child.kind != "supervisor"]
    states = Counter(child.state for child in workers)
    line = f"{states[State.RUNNING]} of {len(workers)} running"
    wrong = {
        "failed": [child.path for child in workers if child.state is State.FAILED],
        "unhealthy": [child.path for child in workers if child.healthy is False],
    }
    for word, paths in wrong.items():
        if paths:
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            line += f"; {word}: {', '.join(paths[:NAMED])}{more}"
    return "".join(letter if letter.isprintable() else "?" for letter in line)


class Notifier:
    """Tells the manager; does nothing when there is none, and never waits for it."""

    def __init__(self, manager: Manager | None) -> None:
        """Tell ``manager``."""
        self._manager = manager

    def tell(self, **fields: object) -> None:
        """Send one message. One that cannot be sent is lost: the servers are what counts."""
        if self._manager is None:
            return
        address = self._manager.address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.sendto(message.encode(), address)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that a reload is under way, and when it is over, whatever became of it."""
        self.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        try:
            yield
        finally:
            self.tell(READY=1)

    async def inform(
        self, subscription: Subscription, walk: Callable[[], Iterator[ChildSnapshot]]
    ) -> None:
        """Tell of the tree until it has ended.

        Args:
            subscription: to its events, from before it starts.
            walk: yields its children.
        """
        if self._manager is None:
            subscription.close()
            return
        async with trio.open_nursery() as nursery:
            async for event in subscription:
                match event:
                    case events.SupervisorStarted(path=""):
                        self.tell(READY=1)
                        nursery.start_soon(self._keep_status, walk)
                        nursery.start_soon(self._keep_watchdog)
                    case events.SupervisorEnded(path=""):
                        self.tell(STATUS="ended")
            nursery.cancel_scope.cancel()

    async def _keep_status(self, walk: Callable[[], Iterator[ChildSnapshot]]) -> None:
        told = ""
        while True:
            if (line := status_line(walk())) != told:
                told = line
                self.tell(STATUS=line)
            await trio.sleep(STATUS_EVERY)

    async def _keep_watchdog(self) -> None:
        """Say three times in each period that the loop turns."""
        while self._manager is not None and self._manager.watchdog is not None:
            self.tell(WATCHDOG=1)
            await trio.sleep(self._manager.watchdog / 3)


def notifier() -> Notifier:
    """Return a notifier for whoever started this process, or its guardian."""
    return Notifier(manager_of(os.environ, (os.getpid(), os.getppid())))
