"""What watchers are told, and what they are answered: the messages of the dashboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import trio

from a2a_sup.model.agents import agent_to_json
from a2a_sup.registry import (
    AgentDeployed,
    AgentEvent,
    AgentEventsDropped,
    AgentRegistry,
    AgentRemoved,
)
from a2a_sup.serve.changes import Changes
from a2a_sup.serve.frames import message
from a2a_sup.serve.measures import dashboard_metrics
from a2a_sup.serve.servers import status_to_json
from a2a_sup.serve.watcher import Watcher
from a2a_sup.tree.handle import TreeHandle

BATCH = 150
"""Frames that are offered before other tasks have a turn: about a millisecond."""
SHOWN = 80
"""Characters of a wrong message that are shown to whom sent it."""


class Feed:
    """One task that tells all watchers, and the answers to each.

    Attributes:
        watchers: who is told; whoever owns them adds and removes them.
    """

    def __init__(
        self,
        tree: TreeHandle,
        registry: AgentRegistry,
        watchers: dict[Watcher, None],
        *,
        metrics_interval: float,
        coalesce: float,
        loop_lag: Callable[[], float] | None = None,
    ) -> None:
        """Begin with the tree as it is. See ``Limits`` for the times."""
        self.watchers = watchers
        self.changes = Changes(tree)
        self._registry = registry
        self._agent_events = registry.events()
        self._agents_frame: bytes | None = None
        self._metrics_interval = metrics_interval
        self._coalesce = coalesce
        self._loop_lag = loop_lag
        self._told = self.changes.head
        self._offered = 0
        self._handlers: dict[str, Callable[[Watcher], None]] = {
            "subscribe": lambda watcher: watcher.tell("subscribed", message("subscribed")),
            "request_metrics": self.tell_metrics,
            "request_agents": lambda watcher: watcher.tell("agents:list", self._agents()),
            "request_tree": Watcher.begin_anew,
            "request_events": Watcher.begin_timeline,
        }

    # --- to one ---------------------------------------------------------------------------------

    def tell_metrics(self, watcher: Watcher) -> None:
        """Tell one watcher how things are."""
        watcher.tell("metrics:update", self._metrics())

    def answer(self, watcher: Watcher, given: str | bytes) -> None:
        """Answer a message of a watcher; a wrong one by what is wrong with it."""
        kind, problem = _kind_of(given)
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(watcher)
        else:
            allowed = ", ".join(self._handlers)
            problem = problem or f"unknown type {kind[:SHOWN]!r}; allowed: {allowed}"
            watcher.tell("error", message("error", {"message": problem}))

    # --- to all ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell all watchers what is new, until cancelled."""
        next_metrics = trio.current_time() + self._metrics_interval
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.changes.watch)
            nursery.start_soon(self._notice_agents)
            while True:
                with trio.move_on_at(next_metrics):
                    await self.changes.wait()
                await self._tell_news()
                if trio.current_time() >= next_metrics:
                    next_metrics = trio.current_time() + self._metrics_interval
                    if self.watchers:
                        await self._tell_all("metrics:update", self._metrics())
                # What happens meanwhile is told together.
                await trio.sleep(self._coalesce)

    async def _notice_agents(self) -> None:
        async for event in self._agent_events:
            self._agents_frame = None
            for each in (event, *self._agent_events.drain()):
                await self._tell_agent(each)

    async def _tell_news(self) -> None:
        changes = self.changes
        changes.take_news()
        begin, end = self._told, changes.head
        self._told = end
        states, events = changes.take_states(), changes.take_timeline()
        if begin != end and any(watcher.revision is not None for watcher in self.watchers):
            delta = changes.delta_frame(begin)
            await self._each(lambda watcher: watcher.tell_tree(begin, end, delta))
        for path, state in states.items() if self.watchers else ():
            frame = message("server:status", status_to_json(path, state))
            await self._tell_all(f"server:status {path}", frame)
        if events and any(watcher.wants_events for watcher in self.watchers):
            frame = changes.timeline_frame(events)
            await self._each(lambda watcher: watcher.tell_events(frame))

    async def _tell_agent(self, event: AgentEvent | AgentEventsDropped) -> None:
        match event:
            case AgentEventsDropped():
                await self._tell_all("agents:list", self._agents())
            case AgentRemoved(agent_id):
                frame = message("agent:removed", {"agentId": agent_id})
                await self._tell_all(f"agent {agent_id}", frame)
            case _:
                agent = event.agent
                kind = "agent:deployed" if isinstance(event, AgentDeployed) else "agent:updated"
                frame = message(kind, {"agentId": agent.id, "agent": agent_to_json(agent)})
                await self._tell_all(f"agent {agent.id}", frame)

    async def _tell_all(self, subject: str, frame: bytes) -> None:
        await self._each(lambda watcher: watcher.tell(subject, frame))

    async def _each(self, tell: Callable[[Watcher], None]) -> None:
        # Counted over calls: many frames for few watchers are as much work as one for many.
        for watcher in tuple(self.watchers):
            tell(watcher)
            self._offered += 1
            if self._offered % BATCH == 0:
                await trio.lowlevel.checkpoint()

    # --- frames ---------------------------------------------------------------------------------

    def _metrics(self) -> bytes:
        self.changes.read()
        streams = sum(_is_streaming(watcher) for watcher in self.watchers)
        numbers = dashboard_metrics(
            self._registry,
            self.changes.servers,
            watchers=len(self.watchers),
            streams=streams,
            loop_lag=self._loop_lag,
        )
        return message("metrics:update", numbers)

    def _agents(self) -> bytes:
        if self._agents_frame is None or self._agent_events.is_pending:
            shown = [agent_to_json(agent) for agent in self._registry]
            self._agents_frame = message("agents:list", shown)
        return self._agents_frame


def _is_streaming(watcher: Watcher) -> bool:
    return watcher.revision is not None or watcher.wants_events


def _kind_of(given: str | bytes) -> tuple[str, str]:
    """Return the type of a message, or "" and what is wrong with it."""
    if isinstance(given, bytes):
        return "", "found a binary message; allowed: JSON as text"
    try:
        body: Any = json.loads(given)
    except (ValueError, RecursionError):
        return "", f"found {given[:SHOWN]!r}, which is no JSON"
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        return "", 'found no type; allowed: an object such as {"type": "request_metrics"}'
    return body["type"], ""
