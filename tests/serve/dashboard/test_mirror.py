"""Supervised servers as agents of the registry."""

from __future__ import annotations

import trio

from a2a_sup import open_tree, supervisor
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.mirror import mirror_servers
from a2a_sup.testing import ScriptedChild


async def test_a_server_is_an_agent_while_its_child_is_and_enabled_while_it_is_up() -> None:
    registry = AgentRegistry()
    server, other = ScriptedChild("time"), ScriptedChild("other")
    inner = supervisor("inner", [server.spec(kind="mcp", tags=["clock"]), other.spec()])
    async with open_tree(supervisor("app", [inner])) as tree, trio.open_nursery() as nursery:
        await nursery.start(mirror_servers, tree, registry)
        agent = registry.get("inner/time")
        assert agent is not None
        assert (agent.name, agent.category, agent.enabled) == ("time", "mcp", True)
        assert agent.tags == ("mcp", "auto-managed", "clock")
        assert len(registry) == 1
        with registry.events() as events:
            assert server.context is not None
            server.context.report(tools=("now", "convert"), server={"version": "2.1"})
            agent = (await anext(events)).agent  # type: ignore[union-attr]
            assert [each.name for each in agent.capabilities] == ["now", "convert"]
            assert agent.version == "2.1"
            await tree.terminate_child("inner/time")
            assert not (await anext(events)).agent.enabled  # type: ignore[union-attr]
            await tree.restart_child("inner/time")
            assert (await anext(events)).agent.enabled  # type: ignore[union-attr]
            await tree.terminate_child("inner/time")
            await tree.delete_child("inner/time")
            while registry.get("inner/time") is not None:
                await anext(events)
        nursery.cancel_scope.cancel()
