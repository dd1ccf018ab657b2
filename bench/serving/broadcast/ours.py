"""Our publisher, telling each client of a changed agent of 5 KB for each line; prints its port.

For a line ``held`` it prints the longest turn of its loop since the last such line, and the most
CPU time of a turn: the second is less where others had the processor meanwhile. Both in seconds.
"""

from __future__ import annotations

import os

import trio

from a2a_sup import open_tree, supervisor, task
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.listen import Address, Door
from a2a_sup.serve.publisher import Limits, Publisher
from bench.serving.turns import Turns

NEVER = 1e6
QUIET = Limits(clients=10_000, stall=NEVER, ping_interval=NEVER, metrics_interval=NEVER)
"""Nothing but what is asked for; nobody is cut."""


async def main() -> None:
    """Serve until there are no more lines."""
    registry = AgentRegistry()
    registry.deploy({"id": "a", "name": "a", "version": "1", "capabilities": []})
    spec = supervisor("app", [task("a", trio.sleep_forever)])
    async with open_tree(spec) as tree, trio.open_nursery() as nursery:
        publisher = Publisher(tree, registry, limits=QUIET)
        door = Door(Address("127.0.0.1", 0), "")
        await nursery.start(publisher.serve, door)
        print(door.bound.rpartition(":")[2], flush=True)
        number = 0
        turns = Turns()
        trio.lowlevel.add_instrument(turns)
        async with trio.lowlevel.FdStream(os.dup(0)) as lines:
            async for line in lines:
                if line == b"held\n":
                    print(turns.longest, turns.most, flush=True)
                    turns.reset()
                    continue
                number += 1
                registry.update("a", {"name": f"{number:06}", "config": {"text": "x" * 5_000}})
        nursery.cancel_scope.cancel()


trio.run(main)
