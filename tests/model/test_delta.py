"""Deltas: a snapshot and what changed since make the next snapshot, whatever happened between."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    CallError,
    ChildExit,
    ChildSpec,
    IgnoreStart,
    Probe,
    Restart,
    StartFailed,
    TreeHandle,
    dynamic_supervisor,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.model.codec import snapshot_to_json
from a2a_sup.model.delta import Dirty, apply
from a2a_sup.model.needs import Need
from a2a_sup.testing import ScriptedChild, run_virtual


class Writer:
    """What a publisher does: collects events, and tells what changed."""

    def __init__(self, tree: TreeHandle) -> None:
        self.tree = tree
        self.events = tree.events(capacity=100_000)

    def dirty(self) -> Dirty:
        dirty = Dirty()
        for event in self.events.drain():
            assert isinstance(event, events.Event)
            dirty.note(event)
        return dirty

    def told(self, dirty: Dirty) -> list[Any]:
        changes = [change.to_json() for change in dirty.changes(self.tree.child)]
        return json.loads(json.dumps(changes))  # type: ignore[no-any-return]

    def root(self) -> dict[str, Any]:
        return json.loads(json.dumps(snapshot_to_json(self.tree.snapshot())["root"]))  # type: ignore[no-any-return]


class Readers:
    """One reader for each way of coalescing: at every look, and only at some."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        writer.dirty()
        self.eager = writer.root()
        self.lazy = copy.deepcopy(self.eager)
        self.batches: list[Dirty] = []

    def look(self, *, both: bool) -> None:
        dirty = self.writer.dirty()
        self.batches.append(dirty)
        now = self.writer.root()
        if dirty.is_whole:
            self.eager = copy.deepcopy(now)
        else:
            apply(self.eager, self.writer.told(dirty))
        assert self.eager == now
        if both:
            merged = Dirty()
            for batch in self.batches:
                merged.add(batch)
            self.batches.clear()
            if merged.is_whole:
                self.lazy = copy.deepcopy(now)
            else:
                apply(self.lazy, self.writer.told(merged))
            assert self.lazy == now


@attrs.frozen
class Step:
    """Something that happens, and how long and whether the readers look after it."""

    what: str
    which: int
    wait: float
    look: int


steps = st.builds(
    Step,
    st.sampled_from(
        [
            *("crash", "crash", "crash", "finish", "fail_next_start", "ignore_next_start", "ready"),
            *("report", "terminate", "terminate", "restart", "restart", "delete", "delete"),
            *(
                "start",
                "start",
                "start_before",
                "update",
                "start_nested",
                "start_dynamic",
                "start_dynamic",
            ),
        ]
    ),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 5.0]),
    st.integers(0, 3),
)

policies = st.builds(
    Restart,
    type=st.sampled_from(["permanent", "permanent", "transient", "temporary"]),
    backoff=st.just(NO_BACKOFF),
    intensity=st.sampled_from([1, 3]),
    period=st.just(30.0),
    when_exhausted=st.sampled_from(["escalate", "isolate"]),
)


class Play:
    """A tree with everything in it, going through random trouble."""

    def __init__(self, draw: st.DataObject) -> None:
        self.draw = draw
        self.leaves: list[ScriptedChild] = []
        self.answers = True
        inner = supervisor(
            "inner",
            [self.leaf("c0"), self.leaf("c1"), dynamic_supervisor("many", max_children=4)],
            strategy=draw.draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
            intensity=draw.draw(st.sampled_from([0, 2])),
            restart=draw.draw(policies),
        )
        children = [self.leaf("a"), inner, dynamic_supervisor("pool"), self.leaf("z")]
        if draw.draw(st.booleans()):
            late = self.leaf("late")
            need = draw.draw(st.sampled_from(Need))
            children.append(attrs.evolve(late, after={"a": need, "z": Need.STARTED}))
            spec = supervisor("app", children)
        else:
            spec = supervisor("app", children, strategy="rest_for_one")
        self.tree = TreeHandle(spec)

    def leaf(self, name: str) -> ChildSpec:
        child = ScriptedChild(
            name,
            stop_delay=self.draw.draw(st.sampled_from([0.0, 0.0, 0.5])),
            start_delay=self.draw.draw(st.sampled_from([0.0, 0.0, 0.5])),
        )
        self.leaves.append(child)
        probes = [Probe(name="asked", check=self.check, interval=2, failure_threshold=2)]
        return child.spec(
            restart=self.draw.draw(policies),
            probes=probes if self.draw.draw(st.booleans()) else [],
            tags=[name],
        )

    async def check(self, _: object) -> str:
        self.answers = not self.answers
        if self.answers:
            raise OSError("no answer")
        return "fine"

    async def run(self, script: list[Step]) -> None:
        async with trio.open_nursery() as nursery:
            readers = Readers(Writer(self.tree))
            nursery.start_soon(self.run_tree)
            for step in script:
                self.act(step, nursery)
                for _ in range(step.which % 3):
                    await trio.lowlevel.checkpoint()
                if step.look == 1:
                    readers.look(both=False)
                await settle()
                await trio.sleep(step.wait)
                if step.look >= 1:
                    readers.look(both=step.look == 3)
            self.tree.stop()
            await self.tree.wait_ended()
            readers.look(both=True)

    async def run_tree(self) -> None:
        with contextlib.suppress(ChildExit):
            await self.tree.run()

    def act(self, step: Step, nursery: trio.Nursery) -> None:
        leaf = self.leaves[step.which % len(self.leaves)]
        match step.what:
            case "crash" | "finish":
                if leaf.is_up:
                    getattr(leaf, step.what)()
            case "fail_next_start":
                leaf.fail_next_start()
            case "ignore_next_start":
                leaf.fail_next_start(IgnoreStart())
            case "ready":
                if leaf.is_up and leaf.context is not None:
                    leaf.context.ready(is_ready=bool(step.which % 2))
            case "report":
                if leaf.is_up and leaf.context is not None:
                    leaf.context.report(pid=step.which, tools=("a", "b"))
            case what:
                nursery.start_soon(self.call, what, step.which)

    async def call(self, what: str, which: int) -> None:
        paths = [child.path for child in self.tree.snapshot().walk()] or ["absent"]
        path = paths[which % len(paths)]
        parent = path.rpartition("/")[0]
        with contextlib.suppress(CallError, StartFailed):
            match what:
                case "terminate":
                    await self.tree.terminate_child(path)
                case "restart":
                    await self.tree.restart_child(path)
                case "delete":
                    await self.tree.delete_child(path)
                case "start":
                    await self.tree.start_child(parent, self.leaf(f"extra{which % 2}"))
                case "start_before":
                    extra = self.leaf(f"extra{which % 2}")
                    await self.tree.start_child(parent, extra, before=path.rpartition("/")[2])
                case "update":
                    spec = await self.tree.get_childspec(path)
                    await self.tree.update_child(path, attrs.evolve(spec, tags=("updated",)))
                case "start_nested":
                    below = [self.leaf("one"), self.leaf("two")]
                    await self.tree.start_child(parent, supervisor("nested", below))
                case "start_dynamic":
                    target = "pool" if which % 2 else "inner/many"
                    await self.tree.start_child(target, self.leaf("dyn"))


@settings(max_examples=300)
@given(st.data(), st.lists(steps, max_size=25))
def test_a_snapshot_and_deltas_are_the_next_snapshot(
    data: st.DataObject, script: list[Step]
) -> None:
    async def main() -> None:
        await Play(data).run(script)

    run_virtual(main)


# --- the cases that the rules are about ----------------------------------------------------------


def test_a_path_that_was_removed_and_added_moves_to_the_end_also_within_one_batch() -> None:
    async def main() -> None:
        children = [ScriptedChild(name) for name in "abc"]
        async with open_tree(supervisor("app", [child.spec() for child in children])) as tree:
            readers = Readers(Writer(tree))
            await tree.terminate_child("a")
            await tree.delete_child("a")
            await tree.start_child("", ScriptedChild("a").spec())
            readers.look(both=True)
            assert [child["name"] for child in readers.eager["children"]] == ["b", "c", "a"]

    run_virtual(main)


def test_a_supervisor_that_began_anew_within_one_batch_keeps_no_old_children() -> None:
    async def main() -> None:
        first = ScriptedChild("first")
        inner = supervisor("inner", [first.spec()])
        async with open_tree(supervisor("app", [inner])) as tree:
            await tree.start_child("inner", ScriptedChild("extra").spec())
            readers = Readers(Writer(tree))
            await tree.terminate_child("inner")
            await tree.restart_child("inner")
            readers.look(both=True)
            shown = readers.eager["children"][0]["supervisor"]["children"]
            assert [child["name"] for child in shown] == ["first"]

    run_virtual(main)


def test_the_number_of_changes_is_that_of_the_children_that_changed() -> None:
    async def main() -> None:
        children = [ScriptedChild(f"c{number}") for number in range(200)]
        policy = Restart(backoff=NO_BACKOFF)
        specs = [child.spec(restart=policy) for child in children]
        async with open_tree(supervisor("app", specs)) as tree:
            writer = Writer(tree)
            children[7].crash()
            children[9].crash()
            await settle()
            assert {change["path"] for change in writer.told(writer.dirty())} == {"c7", "c9"}

    run_virtual(main)


def test_a_change_that_does_not_fit_is_refused() -> None:
    root = {"path": "", "strategy": "one_for_one", "children": []}
    apply(root, [{"path": "a/b", "child": None}, {"path": "a", "child": None}])
    assert root["children"] == []
    with pytest.raises(ValueError, match="'a/b', and there is no supervisor above it"):
        apply(root, [{"path": "a/b", "child": {"path": "a/b", "supervisor": None}}])


def test_what_a_child_waits_for_is_told_when_it_is_something_else() -> None:
    async def main() -> None:
        a, b = ScriptedChild("a", start_delay=1), ScriptedChild("b", start_delay=9)
        waiting = ScriptedChild("c").spec(after={"a": "started", "b": "started"})
        tree = TreeHandle(supervisor("app", [a.spec(), b.spec(), waiting]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.run)
            await settle()
            readers = Readers(Writer(tree))
            shown = [readers.eager["children"][2]["waits_for"]]
            await trio.sleep(2)
            readers.look(both=False)
            shown.append(readers.eager["children"][2]["waits_for"])
            a.crash()
            await settle()
            readers.look(both=False)
            shown.append(readers.eager["children"][2]["waits_for"])
            assert shown == [["a started", "b started"], ["b started"], ["a started", "b started"]]
            await trio.sleep(10)
            readers.look(both=True)
            assert readers.eager["children"][2]["state"] == "running"
            tree.stop()

    run_virtual(main)
