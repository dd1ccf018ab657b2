"""Every exception of the package: one root, small families.

Three families:

- what a caller did: :class:`SpecError` and the :class:`CallError` classes;
- what became of a tree: :class:`StartFailed` and :class:`GaveUp`;
- how a child may end on purpose: the :class:`ChildExit` classes, raised by children.
"""

from __future__ import annotations

from collections.abc import Iterable


class A2ASupError(Exception):
    """The root of this package's exceptions. Never raised itself."""


# --- a specification ---------------------------------------------------------------------------


class SpecError(A2ASupError, ValueError):
    """A specification is not valid. Raised before anything starts; nothing was changed.

    Attributes:
        problems: one line per mistake: where it is, what was found, what is allowed.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        """Take one problem, or several."""
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


# --- calls into a running tree -------------------------------------------------------------------


class CallError(A2ASupError):
    """A call into a running tree was refused or failed; the tree is as it was.

    Attributes:
        path: the child or supervisor that the call named.
    """

    def __init__(self, path: str, message: str) -> None:
        """Name the place and say what is wrong there."""
        self.path = path
        super().__init__(f"{path or 'the root'}: {message}")


class NoSuchChild(CallError):
    """No child has this path (OTP: ``not_found``). Look the path up in a snapshot."""


class NoSuchSupervisor(CallError):
    """The path leads to no running supervisor (OTP: ``noproc``): it ended, or is not one."""


class SupervisorEnded(CallError):
    """The supervisor ended while the call was waiting for its answer."""


class AlreadyStarted(CallError):
    """``start_child``: a child of this name is alive."""


class AlreadyPresent(CallError):
    """``start_child``: a child of this name exists and is not running.

    Use ``restart_child`` to run it again, or ``delete_child`` first to put another in its place.
    """


class ChildRunning(CallError):
    """``restart_child`` or ``delete_child``: the child is alive. Terminate it first."""


class ChildRestarting(CallError):
    """``restart_child`` or ``delete_child``: the tree is about to restart the child by itself."""


class TooManyChildren(CallError):
    """``start_child``: the dynamic supervisor has ``max_children`` already."""


class NotSupported(CallError):
    """The call does not exist for this kind of supervisor (OTP: ``simple_one_for_one``)."""


class WouldDeadlock(CallError):
    """A child called the supervisor that is waiting for this very child to start, or to stop.

    In its start: acknowledge first (``task_status.started()``), then call.
    """


class ChildStuck(CallError):
    """The child was cancelled and is still there: Trio cannot kill a task.

    The tree goes on without it. Its stack is in the ``child.stuck`` event.
    """


class TreeEnded(A2ASupError):
    """The tree ended before what was waited for, or a thread called after its Trio run."""


class CheckFailed(A2ASupError):
    """Raised by the check of a probe: the child did not pass, and the message says why."""


class NoSuchAgent(A2ASupError, LookupError):
    """No agent of a registry has this identifier.

    Attributes:
        agent_id: the identifier.
    """

    def __init__(self, agent_id: str) -> None:
        """Name the agent."""
        self.agent_id = agent_id
        super().__init__(f"there is no agent {agent_id!r}")


# --- what became of a tree -----------------------------------------------------------------------


class ChildExit(A2ASupError):
    """A child ends on purpose and says how. The base of what a child may raise to do so.

    Attributes:
        kind: the name of the reason, one of :class:`a2a_sup.ReasonKind`.
        exit_status: of a process, as in :mod:`subprocess` (negative: ended by that signal).
        last_output: of a process, the last lines that it printed.
    """

    kind: str = "crashed"
    exit_status: int | None = None
    last_output: tuple[str, ...] = ()


class IgnoreStart(ChildExit):
    """Raised by a child before it acknowledged: "do not run me, and that is no mistake".

    OTP's ``ignore``: the child is kept, not running; a temporary or dynamic one is dropped.
    Raised after the acknowledgment it is a crash.
    """


class ShutdownExit(ChildExit):
    """Raised by a child to end like OTP's ``shutdown``: a benign end, as a return is."""

    kind = "shutdown"


class CannotListen(ChildExit):
    """Raised by a service at its start: its address is taken, or its path cannot be used.

    Attributes:
        place: the address or path.
    """

    kind = "start_failed"

    def __init__(self, place: str, reason: str, hint: str) -> None:
        """Name the place, why it cannot be had, and what to do."""
        self.place = place
        super().__init__(f"cannot listen on {place}: {reason}; {hint}")


class StartFailed(ChildExit):
    """A child did not start: it raised, or ended, or was late, before it acknowledged.

    Raised by ``start_child`` and ``restart_child``, and by ``open_tree`` when a child fails while
    the tree boots. ``__cause__`` is what the child raised.

    Attributes:
        path: the child that failed.
    """

    kind = "start_failed"

    def __init__(self, path: str, message: str) -> None:
        """Name the child and say why it did not start."""
        self.path = path
        super().__init__(f"{path} did not start: {message}")


class GaveUp(ShutdownExit):
    """A supervisor stopped its children and ended: too many restarts, or a budget exhausted.

    A parent supervisor sees a ``shutdown`` end, as in OTP. At the root it is raised by
    ``open_tree`` and ``run_tree``, with the last crash as ``__cause__``.

    Attributes:
        path: the supervisor that gave up; empty for the root.
        child: the path of the child whose end was one too many.
    """

    def __init__(self, path: str, child: str, message: str) -> None:
        """Name the supervisor, the child and the limit that was exceeded."""
        self.path = path
        self.child = child
        super().__init__(f"{path or 'the root'} gave up: {message}")
