"""What a process says of itself over its ``NOTIFY_SOCKET``: sd_notify, as systemd's services do.

Each incarnation has a socket of its own in a private directory. A message counts only if the
kernel names its sender as a process of this child. Of systemd's protocol (sd_notify(3)) these mean
something here: ``READY=1``, ``STATUS=``, ``WATCHDOG=1``, ``WATCHDOG=trigger`` and ``STOPPING=1``.
A file descriptor that is sent along is closed, which is what ``systemd-notify`` waits for.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import trio

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.spawning import CannotRun, identity_of
from a2a_sup.errors import CheckFailed, SpecError
from a2a_sup.model.health import Probe
from a2a_sup.model.spec import ChildContext
from a2a_sup.model.words import is_number, printable

MESSAGE_BYTES = 4096
"""A longer message is not looked at; systemd's own limit."""
STATUS_LIMIT = 200
"""Characters shown of a status."""
BATCH = 64
"""Messages read at once."""
BATCH_SECONDS = 0.02
"""Between two batches: a flood of messages slows the child down, not the supervisor."""
PATH_BYTES = 107
"""Longest address of a unix socket (sockaddr_un)."""

_CREDENTIALS = struct.Struct("3i")
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(253 * 4)
"""The credentials, and as many file descriptors as the kernel passes on (SCM_MAX_FD)."""


# --- the messages ---------------------------------------------------------------------------------


@attrs.frozen
class Said:
    """What one or several messages say.

    Attributes:
        ready: that the child can serve, or (it is stopping) no longer; None: nothing of it.
        status: what it says to people; None: nothing.
        fed: whether it is alive: the watchdog was fed.
        triggered: whether it wants the watchdog to bite.
    """

    ready: bool | None = None
    status: str | None = None
    fed: bool = False
    triggered: bool = False

    def then(self, later: Said) -> Said:
        """Return what both say together."""
        return Said(
            ready=self.ready if later.ready is None else later.ready,
            status=self.status if later.status is None else later.status,
            fed=self.fed or later.fed,
            triggered=self.triggered or later.triggered,
        )


def said_by(message: bytes) -> Said:
    """Return what a message says. What is unknown or broken in it says nothing."""
    said = Said()
    for line in message.decode(errors="replace").split("\n"):
        key, _, value = line.partition("=")
        match key, value:
            case "READY", "1":
                said = said.then(Said(ready=True))
            case "STOPPING", "1":
                said = said.then(Said(ready=False))
            case "STATUS", _:
                said = said.then(Said(status=_shown(value)))
            case "WATCHDOG", "1":
                said = said.then(Said(fed=True))
            case "WATCHDOG", "trigger":
                said = said.then(Said(triggered=True))
            case _:
                pass
    return said


def _shown(text: str) -> str:
    return printable(text)[:STATUS_LIMIT]


# --- the heartbeat --------------------------------------------------------------------------------


class Pulse:
    """When an incarnation last fed its watchdog.

    Attributes:
        fed: seconds on Trio's clock; at first when its socket was made.
        triggered: whether it asked for the watchdog to bite.
    """

    def __init__(self) -> None:
        """Begin as fed."""
        self.fed = trio.current_time()
        self.triggered = False


_pulses: trio.lowlevel.RunVar[dict[str, Pulse]] = trio.lowlevel.RunVar("a2a_sup pulses")


def _current_pulses() -> dict[str, Pulse]:
    try:
        return _pulses.get()
    except LookupError:
        pulses: dict[str, Pulse] = {}
        _pulses.set(pulses)
        return pulses


@attrs.frozen
class Heartbeat:
    """A check: the child said ``WATCHDOG=1`` not too long ago.

    Attributes:
        within: seconds.
    """

    within: float

    def __attrs_post_init__(self) -> None:
        """Raise SpecError if the time is no time."""
        if not is_number(self.within, 0) or not self.within:
            raise SpecError(f"heartbeat is seconds > 0, not {self.within!r}")

    @property
    def name(self) -> str:
        """What the probe is called."""
        return f"heartbeat {self.within:g} s"

    async def __call__(self, context: ChildContext) -> str:
        """Return how long ago it was. Raises CheckFailed."""
        await trio.lowlevel.checkpoint()
        pulse = _current_pulses().get(context.path)
        if pulse is None:
            raise CheckFailed("the process has no NOTIFY_SOCKET")
        if pulse.triggered:
            raise CheckFailed("it said WATCHDOG=trigger")
        age = trio.current_time() - pulse.fed
        if age > self.within:
            raise CheckFailed(f"no WATCHDOG=1 for {age:.1f} s; allowed: {self.within:g} s")
        return f"{age:.1f} s ago"


HEARTBEAT_REFUSED = "a heartbeat probe needs a process, which says WATCHDOG=1"


def heartbeats_of(probes: Iterable[Probe]) -> list[Heartbeat]:
    """Return the checks among these probes that need a ``NOTIFY_SOCKET``."""
    # What is no probe at all is named by the specification of the child.
    checks = (probe.check for probe in probes if isinstance(probe, Probe))
    return [check for check in checks if isinstance(check, Heartbeat)]


# --- the socket -----------------------------------------------------------------------------------


@attrs.frozen
class Notify:
    """That a process gets a ``NOTIFY_SOCKET``.

    Attributes:
        watchdog: seconds within which it is to say ``WATCHDOG=1``; None: it need not.
        says_ready: it is not ready until it says ``READY=1``.
    """

    watchdog: float | None = None
    says_ready: bool = False

    def variables(self, path: str) -> dict[str, str]:
        """Return what the process finds in its environment."""
        variables = {"NOTIFY_SOCKET": path}
        if self.watchdog is not None:
            variables["WATCHDOG_USEC"] = str(max(1, round(self.watchdog * 1e6)))
        return variables


class Listener:
    """Listens to one incarnation of a process.

    Attributes:
        command: how to run it: it is told of the socket.
    """

    def __init__(
        self, command: Command, received: socket.socket, pulse: Pulse, context: ChildContext
    ) -> None:
        """Take the socket, non-blocking."""
        self.command = command
        self._socket = received
        self._pulse = pulse
        self._context = context
        self._status: str | None = None

    async def listen(self, leader: int) -> None:
        """Pass on what the child says, until cancelled.

        Args:
            leader: the pid of its own process.
        """
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            self._pass_on(self._batch(leader))
            await trio.sleep(BATCH_SECONDS)

    def _pass_on(self, said: Said) -> None:
        if said.fed:
            self._pulse.fed = trio.current_time()
        if said.triggered:
            self._pulse.triggered = True
        if said.status is not None and said.status != self._status:
            self._status = said.status
            self._context.report(status=said.status)
        if said.ready is False:
            self._context.report(stopping=True)
        if said.ready is not None:
            self._context.ready(is_ready=said.ready)

    def _batch(self, leader: int) -> Said:
        said = Said()
        senders = dict[int, bool]()
        for _ in range(BATCH):
            try:
                message, ancillary, flags, _address = self._socket.recvmsg(
                    MESSAGE_BYTES, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            sender = _sender(ancillary)
            if sender not in senders:
                senders[sender] = current_host().has(leader, sender)
            if senders[sender] and not flags & socket.MSG_TRUNC:
                said = said.then(said_by(message))
        return said


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the pid of who sent a message, 0 if it is none of ours to see; close what it sent."""
    sender = 0
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors = array.array("i")
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            for descriptor in descriptors:
                os.close(descriptor)
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            sender = _CREDENTIALS.unpack(data)[0]
    return sender


@asynccontextmanager
async def listener(
    command: Command, notify: Notify, context: ChildContext
) -> AsyncIterator[Listener]:
    """Have a socket for the next process that runs ``command``, for the length of the block.

    Raises:
        CannotRun: it could not be made.
    """
    # In the spawner's thread: names of users may have to be looked up.
    place = await current_host().spawner.run(lambda: _Place.made_for(command))
    try:
        if notify.says_ready:
            context.ready(is_ready=False)
        told = attrs.evolve(command, env={**command.env, **notify.variables(str(place.path))})
        with _pulse_of(context.path) as pulse:
            yield Listener(told, place.socket, pulse, context)
    finally:
        place.remove()


@contextmanager
def _pulse_of(child: str) -> Iterator[Pulse]:
    pulses = _current_pulses()
    pulse = pulses[child] = Pulse()
    try:
        yield pulse
    finally:
        if pulses.get(child) is pulse:
            del pulses[child]


@attrs.frozen
class _Place:
    """A socket and its directory."""

    path: Path
    socket: socket.socket

    @classmethod
    def made_for(cls, command: Command) -> _Place:
        """Make a socket that only the user who will run the command can reach."""
        identity = identity_of(command)
        try:
            folder = Path(tempfile.mkdtemp(prefix="a2a-sup-", dir=_folder(identity)))
        except OSError as exc:
            raise CannotRun(f"NOTIFY_SOCKET: {_reason(exc)}") from exc
        place = cls(folder / "notify", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        try:
            place.socket.settimeout(0)
            place.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            place.socket.bind(str(place.path))
            place.path.chmod(0o600)
            if identity:
                # The directory stays ours, so that what is removed at the end is this one.
                os.chown(place.path, identity["user"], identity["group"])
                os.chown(folder, -1, identity["group"])
                folder.chmod(0o710)
        except OSError as exc:
            place.remove()
            raise CannotRun(f"NOTIFY_SOCKET in {folder}: {_reason(exc)}") from exc
        return place

    def remove(self) -> None:
        self.socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def _reason(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else str(error)


def _folder(identity: object) -> str:
    """Return where to make the directory: the user's own runtime directory, if the child may."""
    folders = [tempfile.gettempdir(), "/tmp"]  # noqa: S108 - mkdtemp is safe in it
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and not identity and os.access(runtime, os.W_OK | os.X_OK):
        folders.insert(0, runtime)
    longest = PATH_BYTES - len("/a2a-sup-12345678/notify")
    return next((each for each in folders if len(os.fsencode(each)) <= longest), folders[-1])
