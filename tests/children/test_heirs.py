"""Of many children that are nobody's of ours each is looked at once, and none of ours is missed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from a2a_sup.children import linux
from a2a_sup.children.heirs import Heirs

ROOT = Path(__file__).parents[2]
INHERITING = Path(__file__).with_name("inheriting.py")
PIDS = range(100, 116)


class Kernel:
    """Two threads of one process, and what the kernel would say of their children."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lists: dict[int, list[int]] = {1: [], 2: []}
        self.identities: dict[int, int] = {}
        self.missed: int | None = None
        self.asked = 0
        self._new = count(1)
        monkeypatch.setattr(linux, "child_lists_of", lambda _, but: self._without(self.missed))
        monkeypatch.setattr(linux, "identity_of", self._identity_of)

    def _identity_of(self, pid: int) -> int | None:
        self.asked += 1
        return self.identities.get(pid)

    def born(self, pid: int, thread: int = 1) -> None:
        self.lists[thread] = [*self.lists[thread], pid]
        self.identities[pid] = next(self._new)

    def gone(self, pid: int) -> None:
        del self.identities[pid]
        self.lists = self._without(pid)

    def _without(self, pid: int | None) -> dict[int, list[int]]:
        return {
            thread: [each for each in pids if each != pid] for thread, pids in self.lists.items()
        }

    def thread_ends(self) -> None:
        """Pass the second thread's children on, and start another thread."""
        self.lists = {1: self.lists[1] + self.lists[2], 2: []}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_what_is_settled_is_not_looked_at_again_however_much_it_is(kernel: Kernel) -> None:
    heirs = Heirs([7])
    for pid in range(1000, 6000):
        kernel.born(pid)
    for pid in heirs.children():
        heirs.settle(pid, linux.identity_of(pid))
    kernel.gone(1234)
    kernel.born(6000)
    kernel.asked = 0
    assert [*heirs.children()] == [6000]
    assert kernel.asked == 1


def test_a_new_process_under_an_old_number_is_looked_at(kernel: Kernel) -> None:
    heirs = Heirs([7])
    for pid in (100, 101, 102):
        kernel.born(pid)
    for pid in heirs.children():
        heirs.settle(pid, linux.identity_of(pid))
    for pid in (101, 102, 101):
        kernel.gone(pid)
        kernel.born(pid)
    assert {*heirs.children()} == {101, 102}
    assert {*heirs.children(spare=[102])} == {101}


@pytest.mark.parametrize("seed", range(20))
def test_whoever_comes_and_goes_all_but_the_settled_are_found(kernel: Kernel, seed: int) -> None:
    chance = random.Random(seed)
    heirs = Heirs([7])
    settled = set[int]()
    for _ in range(200):
        for _ in range(chance.randrange(6)):
            if (pid := chance.choice(PIDS)) in kernel.identities:
                kernel.gone(pid)
            else:
                kernel.born(pid, thread=chance.choice([1, 2]))
        if chance.random() < 0.1:
            kernel.thread_ends()
        # A list that is read while somebody leaves it may lack somebody else.
        kernel.missed = chance.choice(PIDS)
        found = {pid: kernel.identities[pid] for pid in heirs.children()}
        wanted = {*kernel.identities.values()} - settled - {kernel.identities.get(kernel.missed)}
        assert wanted <= {*found.values()}
        for pid, identity in found.items():
            if chance.random() < 0.5:
                heirs.settle(pid, linux.identity_of(pid))
                settled.add(identity)


def test_all_processes_are_looked_at_only_where_a_hidden_one_may_inherit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        everybody = {os.getpid(), child.pid}
        assert everybody <= {*Heirs([os.getpid(), 1]).children()}
        assert everybody & {*Heirs([os.getpid()]).children()} == {child.pid}


def test_the_kernel_keeps_children_in_the_order_in_which_they_came() -> None:
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, INHERITING],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=20,
        check=True,
    )
    assert json.loads(done.stdout) == {"in order": True, "not settled": [], "replaced": True}
