"""N copies of one child, and the routing of keys to them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import (
    ChildContext,
    GaveUp,
    SpecError,
    State,
    open_tree,
    partition_of,
    partition_supervisor,
    supervisor,
    task,
)
from a2a_sup.testing import run_virtual

KEYS = st.one_of(st.integers(), st.text(), st.binary(), st.tuples(st.integers(), st.text()))


async def numbered(*, task_status: ChildContext) -> None:
    task_status.started(task_status.path)
    await trio.sleep_forever()


def test_there_are_as_many_copies_as_asked_for_named_by_their_number() -> None:
    async def main() -> None:
        workers = partition_supervisor("workers", task("any", numbered), 3)
        async with open_tree(supervisor("app", [workers])) as handle:
            children = await handle.which_children("workers")
            assert [child.path for child in children] == ["workers/0", "workers/1", "workers/2"]
            assert {child.state for child in children} == {State.RUNNING}

    run_virtual(main)


def test_a_copy_that_crashes_is_restarted_alone() -> None:
    crashed = False

    async def once(*, task_status: ChildContext) -> None:
        nonlocal crashed
        task_status.started()
        if task_status.path == "workers/1" and not crashed:
            crashed = True
            raise ValueError
        await trio.sleep_forever()

    async def main() -> None:
        workers = partition_supervisor("workers", task("any", once), 3)
        async with open_tree(supervisor("app", [workers])) as handle:
            tree = await handle.wait_until(lambda tree: tree.child("workers/1").incarnation == 2)
            others = [tree.child(f"workers/{number}").incarnation for number in (0, 2)]
            assert others == [1, 1]

    run_virtual(main)


def test_the_limit_of_restarts_is_shared_by_all_copies() -> None:
    async def crash() -> None:
        await trio.sleep(0.1)
        raise ValueError

    async def main() -> None:
        workers = partition_supervisor("workers", task("any", crash), 2, intensity=1, period=60)
        async with open_tree(workers):
            await trio.sleep_forever()

    with pytest.raises(GaveUp, match="more than 1 restarts in 60 s"):
        run_virtual(main)


def test_a_copy_may_be_a_supervisor() -> None:
    async def main() -> None:
        group = supervisor("any", [task("leaf", numbered)], strategy="rest_for_one")
        async with open_tree(partition_supervisor("groups", group, 2)) as handle:
            paths = [child.path for child in handle.snapshot().walk()]
            assert paths == ["0", "0/leaf", "1", "1/leaf"]

    run_virtual(main)


@given(key=KEYS, partitions=st.integers(1, 64))
def test_every_key_has_one_partition_and_always_the_same(key: object, partitions: int) -> None:
    found = partition_of(key, partitions)
    assert 0 <= found < partitions
    assert partition_of(key, partitions) == found


@given(number=st.integers(), partitions=st.integers(1, 64))
def test_whole_numbers_go_by_their_absolute_value_as_in_elixir(
    number: int, partitions: int
) -> None:
    assert partition_of(number, partitions) == abs(number) % partitions
    assert partition_of(-number, partitions) == partition_of(number, partitions)


def test_a_text_has_the_same_partition_in_every_run_of_a_program() -> None:
    program = "from a2a_sup import partition_of; print(partition_of('alice', 1000))"
    done = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        for _ in range(2)
    ]
    assert {int(each.stdout) for each in done} == {partition_of("alice", 1000)}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_a_number_of_partitions_that_makes_no_sense_is_refused(wrong: int) -> None:
    with pytest.raises(SpecError, match="partitions is a whole number >= 1, not"):
        partition_supervisor("workers", task("any", numbered), wrong)
    with pytest.raises(SpecError, match="partitions is a whole number >= 1, not"):
        partition_of("key", wrong)
