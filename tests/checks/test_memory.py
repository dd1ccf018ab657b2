"""The memory of a child's processes: of all of them together."""

from __future__ import annotations

import sys

import pytest
import trio

from a2a_sup import ChildSpec, Restart, SpecError, State, open_tree, process, supervisor, task
from a2a_sup.checks import liveness, memory
from a2a_sup.model.reasons import ReasonKind

# The parent is small: its child holds 64 MiB.
HOLD = "import time; held = bytearray(b'x' * (64 << 20)); time.sleep(1000)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"


def held(limit: int, program: str) -> ChildSpec:
    probe = liveness(memory(limit), name="memory", interval=0.05, failure_threshold=1)
    alone = Restart(intensity=0, when_exhausted="isolate")
    return process("a", [sys.executable, "-c", program], probes=[probe], restart=alone)


async def test_a_child_whose_processes_use_too_much_together_is_restarted() -> None:
    with trio.fail_after(20):
        async with open_tree(supervisor("app", [held(48 << 20, PARENT)])) as tree:
            found = await tree.wait_until(
                lambda snapshot: snapshot.root.children[0].state is State.FAILED
            )
            reason = found.root.children[0].last_reason
            assert reason is not None
            assert reason.kind is ReasonKind.UNHEALTHY
            assert "of 48 MiB" in reason.text


async def test_one_below_its_limit_is_left_alone_and_says_how_much_it_is() -> None:
    with trio.fail_after(20):
        async with open_tree(supervisor("app", [held(2 << 30, PARENT)])) as tree:
            found = await tree.wait_until(
                lambda snapshot: any(
                    "of 2048 MiB" in result.message and int(result.message.split()[0]) > 64
                    for result in snapshot.root.children[0].probes[0].results
                )
            )
            assert found.root.children[0].healthy is True


async def test_a_task_uses_no_memory_of_its_own() -> None:
    probe = liveness(memory(1), interval=0.01)
    async with open_tree(
        supervisor("app", [task("a", trio.sleep_forever, probes=[probe])])
    ) as tree:
        with trio.fail_after(10):
            await tree.wait_until(lambda snapshot: snapshot.root.children[0].healthy is True)


@pytest.mark.parametrize("limit", [0, -1, True, "1GB", 1.5])
def test_a_limit_is_a_number_of_bytes(limit: object) -> None:
    with pytest.raises(SpecError, match="limit"):
        memory(limit)  # type: ignore[arg-type]
