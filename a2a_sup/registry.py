"""A registry of agents: what there is to ask, found by category, tag or text, watched by events.

All methods are for one thread, or for tasks of one Trio run: none of them waits.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

import attrs
import trio

from a2a_sup.errors import NoSuchAgent, SpecError
from a2a_sup.model.agents import Agent, agent_of, agent_to_json

Json: TypeAlias = dict[str, Any]


@attrs.frozen
class AgentDeployed:
    """An agent is new, or another was put in its place."""

    type: ClassVar[str] = "agent.deployed"
    agent: Agent


@attrs.frozen
class AgentUpdated:
    """An agent is described differently, or was enabled or disabled."""

    type: ClassVar[str] = "agent.updated"
    agent: Agent


@attrs.frozen
class AgentRemoved:
    """An agent is gone."""

    type: ClassVar[str] = "agent.removed"
    agent_id: str


@attrs.frozen
class AgentEventsDropped:
    """A subscriber was too slow: ``count`` events were dropped, the oldest first."""

    type: ClassVar[str] = "agent.events_dropped"
    count: int


AgentEvent: TypeAlias = AgentDeployed | AgentUpdated | AgentRemoved


@attrs.frozen
class AgentStats:
    """Numbers about a registry."""

    total: int
    enabled: int
    disabled: int
    categories: int
    tags: int


@attrs.frozen
class BatchResult:
    """What became of the agents that were deployed together.

    Attributes:
        deployed: those that are in the registry now.
        errors: for each of the others its place in the batch and its mistakes.
    """

    deployed: tuple[Agent, ...]
    errors: tuple[tuple[int, tuple[str, ...]], ...]

    def to_json(self) -> Json:
        """Return ``{"success": count, "failed": count, "errors": [text, ...]}``."""
        texts = [f"[{index}]: {'; '.join(problems)}" for index, problems in self.errors]
        return {"success": len(self.deployed), "failed": len(self.errors), "errors": texts}


class AgentRegistry:
    """The agents, in the order in which they were first deployed.

    An agent is given and shown in the form of :func:`a2a_sup.model.agents.agent_of`; what the
    registry holds is immutable, so nobody changes it but by these methods.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """Begin empty. ``wall_clock`` returns seconds since 1970."""
        self._wall_clock = wall_clock
        self._agents: dict[str, Agent] = {}
        # Dictionaries as sets that keep their order.
        self._by_category: dict[str, dict[str, None]] = {}
        self._by_tag: dict[str, dict[str, None]] = {}
        self._enabled = 0
        # Weak: a subscription that its owner dropped must not collect events for ever.
        self._subscriptions: weakref.WeakSet[AgentSubscription] = weakref.WeakSet()

    # --- changes --------------------------------------------------------------------------------

    def deploy(self, given: Mapping[str, Any] | Agent) -> Agent:
        """Add an agent, or put it in the place of the one with its ``id``.

        Raises:
            SpecError: with every mistake; nothing was changed.
        """
        agent = agent_of(agent_to_json(given) if isinstance(given, Agent) else given)
        now = int(self._wall_clock() * 1000)
        agent = attrs.evolve(agent, deployed_at=agent.deployed_at or now)
        self._put(agent)
        self._tell(AgentDeployed(agent))
        return agent

    def deploy_batch(self, given: Iterable[Mapping[str, Any] | Agent]) -> BatchResult:
        """Deploy those agents that are right, and say what is wrong with each of the others."""
        deployed: list[Agent] = []
        errors: list[tuple[int, tuple[str, ...]]] = []
        for index, each in enumerate(given):
            try:
                deployed.append(self.deploy(each))
            except SpecError as error:
                errors.append((index, error.problems))
        return BatchResult(tuple(deployed), tuple(errors))

    def update(self, agent_id: str, changes: Mapping[str, Any]) -> Agent:
        """Replace the keys of an agent that ``changes`` has; null takes an optional one away.

        Raises:
            NoSuchAgent: there is none with this ``id``.
            SpecError: with every mistake; nothing was changed.
        """
        before = self._existing(agent_id)
        if not isinstance(changes, Mapping):
            raise SpecError(f"changes of an agent are an object, not {type(changes).__name__}")
        if changes.get("id", agent_id) != agent_id:
            raise SpecError(f"agent.id: found {changes['id']!r:.80}; allowed: {agent_id!r}, as is")
        agent = agent_of({**agent_to_json(before), **changes})
        if agent != before:
            self._put(agent)
            self._tell(AgentUpdated(agent))
        return agent

    def enable(self, agent_id: str) -> Agent:
        """Enable an agent. Raises NoSuchAgent."""
        return self.update(agent_id, {"enabled": True})

    def disable(self, agent_id: str) -> Agent:
        """Disable an agent. Raises NoSuchAgent."""
        return self.update(agent_id, {"enabled": False})

    def remove(self, agent_id: str) -> Agent:
        """Remove an agent and return it. Raises NoSuchAgent."""
        agent = self._existing(agent_id)
        self._unlist(agent)
        del self._agents[agent_id]
        self._tell(AgentRemoved(agent_id))
        return agent

    # --- questions ------------------------------------------------------------------------------

    def get(self, agent_id: str) -> Agent | None:
        """Return the agent with this ``id``, or None."""
        return self._agents.get(agent_id)

    def list(
        self,
        *,
        enabled: bool | None = None,
        category: str | None = None,
        tags: Iterable[str] = (),
        search: str = "",
    ) -> tuple[Agent, ...]:
        """Return the agents that meet all conditions, in the order of the registry.

        Args:
            enabled: only those that are, or only those that are not.
            category: only those of this category.
            tags: only those that have at least one of these.
            search: only those with this text in their id, their name or the name of a capability;
                small and capital letters are alike.
        """
        wanted = tuple(tags)
        found: Iterable[Agent] = self._agents.values()
        if category is not None:
            # In the order of the registry: an update may have put it last into its index.
            members = self._by_category.get(category, {})
            found = [agent for agent in found if agent.id in members]
        if wanted:
            members = {each: None for tag in wanted for each in self._by_tag.get(tag, ())}
            found = [agent for agent in found if agent.id in members]
        text = search.casefold()
        return tuple(
            agent
            for agent in found
            if (enabled is None or agent.enabled is enabled) and (not text or _has(agent, text))
        )

    def categories(self) -> tuple[str, ...]:
        """Return the categories that agents have, sorted."""
        return tuple(sorted(self._by_category))

    def tags(self) -> tuple[str, ...]:
        """Return the tags that agents have, sorted."""
        return tuple(sorted(self._by_tag))

    def counts_by_category(self) -> dict[str, int]:
        """Return how many agents each category has."""
        return {name: len(self._by_category[name]) for name in self.categories()}

    def counts_by_tag(self) -> dict[str, int]:
        """Return how many agents each tag has."""
        return {name: len(self._by_tag[name]) for name in self.tags()}

    def stats(self) -> AgentStats:
        """Return the numbers."""
        total = len(self._agents)
        return AgentStats(
            total=total,
            enabled=self._enabled,
            disabled=total - self._enabled,
            categories=len(self._by_category),
            tags=len(self._by_tag),
        )

    def __len__(self) -> int:
        """Return how many agents there are."""
        return len(self._agents)

    def __iter__(self) -> Iterator[Agent]:
        """Yield the agents as they are now."""
        return iter(tuple(self._agents.values()))

    def __contains__(self, agent_id: object) -> bool:
        """Return whether there is an agent with this ``id``."""
        return agent_id in self._agents

    # --- watching -------------------------------------------------------------------------------

    def events(self, capacity: int = 1000) -> AgentSubscription:
        """Return an async iterator over all events from now on.

        It holds ``capacity`` events for a slow reader, then drops the oldest and says how many.
        """
        subscription = AgentSubscription(capacity)
        self._subscriptions.add(subscription)
        return subscription

    def _tell(self, event: AgentEvent) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.put(event)

    # --- indexes --------------------------------------------------------------------------------

    def _existing(self, agent_id: str) -> Agent:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise NoSuchAgent(agent_id)
        return agent

    def _put(self, agent: Agent) -> None:
        before = self._agents.get(agent.id)
        if before is not None:
            self._unlist(before)
        self._agents[agent.id] = agent
        self._enabled += agent.enabled
        if agent.category is not None:
            self._by_category.setdefault(agent.category, {})[agent.id] = None
        for tag in agent.tags:
            self._by_tag.setdefault(tag, {})[agent.id] = None

    def _unlist(self, agent: Agent) -> None:
        self._enabled -= agent.enabled
        if agent.category is not None:
            _take_out(self._by_category, agent.category, agent.id)
        for tag in agent.tags:
            _take_out(self._by_tag, tag, agent.id)


def _take_out(index: dict[str, dict[str, None]], key: str, agent_id: str) -> None:
    del index[key][agent_id]
    if not index[key]:
        del index[key]


def _has(agent: Agent, text: str) -> bool:
    names = (agent.id, agent.name, *(each.name for each in agent.capabilities))
    return any(text in name.casefold() for name in names)


class AgentSubscription:
    """An async iterator over events, for one task; also a context manager.

    It holds at most ``capacity`` events. When more arrive the oldest are dropped, and the next
    item is an :class:`AgentEventsDropped` with their number.
    """

    def __init__(self, capacity: int) -> None:
        """Begin empty. ``capacity`` is a number of events, at least 1."""
        if capacity < 1:
            raise ValueError(f"capacity is at least 1, not {capacity!r}")
        self._send, self._receive = trio.open_memory_channel[AgentEvent](capacity)
        self._dropped = 0
        self._held: AgentEvent | None = None

    @property
    def is_pending(self) -> bool:
        """Whether an event is held that was not read."""
        held = self._receive.statistics().current_buffer_used
        return bool(held or self._dropped or self._held is not None)

    def put(self, event: AgentEvent) -> None:
        """Take an event from the registry. Never waits."""
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._receive.receive_nowait()
            self._dropped += 1
            self._send.send_nowait(event)
        except trio.ClosedResourceError:
            return

    def drain(self) -> list[AgentEvent | AgentEventsDropped]:
        """Return what is held now, without waiting."""
        held: list[AgentEvent | AgentEventsDropped] = []
        if self._dropped:
            held.append(AgentEventsDropped(self._dropped))
            self._dropped = 0
        if self._held is not None:
            held.append(self._held)
            self._held = None
        while True:
            try:
                held.append(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                return held

    def close(self) -> None:
        """Take no more events and forget what is held; iteration stops."""
        self._dropped = 0
        self._held = None
        self._send.close()
        self._receive.close()

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> AgentEvent | AgentEventsDropped:
        """Return the next event, waiting for one if none is held."""
        if self._held is None:
            try:
                self._held = await self._receive.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                raise StopAsyncIteration from None
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return AgentEventsDropped(dropped)
        event, self._held = self._held, None
        return event

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
