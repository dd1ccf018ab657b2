"""Why a child ended: plain bounded data that keeps no exception and no frame alive."""

from __future__ import annotations

import linecache
from enum import StrEnum
from types import CodeType, TracebackType

import attrs

from a2a_sup.errors import ChildExit

MESSAGE_LIMIT = 2_000
"""Characters kept of an exception's message."""
FRAME_LIMIT = 24
"""Frames kept of a traceback: the innermost ones."""
CAUSE_LIMIT = 4
"""Causes, contexts and members of groups kept for one exception."""
FRAMES_REMEMBERED = 1_000
"""Frames that are not made again: what crashes again does so at the same place."""


class ReasonKind(StrEnum):
    """The class of an end. The first two are benign: OTP's ``normal`` and ``shutdown``."""

    NORMAL = "normal"
    """The function returned; a process exited with a status that means success."""
    SHUTDOWN = "shutdown"
    """It was asked to stop and did, or it raised ``ShutdownExit``, or a supervisor gave up."""
    CRASHED = "crashed"
    """It raised; a process exited with any other status."""
    KILLED = "killed"
    """Ended by force: its grace ran out, or a signal killed the process."""
    OUT_OF_MEMORY = "out_of_memory"
    """The kernel killed the process, because its control group reached its memory limit."""
    START_FAILED = "start_failed"
    """It ended, raised or was late before it acknowledged its start."""
    UNHEALTHY = "unhealthy"
    """Its liveness probe failed too often."""


BENIGN = frozenset({ReasonKind.NORMAL, ReasonKind.SHUTDOWN})


@attrs.frozen
class Frame:
    """One line of a traceback."""

    file: str
    line: int
    function: str


@attrs.frozen
class Crash:
    """An exception as data: bounded, and free of references to it."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    causes: tuple[Crash, ...] = ()

    def lines(self, indent: str = "") -> list[str]:
        """Return the traceback as lines; source lines are looked up now."""
        out: list[str] = []
        for frame in self.frames:
            out.append(f"{indent}  {frame.file}:{frame.line} in {frame.function}")
            source = linecache.getline(frame.file, frame.line).strip()
            if source:
                out.append(f"{indent}    {source[:200]}")
        out.append(f"{indent}{self.summary}")
        for cause in self.causes:
            out.append(f"{indent}  from")
            out.extend(cause.lines(indent + "  "))
        return out

    @property
    def summary(self) -> str:
        """``Type: message`` on one line."""
        return f"{self.type}: {self.message}" if self.message else self.type


@attrs.frozen
class Reason:
    """How and why one incarnation ended.

    Attributes:
        kind: the class of the end.
        text: one line for people, at most ``MESSAGE_LIMIT`` characters.
        exit_status: of a process, as in :mod:`subprocess` (negative: ended by that signal).
        crash: the exception, if one was raised.
        last_output: of a process, the last lines that it printed; bounded by who raised.
    """

    kind: ReasonKind
    text: str = ""
    exit_status: int | None = None
    crash: Crash | None = None
    last_output: tuple[str, ...] = ()

    @property
    def benign(self) -> bool:
        """Whether a transient child may stay down after this end (OTP's benign exits)."""
        return self.kind in BENIGN

    @property
    def trace(self) -> str:
        """The traceback as text; empty if nothing was raised."""
        return "\n".join(self.crash.lines()) if self.crash else ""

    def __str__(self) -> str:
        """``kind: text``."""
        return f"{self.kind}: {self.text}" if self.text else str(self.kind)


NORMAL = Reason(ReasonKind.NORMAL)
SHUTDOWN = Reason(ReasonKind.SHUTDOWN)


def message_of(error: BaseException, limit: int = MESSAGE_LIMIT) -> str:
    """Return ``str(error)``, cut to ``limit`` characters; never raises.

    The message belongs to whoever raised: its ``__str__`` may fail or return megabytes.
    """
    try:
        message = str(error)
    except Exception as exc:  # noqa: BLE001 - user code, any failure is only worth a remark
        return f"<its message could not be rendered: {type(exc).__name__}>"
    if len(message) > limit:
        return f"{message[:limit]}... ({len(message)} characters)"
    return message


def crash_of(error: BaseException) -> Crash:
    """Return ``error`` as bounded data: frames, message, and a few of its causes."""
    return _crash_of(error, CAUSE_LIMIT)


def _crash_of(error: BaseException, depth: int) -> Crash:
    return Crash(
        type(error).__qualname__,
        message_of(error),
        _frames_of(error.__traceback__),
        tuple([_crash_of(cause, depth - 1) for cause in _causes_of(error)]) if depth else (),
    )


def _causes_of(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    if isinstance(error, BaseExceptionGroup):
        causes.extend(error.exceptions[:CAUSE_LIMIT])
    if error.__cause__ is not None:
        causes.append(error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        causes.append(error.__context__)
    return causes


def _frames_of(tb: TracebackType | None) -> tuple[Frame, ...]:
    places: list[TracebackType] = []
    while tb is not None:
        places.append(tb)
        tb = tb.tb_next
    return tuple([_frame_of(place) for place in places[-FRAME_LIMIT:]])


# By the number of the code object, which is kept so that no other can come to have it: its hash
# would look at all that it is made of.
_frames: dict[tuple[int, int], tuple[CodeType, Frame]] = {}


def _frame_of(tb: TracebackType) -> Frame:
    """Return one line of a traceback. To find its number takes longer than all the rest."""
    code = tb.tb_frame.f_code
    place = id(code), tb.tb_lasti
    known = _frames.get(place)
    if known is None:
        if len(_frames) >= FRAMES_REMEMBERED:
            _frames.clear()
        known = code, Frame(code.co_filename, tb.tb_lineno, code.co_qualname)
        _frames[place] = known
    return known[1]


def reason_of(error: Exception) -> Reason:
    """Return why a child ended that raised ``error``."""
    if isinstance(error, ChildExit) and error.kind in ReasonKind.__members__.values():
        cause = error.__cause__
        return Reason(
            kind=ReasonKind(error.kind),
            text=_one_line(message_of(error)),
            exit_status=error.exit_status,
            crash=None if cause is None else crash_of(cause),
            last_output=error.last_output,
        )
    crash = crash_of(error)
    return Reason(ReasonKind.CRASHED, _one_line(crash.summary), crash=crash)


def _one_line(text: str) -> str:
    return text.split("\n", 1)[0]
