"""A registry of agents, against a naive model, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from a2a_sup.errors import NoSuchAgent, SpecError
from a2a_sup.model.agents import TEXT_LIMIT, Agent, agent_of, agent_to_json
from a2a_sup.registry import (
    AgentDeployed,
    AgentEventsDropped,
    AgentRegistry,
    AgentRemoved,
    AgentUpdated,
)


def described(agent_id: str = "echo", **more: Any) -> dict[str, Any]:
    return {"id": agent_id, "name": "Echo", "version": "1.0.0", "capabilities": [], **more}


# --- what it refuses ---------------------------------------------------------------------------


def test_nothing_is_no_agent_and_every_missing_key_is_named() -> None:
    registry = AgentRegistry()
    with pytest.raises(SpecError) as caught:
        registry.deploy({})
    assert caught.value.problems == (
        "agent.id: missing",
        "agent.name: missing",
        "agent.version: missing",
        "agent.capabilities: missing",
    )
    assert len(registry) == 0


def test_every_mistake_is_named_with_its_place_and_what_is_allowed() -> None:
    capability = {"name": 7, "inputSchema": [], "outputSchema": {"a": {1, 2}}, "input": {}}
    with pytest.raises(SpecError) as caught:
        agent_of(
            {
                "id": " ",
                "name": "x" * (TEXT_LIMIT + 1),
                "version": None,
                "capabilities": [capability, 3],
                "tags": "mcp",
                "category": 1,
                "enabled": "yes",
                "deployedAt": -1,
                "config": {1: 2},
                "capability": [],
            }
        )
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "agent.version",
        "agent.id",
        "agent.name",
        "agent.capabilities[0].name",
        "agent.capabilities[0].inputSchema",
        "agent.capabilities[0].outputSchema",
        "agent.capabilities[0]",
        "agent.capabilities[1]",
        "agent.tags",
        "agent.category",
        "agent.enabled",
        "agent.deployedAt",
        "agent.config",
        "agent",
    ]
    assert all("allowed" in problem or "missing" in problem for problem in caught.value.problems)
    assert "did you mean 'capabilities'?" in caught.value.problems[-1]


@pytest.mark.parametrize("given", [None, 3, "echo", [], ["id"]])
def test_what_is_no_object_is_no_agent(given: Any) -> None:
    with pytest.raises(SpecError, match="an agent is an object"):
        AgentRegistry().deploy(given)


def test_two_capabilities_of_one_name_and_too_much_are_refused() -> None:
    twice = described(capabilities=[{"name": "chat"}, {"name": "chat"}])
    with pytest.raises(SpecError, match="two capabilities have the name 'chat'"):
        agent_of(twice)
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"deeper": deep}
    with pytest.raises(SpecError, match=r"agent\.config"):
        agent_of(described(config=deep))
    with pytest.raises(SpecError, match="characters of JSON"):
        agent_of(described(config={"text": "x" * 300_000}))


def test_a_batch_with_bad_agents_deploys_the_others_and_reports_each() -> None:
    registry = AgentRegistry()
    result = registry.deploy_batch([described("a"), None, described("b"), {"id": "c"}])  # type: ignore[list-item]
    assert [agent.id for agent in result.deployed] == ["a", "b"]
    assert [index for index, _ in result.errors] == [1, 3]
    shown = result.to_json()
    assert (shown["success"], shown["failed"], len(shown["errors"])) == (2, 2, 2)
    assert [agent.id for agent in registry] == ["a", "b"]


def test_calls_about_an_agent_that_is_not_there() -> None:
    registry = AgentRegistry()
    assert registry.get("echo") is None
    for call in (registry.enable, registry.disable, registry.remove):
        with pytest.raises(NoSuchAgent, match="there is no agent 'echo'"):
            call("echo")
    with pytest.raises(NoSuchAgent):
        registry.update("echo", {})


def test_an_update_cannot_change_the_id_nor_break_the_agent() -> None:
    registry = AgentRegistry()
    before = registry.deploy(described())
    with pytest.raises(SpecError, match=r"agent\.id"):
        registry.update("echo", {"id": "other"})
    with pytest.raises(SpecError, match=r"agent\.name: missing"):
        registry.update("echo", {"name": None})
    with pytest.raises(SpecError, match="an object"):
        registry.update("echo", [])  # type: ignore[arg-type]
    assert registry.get("echo") == before
    assert registry.update("echo", {"id": "echo", "tags": ["new"]}).tags == ("new",)


# --- what it holds -----------------------------------------------------------------------------


def test_an_agent_keeps_its_json_form() -> None:
    given = described(
        tags=["a", "b"],
        category="utility",
        enabled=False,
        deployedAt=1_700_000_000_000,
        config={"depth": [1, {"two": None}]},
        capabilities=[
            {
                "name": "chat",
                "inputSchema": {"type": "object"},
                "outputSchema": {"type": "object", "required": ["text"]},
                "description": "talks",
            }
        ],
    )
    agent = AgentRegistry().deploy(given)
    assert agent_to_json(agent) == given
    assert agent_of(agent_to_json(agent)) == agent
    json.dumps(agent_to_json(agent))


def test_neither_what_was_given_nor_what_is_shown_changes_what_is_held() -> None:
    registry = AgentRegistry(wall_clock=lambda: 12.5)
    given = described(config={"list": [1]}, capabilities=[{"name": "chat", "inputSchema": {}}])
    agent = registry.deploy(given)
    assert agent.deployed_at == 12_500
    given["config"]["list"].append(2)
    given["capabilities"][0]["inputSchema"]["type"] = "object"
    agent_to_json(agent)["config"]["list"].append(3)
    held = registry.get("echo")
    assert held is not None
    assert agent_to_json(held)["config"] == {"list": [1]}
    assert dict(held.capabilities[0].input_schema) == {}
    with pytest.raises(TypeError):
        held.config["list"] = ()  # type: ignore[index]


def test_a_search_is_case_blind_and_looks_at_ids_names_and_capabilities() -> None:
    registry = AgentRegistry()
    registry.deploy(described("pipeline/Loader"))
    registry.deploy({**described("two"), "name": "The LOADER"})
    registry.deploy(described("three", capabilities=[{"name": "reLOAD"}]))
    registry.deploy(described("four", tags=["load"], category="load"))
    assert [agent.id for agent in registry.list(search="load")] == [
        "pipeline/Loader",
        "two",
        "three",
    ]
    assert [agent.id for agent in registry.list(search="loader", enabled=True)] == [
        "pipeline/Loader",
        "two",
    ]
    assert registry.list(search="load", enabled=False) == ()


# --- events ------------------------------------------------------------------------------------


async def test_events_tell_each_change_once_and_in_order() -> None:
    registry = AgentRegistry(wall_clock=lambda: 1)
    with registry.events() as events:
        agent = registry.deploy(described())
        registry.update("echo", {"name": "Echo"})  # which it is already
        off = registry.disable("echo")
        registry.remove("echo")
        assert [await anext(events) for _ in range(3)] == [
            AgentDeployed(agent),
            AgentUpdated(off),
            AgentRemoved("echo"),
        ]
        assert events.drain() == []
    registry.deploy(described())
    assert [event async for event in events] == []


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    registry = AgentRegistry(wall_clock=lambda: 1)
    drained, read = registry.events(capacity=2), registry.events(capacity=2)
    agents = [registry.deploy(described(str(number))) for number in range(5)]
    kept = [AgentDeployed(agent) for agent in agents[3:]]
    assert drained.drain() == [AgentEventsDropped(3), *kept]
    assert [await anext(read) for _ in range(3)] == [AgentEventsDropped(3), *kept]
    with pytest.raises(ValueError, match="at least 1"):
        registry.events(capacity=0)


# --- against a naive model ---------------------------------------------------------------------

ids = st.sampled_from(["a", "b", "c/d", "C/D"])
words = st.sampled_from(["red", "Green", "blue"])
fields = st.fixed_dictionaries(
    {},
    optional={
        "name": words,
        "tags": st.lists(words, max_size=3),
        "category": st.none() | words,
        "enabled": st.booleans(),
        "capabilities": st.lists(words, max_size=2, unique=True).map(
            lambda names: [{"name": name} for name in names]
        ),
    },
)


class RegistryMachine(RuleBasedStateMachine):
    """Whatever is done to a registry, each answer is that of a plain dictionary of agents."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = AgentRegistry(wall_clock=lambda: 1)
        self.told = self.registry.events(capacity=10_000)
        self.model: dict[str, Agent] = {}
        self.by_events: dict[str, Agent] = {}

    @rule(agent_id=ids, more=fields)
    def deploy(self, agent_id: str, more: dict[str, Any]) -> None:
        self.model[agent_id] = self.registry.deploy({**described(agent_id), **more})

    @rule(agent_id=ids, more=fields)
    def update(self, agent_id: str, more: dict[str, Any]) -> None:
        if agent_id in self.model:
            updated = self.registry.update(agent_id, more)
            assert (
                agent_to_json(updated).items()
                >= {
                    key: value
                    for key, value in more.items()
                    if key in ("name", "enabled") or (key == "category" and value is not None)
                }.items()
            )
            self.model[agent_id] = updated
        else:
            with pytest.raises(NoSuchAgent):
                self.registry.update(agent_id, more)

    @rule(agent_id=ids, bad=st.sampled_from([{"name": 3}, {"tags": [None]}, {"id": "other"}]))
    def refuse(self, agent_id: str, bad: dict[str, Any]) -> None:
        with pytest.raises((SpecError, NoSuchAgent)):
            self.registry.update(agent_id, bad)
        if "id" not in bad:
            with pytest.raises(SpecError):
                self.registry.deploy({**described(agent_id), **bad})

    @rule(agent_id=ids)
    def remove(self, agent_id: str) -> None:
        if agent_id in self.model:
            assert self.registry.remove(agent_id) == self.model.pop(agent_id)
        else:
            with pytest.raises(NoSuchAgent):
                self.registry.remove(agent_id)

    @rule(
        enabled=st.none() | st.booleans(),
        category=st.none() | words,
        tags=st.lists(words, max_size=2),
        search=st.sampled_from(["", "RED", "e", "c/d"]),
    )
    def ask(
        self, *, enabled: bool | None, category: str | None, tags: list[str], search: str
    ) -> None:
        def fits(agent: Agent) -> bool:
            texts = [agent.id, agent.name, *(each.name for each in agent.capabilities)]
            return (
                enabled in (None, agent.enabled)
                and category in (None, agent.category)
                and (not tags or bool(set(tags) & set(agent.tags)))
                and any(search.lower() in text.lower() for text in texts)
            )

        found = self.registry.list(enabled=enabled, category=category, tags=tags, search=search)
        assert list(found) == [agent for agent in self.model.values() if fits(agent)]

    @invariant()
    def agrees(self) -> None:
        assert list(self.registry) == list(self.model.values())
        agents = self.model.values()
        categories = {agent.category for agent in agents} - {None}
        tags = {tag for agent in agents for tag in agent.tags}
        assert set(self.registry.categories()) == categories
        assert set(self.registry.tags()) == tags
        assert self.registry.counts_by_tag() == {
            tag: sum(tag in agent.tags for agent in agents) for tag in tags
        }
        assert self.registry.counts_by_category() == {
            name: sum(agent.category == name for agent in agents) for name in categories
        }
        stats = self.registry.stats()
        assert stats.total == len(agents)
        assert stats.enabled == sum(agent.enabled for agent in agents)
        assert stats.disabled == stats.total - stats.enabled
        assert (stats.categories, stats.tags) == (len(categories), len(tags))

    @invariant()
    def is_told_by_events(self) -> None:
        for event in self.told.drain():
            match event:
                case AgentRemoved(agent_id):
                    del self.by_events[agent_id]
                case AgentDeployed(agent) | AgentUpdated(agent):
                    self.by_events[agent.id] = agent
        assert self.by_events == self.model


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=60, stateful_step_count=30)
