"""Erlang's supervision trees for Trio, and a supervisor that keeps real servers alive.

These are the names for a program that embeds a tree. Helpers for tests are in
``a2a_sup.testing``.

A name is imported when it is first used (PEP 562): the commands that only talk to a running
supervisor need none of them, and are quick without Trio.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a2a_sup.children.logs import LogFiles as LogFiles
    from a2a_sup.children.mcp import mcp_server as mcp_server
    from a2a_sup.children.partition import partition_of as partition_of
    from a2a_sup.children.partition import partition_supervisor as partition_supervisor
    from a2a_sup.children.process import ProcessExited as ProcessExited
    from a2a_sup.children.process import process as process
    from a2a_sup.children.schedule import scheduled as scheduled
    from a2a_sup.children.spawning import CannotRun as CannotRun
    from a2a_sup.children.supervisor import dynamic_supervisor as dynamic_supervisor
    from a2a_sup.children.supervisor import supervisor as supervisor
    from a2a_sup.children.task import task as task
    from a2a_sup.errors import A2ASupError as A2ASupError
    from a2a_sup.errors import AlreadyPresent as AlreadyPresent
    from a2a_sup.errors import AlreadyStarted as AlreadyStarted
    from a2a_sup.errors import CallError as CallError
    from a2a_sup.errors import CheckFailed as CheckFailed
    from a2a_sup.errors import ChildExit as ChildExit
    from a2a_sup.errors import ChildRestarting as ChildRestarting
    from a2a_sup.errors import ChildRunning as ChildRunning
    from a2a_sup.errors import ChildStuck as ChildStuck
    from a2a_sup.errors import GaveUp as GaveUp
    from a2a_sup.errors import IgnoreStart as IgnoreStart
    from a2a_sup.errors import NoSuchChild as NoSuchChild
    from a2a_sup.errors import NoSuchSupervisor as NoSuchSupervisor
    from a2a_sup.errors import NotSupported as NotSupported
    from a2a_sup.errors import ShutdownExit as ShutdownExit
    from a2a_sup.errors import SpecError as SpecError
    from a2a_sup.errors import StartFailed as StartFailed
    from a2a_sup.errors import SupervisorEnded as SupervisorEnded
    from a2a_sup.errors import TooManyChildren as TooManyChildren
    from a2a_sup.errors import TreeEnded as TreeEnded
    from a2a_sup.errors import WouldDeadlock as WouldDeadlock
    from a2a_sup.model import events as events
    from a2a_sup.model.health import Probe as Probe
    from a2a_sup.model.health import ProbeResult as ProbeResult
    from a2a_sup.model.health import ProbeSnapshot as ProbeSnapshot
    from a2a_sup.model.reasons import Reason as Reason
    from a2a_sup.model.reasons import ReasonKind as ReasonKind
    from a2a_sup.model.restarts import NO_BACKOFF as NO_BACKOFF
    from a2a_sup.model.restarts import OTP as OTP
    from a2a_sup.model.restarts import Backoff as Backoff
    from a2a_sup.model.restarts import Restart as Restart
    from a2a_sup.model.snapshot import ChildSnapshot as ChildSnapshot
    from a2a_sup.model.snapshot import SupervisorSnapshot as SupervisorSnapshot
    from a2a_sup.model.snapshot import TreeSnapshot as TreeSnapshot
    from a2a_sup.model.spec import ChildContext as ChildContext
    from a2a_sup.model.spec import ChildSpec as ChildSpec
    from a2a_sup.model.spec import SupervisorSpec as SupervisorSpec
    from a2a_sup.model.states import State as State
    from a2a_sup.tree.bus import Subscription as Subscription
    from a2a_sup.tree.calls import ChildCounts as ChildCounts
    from a2a_sup.tree.calls import ChildRef as ChildRef
    from a2a_sup.tree.handle import TreeHandle as TreeHandle
    from a2a_sup.tree.handle import open_tree as open_tree
    from a2a_sup.tree.handle import run_tree as run_tree

_HOMES = {
    "a2a_sup.children.logs": ("LogFiles",),
    "a2a_sup.children.mcp": ("mcp_server",),
    "a2a_sup.children.partition": ("partition_of", "partition_supervisor"),
    "a2a_sup.children.process": ("ProcessExited", "process"),
    "a2a_sup.children.schedule": ("scheduled",),
    "a2a_sup.children.spawning": ("CannotRun",),
    "a2a_sup.children.supervisor": ("dynamic_supervisor", "supervisor"),
    "a2a_sup.children.task": ("task",),
    "a2a_sup.errors": (
        "A2ASupError",
        "AlreadyPresent",
        "AlreadyStarted",
        "CallError",
        "CheckFailed",
        "ChildExit",
        "ChildRestarting",
        "ChildRunning",
        "ChildStuck",
        "GaveUp",
        "IgnoreStart",
        "NoSuchChild",
        "NoSuchSupervisor",
        "NotSupported",
        "ShutdownExit",
        "SpecError",
        "StartFailed",
        "SupervisorEnded",
        "TooManyChildren",
        "TreeEnded",
        "WouldDeadlock",
    ),
    "a2a_sup.model": ("events",),
    "a2a_sup.model.health": ("Probe", "ProbeResult", "ProbeSnapshot"),
    "a2a_sup.model.reasons": ("Reason", "ReasonKind"),
    "a2a_sup.model.restarts": ("NO_BACKOFF", "OTP", "Backoff", "Restart"),
    "a2a_sup.model.snapshot": ("ChildSnapshot", "SupervisorSnapshot", "TreeSnapshot"),
    "a2a_sup.model.spec": ("ChildContext", "ChildSpec", "SupervisorSpec"),
    "a2a_sup.model.states": ("State",),
    "a2a_sup.tree.bus": ("Subscription",),
    "a2a_sup.tree.calls": ("ChildCounts", "ChildRef"),
    "a2a_sup.tree.handle": ("TreeHandle", "open_tree", "run_tree"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Return a public name, imported now."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOME_OF[name])
    if not hasattr(home, name):
        import_module(f"{home.__name__}.{name}")  # it is a module itself
    found: object = getattr(home, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
