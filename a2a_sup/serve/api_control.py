"""What the API shows and does, for all its doors; nothing of it speaks HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio

from a2a_sup.children.logs import ChildLog
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_commands import Commands, Decided
from a2a_sup.serve.api_jobs import Job
from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.authority import Authority
from a2a_sup.serve.event_log import EventLog
from a2a_sup.tree.handle import TreeHandle

Json: TypeAlias = dict[str, Any]
Reload: TypeAlias = Callable[[bool], Awaitable[Json]]
"""Applies the changed file, or with True only says what that would change."""
Scale: TypeAlias = Callable[[str, int], Awaitable[Json]]
"""Has so many copies of the child at a path."""


class Control:
    """One tree under control. There is one for all doors: commands take turns across them.

    Make it in the Trio run.

    Attributes:
        tree: what is shown and commanded.
        authority: the rules for callers.
        logs: returns the log of a child, if it has one: ``current_host().logs.get``.
        registry: the agents; None: there is no such resource.
        reload: None: there is no such resource.
        scale: None: there is no such resource.
        commands: start, stop, restart.
        events: those that were lately.
    """

    def __init__(
        self,
        tree: TreeHandle,
        authority: Authority,
        *,
        logs: Callable[[str], ChildLog | None],
        registry: AgentRegistry | None = None,
        reload: Reload | None = None,
        scale: Scale | None = None,
        events: EventLog | None = None,
        decided: Decided = lambda _verb, _path: None,
    ) -> None:
        """Take what there is.

        ``events`` are those that were lately; None: those from now on. ``decided`` is told of each
        command when it begins: what an operator decided may have to outlive the supervisor.
        """
        self.tree = tree
        self.authority = authority
        self.logs = logs
        self.registry = registry
        self.reload = reload
        self.scale = scale
        self.commands = Commands(tree, decided)
        self.events = EventLog(tree) if events is None else events
        self._reloading = trio.Lock()

    async def reloaded(self, plan_only: bool) -> Json:  # noqa: FBT001 - only handed on
        """Apply the changed file, one reload after the other; it goes on if nobody waits.

        Raises what ``reload`` raises.
        """
        return await Job(lambda: self._reload_in_turn(plan_only)).result()

    async def _reload_in_turn(self, plan_only: bool) -> Json:  # noqa: FBT001 - only handed on
        if self.reload is None:
            raise Problem("no-such-resource", "this supervisor has no file to reload")
        async with self._reloading:
            return await self.reload(plan_only)

    async def scaled(self, path: str, copies: int) -> Json:
        """Have so many copies of a child; it goes on if nobody waits.

        Raises what ``scale`` raises.
        """
        return await Job(lambda: self._scale_in_turn(path, copies)).result()

    async def _scale_in_turn(self, path: str, copies: int) -> Json:
        if self.scale is None:
            raise Problem("no-such-resource", "this supervisor has no file that gives replicas")
        async with self._reloading:
            return await self.scale(path, copies)
