"""Erlang's supervision trees for Trio, and a supervisor that keeps real servers alive.

These are the names for a program that embeds a tree. Helpers for tests are in
``a2a_sup.testing``.
"""

from a2a_sup.children.logs import LogFiles as LogFiles
from a2a_sup.children.mcp import mcp_server as mcp_server
from a2a_sup.children.partition import partition_of as partition_of
from a2a_sup.children.partition import partition_supervisor as partition_supervisor
from a2a_sup.children.process import ProcessExited as ProcessExited
from a2a_sup.children.process import process as process
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
