"""A running child is given another specification: what changes, and what is left alone."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    ChildContext,
    ChildSpec,
    NoSuchChild,
    NotSupported,
    Probe,
    Restart,
    SpecError,
    State,
    TreeHandle,
    dynamic_supervisor,
    events,
    open_tree,
    supervisor,
    task,
)
from a2a_sup.testing import Recorder, ScriptedChild, scripted

QUICK = Restart(backoff=NO_BACKOFF, intensity=None)


def order(tree: TreeHandle, path: str = "") -> list[str]:
    root = tree.snapshot().root
    found = (
        root.children
        if not path
        else next(
            child.supervisor.children
            for child in root.walk()
            if child.path == path and child.supervisor
        )
    )
    return [child.name for child in found]


async def passes(_: ChildContext) -> None:
    pass


async def fails(_: ChildContext) -> bool:
    return False


async def test_a_new_policy_holds_from_the_next_crash_on_and_the_child_runs_on() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=QUICK)])) as tree:
        await tree.update_child("a", child.spec(restart="temporary", tags=["new"]))
        (shown,) = tree.snapshot().root.children
        assert (shown.incarnation, shown.restart, shown.tags) == (1, "temporary", ("new",))
        assert child.starts == 1
        child.crash()
        await tree.wait_until(lambda snapshot: not snapshot.root.children)
        assert child.starts == 1


async def test_what_it_runs_changes_at_its_next_start() -> None:
    old, new = ScriptedChild("a"), ScriptedChild("a")
    async with open_tree(supervisor("app", [old.spec(restart=QUICK)])) as tree:
        await tree.update_child("a", new.spec(restart=QUICK))
        assert (old.alive, new.alive) == (1, 0)
        old.crash()
        await settle()
        assert (old.alive, new.alive) == (0, 1)


async def test_a_new_shutdown_time_is_that_of_the_next_stop() -> None:
    child = ScriptedChild("a", politeness="ignores")
    async with open_tree(supervisor("app", [child.spec(shutdown=1000.0)])) as tree:
        await tree.update_child("a", child.spec(shutdown=2.0))
        begin = trio.current_time()
        await tree.terminate_child("a")
        assert trio.current_time() - begin == 2.0


async def test_an_update_is_an_event_and_a_new_picture() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        recorder = Recorder(tree)
        before = tree.snapshot()
        await tree.update_child("a", child.spec(tags=["new"]))
        assert [type(event) for event in recorder.events] == [events.ChildUpdated]
        assert tree.snapshot().revision == before.revision + 1


async def test_probes_are_exchanged_under_the_running_child() -> None:
    child = ScriptedChild("a")
    good = Probe(name="p", check=passes, interval=1.0, jitter=0.0)
    bad = Probe(name="q", check=fails, interval=1.0, jitter=0.0, failure_threshold=2)
    async with open_tree(supervisor("app", [child.spec(restart=QUICK, probes=[good])])) as tree:
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].healthy is True)
        await tree.update_child("a", child.spec(restart=QUICK, probes=[good, bad]))
        shown = tree.snapshot().root.children[0]
        assert shown.healthy is True
        assert [probe.passing for probe in shown.probes] == [True, None]
        assert child.starts == 1
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].incarnation == 2)
        await tree.update_child("a", child.spec(restart=QUICK))
        await trio.sleep(100)
        shown = tree.snapshot().root.children[0]
        assert (shown.incarnation, shown.healthy, shown.probes) == (2, None, ())


async def test_a_child_that_is_ready_stays_ready_while_its_probes_are_renewed() -> None:
    child = ScriptedChild("a")

    def asked(interval: float) -> ChildSpec:
        ready = Probe(name="r", check=passes, purpose="readiness", interval=interval)
        return child.spec(probes=[ready])

    async with open_tree(supervisor("app", [asked(5)])) as tree:
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].ready is True)
        recorder = Recorder(tree)
        await tree.update_child("a", asked(7))
        await trio.sleep(50)
        assert not [each for each in recorder.events if isinstance(each, events.ChildReady)]
        await tree.update_child("a", child.spec())
        assert tree.snapshot().root.children[0].ready is None
        await tree.update_child("a", asked(7))
        assert tree.snapshot().root.children[0].ready is False
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].ready is True)


async def test_a_supervisor_takes_a_new_strategy_without_touching_its_children() -> None:
    a, b = scripted("a b")
    specs = [child.spec(restart=QUICK) for child in (a, b)]
    async with open_tree(supervisor("app", [supervisor("s", specs)])) as tree:
        await tree.update_child("s", supervisor("s", specs, strategy="one_for_all"))
        shown = tree.snapshot().root.children[0].supervisor
        assert shown is not None
        assert shown.strategy == "one_for_all"
        assert (a.starts, b.starts) == (1, 1)
        a.crash()
        await settle()
        assert (a.starts, b.starts) == (2, 2)


async def test_a_supervisor_takes_new_limits() -> None:
    a = ScriptedChild("a")
    inner = [a.spec(restart=QUICK)]
    async with open_tree(supervisor("app", [supervisor("s", inner)])) as tree:
        await tree.update_child("s", supervisor("s", inner, intensity=0))
        recorder = Recorder(tree)
        a.crash()
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].restarts == 1)
        assert "s supervisor.gave_up" in recorder.words()


async def test_the_root_takes_a_new_specification_too() -> None:
    a, b = scripted("a b")
    async with open_tree(supervisor("app", [a.spec(restart=QUICK), b.spec()])) as tree:
        root = supervisor("shop", [b.spec(), a.spec()], strategy="rest_for_one")
        await tree.update_root(root)
        assert (tree.name, order(tree)) == ("shop", ["b", "a"])
        assert tree.snapshot().root.strategy == "rest_for_one"
        assert (a.starts, b.starts) == (1, 1)


async def test_a_restarted_supervisor_boots_what_its_new_specification_lists() -> None:
    a, b = scripted("a b")
    boom = ScriptedChild("boom")
    first = supervisor("s", [boom.spec(restart=QUICK)], intensity=0)
    async with open_tree(supervisor("app", [first], intensity=5)) as tree:
        await tree.update_child("s", supervisor("s", [a.spec(), b.spec()], intensity=0))
        boom.crash()
        await tree.wait_until(
            lambda snapshot: (
                snapshot.root.children[0].incarnation == 2
                and snapshot.root.children[0].state is State.RUNNING
            )
        )
        assert order(tree, "s") == ["a", "b"]


async def test_an_update_of_order_decides_who_restarts_with_whom() -> None:
    a, b, c = children = scripted("a b c")
    specs = {child.name: child.spec(restart=QUICK) for child in children}
    tree_spec = supervisor("app", specs.values(), strategy="rest_for_one")
    async with open_tree(tree_spec) as tree:
        await tree.update_root(
            supervisor("app", [specs[name] for name in "cab"], strategy="rest_for_one")
        )
        a.crash()
        await settle()
        assert [child.starts for child in (a, b, c)] == [2, 2, 1]


async def test_a_new_child_is_put_before_another() -> None:
    a, b, c = scripted("a b c")
    async with open_tree(supervisor("app", [a.spec(), c.spec()])) as tree:
        await tree.start_child("", b.spec(), before="c")
        assert order(tree) == ["a", "b", "c"]
        with pytest.raises(NoSuchChild):
            await tree.start_child("", ScriptedChild("d").spec(), before="x")
        assert order(tree) == ["a", "b", "c"]


async def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    child = ScriptedChild("a")
    tree_spec = supervisor("app", [child.spec(), supervisor("s"), dynamic_supervisor("d")])
    async with open_tree(tree_spec) as tree:
        ref = await tree.start_child("d", task("x", trio.sleep_forever))
        before = tree.snapshot().root
        for path, spec in {
            "a": ScriptedChild("b").spec(),
            "s": task("s", trio.sleep_forever),
            "d": supervisor("d"),
            "": supervisor("app"),
        }.items():
            with pytest.raises(SpecError):
                await tree.update_child(path, spec)
        with pytest.raises(SpecError, match="significant"):
            await tree.update_child("a", child.spec(restart="transient", significant=True))
        with pytest.raises(SpecError, match="supervisor"):
            await tree.update_child("a", supervisor("a"))
        with pytest.raises(SpecError):
            await tree.update_root(dynamic_supervisor("app"))
        with pytest.raises(NoSuchChild):
            await tree.update_child("x", task("x", trio.sleep_forever))
        with pytest.raises(NotSupported):
            # Whose name is not that of the child, as with all of a dynamic supervisor.
            await tree.update_child(ref.path, await tree.get_childspec(ref.path))
        assert tree.snapshot().root is before


async def test_a_child_that_is_down_may_become_a_supervisor() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        await tree.terminate_child("a")
        await tree.update_child("a", supervisor("a", [ScriptedChild("b").spec()]))
        await tree.restart_child("a")
        assert order(tree, "a") == ["b"]


# --- an update in the middle of something ---------------------------------------------------------


async def test_a_supervisor_that_gets_a_group_strategy_as_it_boots_boots_to_its_end() -> None:
    a, b, c = scripted("a b c")
    b.start_delay = 10
    specs = [each.spec(restart=QUICK) for each in (a, b, c)]
    async with (
        open_tree(supervisor("app", [])) as tree,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(tree.start_child, "", supervisor("s", specs))
        await trio.sleep(5)
        await tree.update_child("s", supervisor("s", specs, strategy="rest_for_one"))
        a.crash()
        await trio.sleep(50)
        assert [each.is_up for each in (a, b, c)] == [True, True, True]
        assert tree.snapshot().child("s").state is State.RUNNING


async def test_a_group_that_was_stopped_is_started_also_if_it_is_none_any_more() -> None:
    a, b = scripted("a b")
    specs = [a.spec(), b.spec()]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        a.crash()
        await settle()
        assert not b.is_up
        await tree.update_root(supervisor("app", specs))
        await trio.sleep(5)
        assert (a.is_up, b.is_up) == (True, True)


async def test_a_child_that_need_not_be_ready_any_more_has_started() -> None:
    a = ScriptedChild("a")
    readiness = Probe(name="p", check=fails, purpose="readiness")
    async with (
        open_tree(supervisor("app", [])) as tree,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(tree.start_child, "", a.spec(wait_ready=True, probes=[readiness]))
        await trio.sleep(5)
        assert tree.snapshot().child("a").state is State.STARTING
        await tree.update_child("a", a.spec())
        assert tree.snapshot().child("a").state is State.RUNNING


async def test_two_snapshots_of_one_revision_have_one_name() -> None:
    names: dict[int, set[str]] = {}

    async def watch() -> None:
        for _ in range(200):
            snapshot = tree.snapshot()
            names.setdefault(snapshot.revision, set()).add(snapshot.name)
            await trio.lowlevel.checkpoint()

    async with open_tree(supervisor("app", [])) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.lowlevel.checkpoint()
        for number in range(20):
            await tree.update_root(supervisor(f"app {number}", []))
            await trio.lowlevel.checkpoint()  # for the watcher to look at each
    assert len(names) >= 20
    assert all(len(found) == 1 for found in names.values())


# --- held ----------------------------------------------------------------------------------------


async def test_a_held_child_is_not_started_at_boot_and_can_be_by_a_call() -> None:
    a, b = scripted("a b")
    asked: list[str] = []

    def held(path: str) -> bool:
        asked.append(path)
        return True

    inner = supervisor("s", [a.spec(held=held), b.spec()])
    async with open_tree(supervisor("app", [inner])) as tree:
        assert asked == ["s/a"]
        assert (a.starts, b.starts) == (0, 1)
        shown = tree.child("s/a")
        assert shown is not None
        assert shown.state is State.STOPPED
        await tree.restart_child("s/a")
        assert a.is_up


async def test_a_held_temporary_child_is_kept() -> None:
    a = ScriptedChild("a")
    spec = a.spec(held=lambda _: True, restart="temporary")
    async with open_tree(supervisor("app", [spec])) as tree:
        await tree.restart_child("a")
        assert a.is_up


async def test_a_restart_of_its_group_does_not_start_a_held_child() -> None:
    stopped = set[str]()
    a, b = scripted("a b")
    specs = [child.spec(held=stopped.__contains__, restart=QUICK) for child in (a, b)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        stopped.add("b")
        await tree.terminate_child("b")
        a.crash()
        await settle()
        assert (a.starts, b.starts) == (2, 1)
        stopped.clear()
        a.crash()
        await settle()
        assert (a.starts, b.starts) == (3, 2)


async def test_a_child_that_is_held_while_it_backs_off_can_be_started_by_a_call() -> None:
    held: list[str] = []
    a, b = scripted("a b")
    specs = [a.spec(held=lambda path: path in held), b.spec()]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        a.crash()
        await settle()
        held.append("a")
        await trio.sleep(5)
        assert tree.snapshot().child("a").state is State.STOPPED
        assert (a.starts, b.starts) == (1, 2)
        await tree.restart_child("a")
        assert a.starts == 2


def test_a_held_child_in_the_specification_is_a_function() -> None:
    with pytest.raises(SpecError, match="held"):
        ScriptedChild("a").spec(held=True)
