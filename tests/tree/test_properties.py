"""Random trees, random trouble: what holds for every tree, whatever happens to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    OTP,
    CallError,
    ChildExit,
    ChildSpec,
    GaveUp,
    IgnoreStart,
    Restart,
    StartFailed,
    State,
    TreeHandle,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.model.restarts import Backoff
from a2a_sup.model.spec import Shutdown
from a2a_sup.model.states import ALIVE
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import Politeness, Recorder, ScriptedChild, run_virtual


@attrs.define(eq=False)
class Leaf:
    """A scripted child with the options of its specification."""

    child: ScriptedChild
    options: dict[str, Any]


@attrs.define(eq=False)
class Node:
    """A supervisor, its children, and its options."""

    name: str
    below: list[Node | Leaf]
    options: dict[str, Any]
    own: dict[str, Any]

    def spec(self) -> ChildSpec:
        children = [
            item.child.spec(**item.options) if isinstance(item, Leaf) else item.spec()
            for item in self.below
        ]
        return supervisor(self.name, children, **self.options, **self.own)

    def leaves(self) -> Iterator[ScriptedChild]:
        for item in self.below:
            if isinstance(item, Leaf):
                yield item.child
            else:
                yield from item.leaves()


delays = st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.0])
shutdowns: st.SearchStrategy[Shutdown] = st.sampled_from([0, 2, "infinity", "brutal_kill"])
politenesses: st.SearchStrategy[Politeness] = st.sampled_from(["none", "heeds", "ignores"])
policies = st.builds(
    Restart,
    type=st.sampled_from(["permanent", "transient", "temporary"]),
    backoff=st.sampled_from([NO_BACKOFF, Backoff()]),
    intensity=st.sampled_from([0, 1, 3]),
    period=st.just(30.0),
    when_exhausted=st.sampled_from(["escalate", "isolate"]),
)


@st.composite
def children(draw: st.DrawFn, name: str, *, auto: bool) -> Leaf:
    policy = draw(policies)
    politeness = draw(politenesses)
    shutdown = draw(shutdowns)
    if politeness == "ignores" and shutdown == "infinity":
        shutdown = 2  # or it would never end
    options = {
        "restart": policy,
        "shutdown": shutdown,
        "start_timeout": draw(st.sampled_from([None, None, 2.0])),
        "significant": auto and policy.type != "permanent" and draw(st.booleans()),
    }
    child = ScriptedChild(
        name,
        start_delay=draw(delays),
        stop_delay=draw(delays),
        politeness=politeness,
        swallows=draw(st.booleans()),
        stop_error=draw(st.sampled_from([None, None, OSError("close failed")])),
    )
    return Leaf(child, options)


@st.composite
def trees(draw: st.DrawFn, name: str = "app", depth: int = 1) -> Node:
    strategy = draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
    auto = draw(st.sampled_from(["never", "any_significant", "all_significant"]))
    below: list[Node | Leaf] = []
    for number in range(draw(st.integers(1, 3))):
        nested = depth < 3 and draw(st.integers(0, 3)) == 0
        label = f"{'s' if nested else 'c'}{number}"
        if nested:
            below.append(draw(trees(label, depth + 1)))
        else:
            below.append(draw(children(label, auto=auto != "never")))
    options = {
        "strategy": strategy,
        "auto_shutdown": auto,
        "intensity": draw(st.sampled_from([None, 0, 2])),
        "period": 10.0,
        "stop_order": draw(st.sampled_from(["reverse", "parallel"]))
        if strategy == "one_for_one"
        else "reverse",
    }
    own = {"restart": draw(policies), "shutdown": draw(shutdowns)} if depth > 1 else {}
    return Node(name, below, options, own)


@attrs.frozen
class Step:
    """Something that happens to one child, or a call about it, and the time until the next."""

    what: str
    which: int
    wait: float


steps = st.builds(
    Step,
    st.sampled_from(
        [
            "crash",
            "crash",
            "finish",
            "shut_down",
            "fail_next_start",
            "ignore_next_start",
            "terminate",
            "restart",
            "delete",
            "start",
        ]
    ),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.0, 0.1, 1.0, 5.0, 40.0]),
)


class Play:
    """One random tree going through its random trouble."""

    def __init__(self, node: Node, new_story: Any) -> None:
        self.node = node
        self.tree = TreeHandle(node.spec())
        self.recorder = Recorder(self.tree)
        self.story = new_story()
        self.leaves = list(node.leaves())
        self.pending = 0

    async def run(self, script: list[Step]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_tree)
            await settle()
            self.check()
            for step in script:
                self._do(step, nursery)
                await settle()
                self.check()
                await trio.sleep(step.wait)
                await settle()
                self.check()
            self.tree.stop()
            await self.tree.wait_ended()
        assert self.pending == 0, "a call was never answered"
        assert [leaf.alive for leaf in self.leaves] == [0] * len(self.leaves)
        self.check()
        self.story.assert_over()

    async def _run_tree(self) -> None:
        # StartFailed, GaveUp, or an auto_shutdown while booting.
        with contextlib.suppress(ChildExit):
            await self.tree.run()

    def check(self) -> None:
        """Compare what the children did, what the events told and what the snapshot shows."""
        assert all(leaf.most_alive <= 1 for leaf in self.leaves)
        self.story.read(self.recorder.take())
        snapshot = self.tree.snapshot()
        shown = {child.path: child for child in snapshot.walk()}
        assert snapshot.revision == self.story.seq
        for path, child in shown.items():
            assert child.state in self.story.states[path], path
            assert child.incarnation == self.story.starts[path]
            assert (child.next_attempt_at is not None) <= (child.state is State.BACKING_OFF)
            assert (child.started_at is None) or child.state in ALIVE
            assert child.state in ALIVE or not child.details
        for path, states in self.story.states.items():
            # Of a supervisor that is down the snapshot shows nothing any more.
            assert path in shown or not states & ALIVE

    def _do(self, step: Step, nursery: trio.Nursery) -> None:
        leaf = self.leaves[step.which % len(self.leaves)]
        if step.what in ("crash", "finish", "shut_down"):
            if leaf.is_up:
                getattr(leaf, step.what)()
        elif step.what == "fail_next_start":
            leaf.fail_next_start()
        elif step.what == "ignore_next_start":
            leaf.fail_next_start(IgnoreStart())
        else:
            paths = sorted(self.story.states) or ["absent"]
            nursery.start_soon(self._call, step.what, paths[step.which % len(paths)])

    async def _call(self, what: str, path: str) -> None:
        self.pending += 1
        try:
            if what == "terminate":
                await self.tree.terminate_child(path)
            elif what == "restart":
                await self.tree.restart_child(path)
            elif what == "delete":
                await self.tree.delete_child(path)
            else:
                extra = ScriptedChild("extra")
                self.leaves.append(extra)
                await self.tree.start_child(path.rpartition("/")[0], extra.spec())
        except (CallError, StartFailed):
            pass
        finally:
            self.pending -= 1


@settings(max_examples=300)
@given(trees(), st.lists(steps, max_size=15))
def test_whatever_happens(new_story: Any, node: Node, script: list[Step]) -> None:
    """At most one incarnation of each child, legal states, paired events, nothing left behind.

    And the snapshot agrees with the events at every point.
    """

    async def main() -> None:
        await Play(node, new_story).run(script)

    run_virtual(main)


# --- order -------------------------------------------------------------------------------------

families = st.lists(
    st.builds(
        lambda start, stop, politeness: ScriptedChild(
            "child", start_delay=start, stop_delay=stop, politeness=politeness
        ),
        delays,
        delays,
        st.sampled_from(["none", "heeds"]),
    ),
    min_size=1,
    max_size=6,
)
strategies: st.SearchStrategy[StrategyWord] = st.sampled_from(
    ["one_for_one", "one_for_all", "rest_for_one"]
)


def as_specs(family: list[ScriptedChild]) -> tuple[list[ChildSpec], list[str]]:
    """Name the children after their places, and give them one log."""
    log: list[str] = []
    for place, child in enumerate(family):
        child.name, child.log = str(place), log
    return [child.spec(restart=OTP) for child in family], log


def began(places: list[str]) -> list[str]:
    """Return the log of children that start one by one."""
    return [f"{place} {word}" for place in places for word in ("begin", "up")]


@given(families, strategies, st.lists(st.integers(0, 5), max_size=4))
def test_children_start_in_order_and_stop_in_reverse_one_by_one(
    family: list[ScriptedChild], strategy: StrategyWord, crashes: list[int]
) -> None:
    """In the boot, in every group restart, and in the shutdown."""
    specs, log = as_specs(family)
    places = [child.name for child in family]

    def stopped() -> list[str]:
        return [entry.split()[0] for entry in log if entry.endswith(" end")]

    async def main() -> None:
        async with open_tree(supervisor("app", specs, strategy=strategy)):
            assert log == began(places)
            for crash in crashes:
                crashed = crash % len(family)
                log.clear()
                family[crashed].crash()
                await trio.sleep(1_000)
                group = {
                    "one_for_one": places[crashed : crashed + 1],
                    "one_for_all": places,
                    "rest_for_one": places[crashed:],
                }[strategy]
                others = [name for name in group if name != places[crashed]]
                assert stopped() == [places[crashed], *reversed(others)]
                # Every stop comes before every start.
                assert log[-2 * len(group) :] == began(group)
            log.clear()
        assert stopped() == places[::-1]
        # Nobody is asked before the one started after it is gone.
        owners = [int(entry.split()[0]) for entry in log]
        assert owners == sorted(owners, reverse=True)

    run_virtual(main)


# --- budgets -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 20), max_size=12), st.integers(0, 5), st.floats(1, 60))
def test_the_delays_are_1_2_4_4_by_the_restarts_in_the_window_and_the_limit_holds(
    uptimes: list[float], intensity: int, period: float
) -> None:
    async def main() -> None:
        child = ScriptedChild("a")
        policy = Restart(intensity=intensity, period=period, when_exhausted="isolate")
        async with open_tree(supervisor("app", [child.spec(restart=policy)])) as tree:
            recorder = Recorder(tree)
            counted: list[float] = []
            for uptime in uptimes:
                await trio.sleep(uptime)
                child.crash()
                await settle()
                now = trio.current_time()
                inside = sum(when >= now - period for when in counted)
                snapshot = tree.snapshot().child("a")
                if inside >= intensity:
                    assert snapshot.state is State.FAILED
                    break
                counted.append(now)
                delay = (1, 2, 4)[min(inside, 2)]
                assert snapshot.next_attempt_at == now + delay
                await trio.sleep(delay)
                await settle()
                assert child.alive == 1
            assert recorder.times(events.ChildBackingOff, "a") == counted

    run_virtual(main)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3)), max_size=20),
    st.integers(0, 4),
    st.floats(0.5, 10),
    strategies,
)
def test_the_intensity_of_a_supervisor_is_never_exceeded(
    crashes: list[tuple[int, float]], intensity: int, period: float, strategy: StrategyWord
) -> None:
    family = [ScriptedChild() for _ in range(3)]
    specs, _ = as_specs(family)
    spec = supervisor("app", specs, strategy=strategy, intensity=intensity, period=period)

    async def main() -> None:
        counted: list[float] = []
        may_live = True
        with contextlib.suppress(GaveUp):
            async with open_tree(spec):
                for which, wait in crashes:
                    await trio.sleep(wait)
                    now = trio.current_time()
                    may_live = sum(when >= now - period for when in counted) < intensity
                    counted.append(now)
                    family[which].crash()
                    await settle()
                    assert may_live, "it should have given up"
            return
        assert not may_live, "it gave up too early"

    run_virtual(main)
