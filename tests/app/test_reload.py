"""A plan is applied to a running tree: what becomes of it, and of what nobody asked to touch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    ChildContext,
    ChildSpec,
    Restart,
    State,
    SupervisorSnapshot,
    TreeHandle,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.app.reload import CannotReload, Outcome, Reloader
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.settings import ChildConfig, Config, ProcessConfig, ServeConfig, SupervisorConfig
from a2a_sup.model.needs import Need, cycle
from a2a_sup.model.strategy import AutoShutdown, Strategy
from a2a_sup.serve.webhooks import Webhook
from a2a_sup.testing import Recorder, run_virtual

QUICK = Restart(backoff=NO_BACKOFF, intensity=None)
PIDS = itertools.count(1)


def process(name: str, *argv: str, **fields: Any) -> ProcessConfig:
    return ProcessConfig(name=name, argv=argv or ("run",), cwd="/", **{"restart": QUICK, **fields})


def group(name: str, *children: ChildConfig, **fields: Any) -> SupervisorConfig:
    return SupervisorConfig(
        name=name, children=children, **{"restart": QUICK, "stop_order": "reverse", **fields}
    )


def config(*children: ChildConfig, **fields: Any) -> Config:
    return Config(group("root", *children, **fields))


async def play(argv: tuple[str, ...], context: ChildContext) -> None:
    """Stand in for a process: ``fail`` does not start, ``once`` ends at once.

    ``slow`` takes its time to start, ``late`` to be ready.
    """
    context.report(pid=next(PIDS))
    if argv[0] == "fail":
        raise OSError("no such file")
    if argv[0] == "slow":
        await trio.sleep(10)
    context.started()
    if argv[0] == "late":
        await trio.sleep(10)
    context.ready()
    if argv[0] == "deaf":
        with trio.CancelScope(shield=True):
            await trio.sleep(12)
    if argv[0] != "once":
        await trio.sleep_forever()


def build(what: Config, held: Callable[[str], bool] | None = None) -> ChildSpec:
    return build_child(what.root, held)


def build_child(what: ChildConfig, held: Callable[[str], bool] | None) -> ChildSpec:
    if isinstance(what, SupervisorConfig):
        spec = supervisor(
            what.name,
            [build_child(child, held) for child in what.children],
            strategy=cast(Any, what.strategy),
            intensity=what.intensity,
            stop_order=what.stop_order,
            restart=what.restart,
            tags=what.tags,
        )
        return attrs.evolve(spec, after=what.after)

    async def run(context: ChildContext) -> None:
        await play(what.argv, context)

    return ChildSpec(
        what.name,
        run,
        restart=what.restart,
        shutdown=what.stop_timeout,
        tags=what.tags,
        info={"command": what.argv},
        after=what.after,
        held=held,
    )


def shape(root: SupervisorSnapshot) -> list[Any]:
    """Return everything that a fresh tree of the same configuration has in common."""
    return [
        (
            child.path,
            child.kind,
            child.state,
            child.restart,
            child.tags,
            child.info.get("command"),
            child.supervisor and (child.supervisor.strategy, shape(child.supervisor)),
        )
        for child in root.children
    ]


def pids(tree: TreeHandle) -> dict[str, int]:
    """Return what tells the running incarnations apart."""
    return {
        child.path: child.details.get("pid", child.incarnation)
        for child in tree.snapshot().root.walk()
    }


def story_of(recorder: Recorder) -> list[str]:
    told = (events.ChildStopped, events.ChildStarted)
    return [
        f"{each.path} {each.type.removeprefix('child.')}"
        for each in recorder.events
        if isinstance(each, told)
    ]


async def applied(tree: TreeHandle, old: Config, new: Config) -> Outcome:
    return await Reloader(tree, old, build).apply(new)


# --- any two configurations ----------------------------------------------------------------------

policies = st.sampled_from(["permanent", "transient", "temporary"]).map(
    lambda word: Restart(type=cast(Any, word), backoff=NO_BACKOFF, intensity=None)
)
tags = st.sampled_from([(), ("t",)])
leaves = st.builds(
    process,
    st.sampled_from("abcd"),
    st.sampled_from(["run", "walk", "go"]),
    restart=policies,
    tags=tags,
    stop_timeout=st.sampled_from([1.0, 2.0]),
)
strategies = st.sampled_from([each for each in Strategy if each is not Strategy.SIMPLE_ONE_FOR_ONE])


def groups(children: st.SearchStrategy[ChildConfig]) -> st.SearchStrategy[SupervisorConfig]:
    members = st.lists(children, max_size=4, unique_by=lambda child: child.name)
    return st.builds(
        lambda name, below, strategy, labels, needs: group(
            name,
            *(below if strategy.grouped else needing(below, needs)),
            strategy=strategy,
            tags=labels,
        ),
        st.sampled_from("abcd"),
        members,
        strategies,
        tags,
        st.dictionaries(st.sampled_from("abcd"), st.sampled_from("abcd")),
    )


def needing(children: list[ChildConfig], needs: dict[str, str]) -> list[ChildConfig]:
    """Return the children with these needs, without those of strangers; or none: no circle."""
    names = {child.name for child in children}
    family = {name: {needs[name]} & names if name in needs else set() for name in names}
    if cycle(family):
        return children
    return [
        attrs.evolve(child, after=dict.fromkeys(family[child.name], Need.STARTED))
        for child in children
    ]


trees = groups(st.one_of(leaves, groups(st.one_of(leaves, groups(leaves)))))


@settings(max_examples=100, deadline=None)
@given(trees, trees)
def test_the_plan_applied_to_the_old_tree_gives_the_new_one(
    before: SupervisorConfig, after: SupervisorConfig
) -> None:
    old, new = Config(before), Config(after)

    async def main() -> None:
        async with open_tree(build(new)) as fresh:
            wanted = shape(fresh.snapshot().root)
        async with open_tree(build(old)) as tree:
            earlier = pids(tree)
            reloader = Reloader(tree, old, build)
            outcome = await reloader.apply(new)
            await settle()
            assert outcome.failed is None
            assert outcome.applied == outcome.plan.steps == plan(old, new).steps
            assert shape(tree.snapshot().root) == wanted
            assert tree.name == new.root.name
            later = pids(tree)
            for path in outcome.plan.untouched + outcome.plan.paths("update"):
                assert not path or later[path] == earlier[path]
            for path in outcome.plan.paths("restart"):
                assert later[path] != earlier[path]
            again = await reloader.apply(new)
            assert not again.plan.steps
            # What a supervisor boots next time is the new configuration too.
            for child in tree.snapshot().root.walk():
                if child.supervisor is not None:
                    await tree.terminate_child(child.path)
                    await tree.restart_child(child.path)
            assert shape(tree.snapshot().root) == wanted

    run_virtual(main)


@settings(max_examples=50, deadline=None)
@given(trees, trees, st.integers(0, 20))
def test_a_reload_that_fails_midway_is_finished_by_the_next(
    before: SupervisorConfig, after: SupervisorConfig, which: int
) -> None:
    """Whatever child it is that cannot start, the tree is what the reloader says it is."""
    old, good = Config(before), Config(after)
    bad = Config(broken(after, which))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            outcome = await reloader.apply(bad)
            await settle()
            steps = outcome.plan.steps
            assert outcome.applied == steps[: len(outcome.applied)]
            if outcome.failed is not None:
                assert "no such file" in outcome.because
                assert outcome.failed == steps[len(outcome.applied)]
                assert outcome.left == steps[len(outcome.applied) + 1 :]
                now = shape(tree.snapshot().root)
                async with open_tree(build(reloader.config)) as fresh:
                    assert now == shape(fresh.snapshot().root)
            await reloader.apply(good)
            await settle()
            async with open_tree(build(good)) as fresh:
                wanted = shape(fresh.snapshot().root)
            assert shape(tree.snapshot().root) == wanted

    run_virtual(main)


def broken(what: SupervisorConfig, which: int) -> SupervisorConfig:
    """Return a configuration one of whose processes cannot start."""
    if not what.children:
        return what
    place = which % len(what.children)
    child = what.children[place]
    changed = (
        broken(child, which // 2)
        if isinstance(child, SupervisorConfig)
        else attrs.evolve(child, argv=("fail",))
    )
    children = (*what.children[:place], changed, *what.children[place + 1 :])
    return attrs.evolve(what, children=children)


# --- what is not touched -------------------------------------------------------------------------


def test_one_change_among_a_thousand_is_exactly_one_restart() -> None:
    children = [process(f"c{number}") for number in range(1000)]
    old = config(*children)
    children[500] = process("c500", "other")
    new = config(*children)

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            earlier = pids(tree)
            recorder = Recorder(tree)
            await applied(tree, old, new)
            starting = [each for each in recorder.events if isinstance(each, events.ChildStarting)]
            assert [each.path for each in starting] == ["c500"]
            later = pids(tree)
            assert {path for path in later if later[path] != earlier[path]} == {"c500"}

    run_virtual(main)


def test_a_changed_policy_restarts_nobody_and_holds() -> None:
    old, new = config(process("a")), config(process("a", restart=Restart(type="temporary")))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            earlier = pids(tree)
            outcome = await applied(tree, old, new)
            assert [str(step) for step in outcome.applied] == [
                "update   a  (restart.type, restart.backoff, restart.intensity)"
            ]
            assert pids(tree) == earlier
            assert tree.snapshot().root.children[0].restart == "temporary"

    run_virtual(main)


def test_a_group_is_stopped_in_reverse_and_started_in_order() -> None:
    rest = {"strategy": Strategy.REST_FOR_ONE}
    old = config(*map(process, "abcd"), **rest)
    new = config(process("a"), process("b", "other"), process("n"), *map(process, "cd"), **rest)

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            recorder = Recorder(tree)
            await applied(tree, old, new)
            assert story_of(recorder) == [
                *(f"{name} stopped" for name in "dcb"),
                *(f"{name} started" for name in "bncd"),
            ]

    run_virtual(main)


# --- needs ---------------------------------------------------------------------------------------


READY = {"db": Need.READY}


def test_who_needs_another_that_restarts_stops_before_it_and_starts_when_it_is_ready() -> None:
    old = config(process("api", after=READY), process("other"), process("db"))
    new = config(process("api", "new", after=READY), process("other", "new"), process("db", "late"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            recorder = Recorder(tree)
            outcome = await applied(tree, old, new)
            assert [step.path for step in outcome.applied] == ["other", "db", "api"]
            shown = tree.snapshot().child("api")
            assert (shown.state, shown.waits_for) == (State.PENDING, ("db ready",))
            await tree.wait_until(lambda now: now.child("api").state is State.RUNNING)
            assert trio.current_time() == 10
            assert tree.snapshot().child("api").info["command"] == ("new",)
            assert story_of(recorder) == [
                "api stopped",
                *("other stopped", "other started"),
                *("db stopped", "db started"),
                "api started",
            ]

    run_virtual(main)


def test_a_new_child_waits_for_one_that_restarts_though_it_is_listed_before_it() -> None:
    old = config(process("db"))
    new = config(process("api", after=READY), process("db", "late"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            await applied(tree, old, new)
            assert tree.snapshot().child("api").state is State.PENDING

    run_virtual(main)


def test_who_needs_another_that_is_gone_goes_first() -> None:
    old = config(process("api", after=READY), process("db"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            outcome = await applied(tree, old, config())
            assert [step.path for step in outcome.applied] == ["api", "db"]

    run_virtual(main)


@pytest.mark.parametrize("argv", ["run", "new"])
def test_what_is_not_coming_back_is_not_waited_for(argv: str) -> None:
    """As ever: needs count at the first start, and what somebody stopped stays down."""
    old = config(process("db"), process("api", after=READY))
    new = config(process("db", argv), process("api", "new", after=READY))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            await tree.terminate_child("db")
            await applied(tree, old, new)
            states = [child.state for child in tree.snapshot().root.children]
            assert states == [State.STOPPED, State.RUNNING]

    run_virtual(main)


def test_when_what_is_needed_cannot_start_both_are_what_they_were() -> None:
    old = config(process("api", after=READY), process("db"))
    new = config(process("api", "new", after=READY), process("db", "fail"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            before = shape(tree.snapshot().root)
            outcome = await applied(tree, old, new)
            assert outcome.failed is not None
            assert outcome.failed.path == "db"
            await settle()
            assert shape(tree.snapshot().root) == before

    run_virtual(main)


@pytest.mark.parametrize("argv", ["run", "new"])
def test_two_can_need_each_other_the_other_way_round(argv: str) -> None:
    old = config(process("a", after={"b": Need.STARTED}), process("b"), process("c"))
    new = config(
        process("a", argv),
        process("b", "new", after={"a": Need.STARTED, "c": Need.STARTED}),
        process("c", "new"),
    )

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            outcome = await applied(tree, old, new)
            assert outcome.failed is None
            states = {child.state for child in tree.snapshot().root.children}
            assert states == {State.RUNNING}

    run_virtual(main)


@pytest.mark.parametrize("failing", ["a", "api"])
def test_what_is_needed_may_be_gone_when_the_rest_of_a_plan_fails(failing: str) -> None:
    old = config(process("a"), process("api", after=READY), process("db"))
    argv = {"a": "run", "api": "run", failing: "fail"}
    new = config(process("a", argv["a"]), process("api", argv["api"], tags=("t",)))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            outcome = await reloader.apply(new)
            assert outcome.failed is not None
            assert outcome.failed.path == failing
            found = {child.name: child.state for child in tree.snapshot().root.children}
            assert found == {"a": State.RUNNING, "api": State.RUNNING}
            good = config(process("a", "new"), process("api"))
            assert (await reloader.apply(good)).failed is None

    run_virtual(main)


# --- children that are down ----------------------------------------------------------------------


def test_who_was_stopped_stays_down_and_starts_as_the_new_one_when_asked() -> None:
    old = config(process("a"), process("b"))
    new = config(process("a", "other"), process("b"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            await tree.terminate_child("a")
            await applied(tree, old, new)
            shown = tree.snapshot().root.children[0]
            assert (shown.state, shown.incarnation) == (State.STOPPED, 1)
            assert shown.info["command"] == ("other",)
            await tree.restart_child("a")
            assert tree.snapshot().root.children[0].state is State.RUNNING

    run_virtual(main)


def test_who_failed_gets_its_chance_with_a_new_command() -> None:
    failing = Restart(intensity=0, when_exhausted="isolate")
    old = config(process("a", "fail", restart=failing), process("b"))
    new = config(process("a", "run", restart=failing), process("b"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            await tree.wait_until(lambda snapshot: snapshot.root.children[0].state is State.FAILED)
            await applied(tree, old, new)
            assert tree.snapshot().root.children[0].state is State.RUNNING

    run_virtual(main)


@pytest.mark.parametrize("word", ["temporary", "transient"])
def test_who_finished_runs_again_only_if_what_it_runs_changed(word: str) -> None:
    once = Restart(type=cast(Any, word))
    old = config(process("a", "once", restart=once), process("b"))
    same = config(process("a", "once", restart=once), process("b", tags=("t",)))
    new = config(process("a", "run", restart=once), process("b", tags=("t",)))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            await settle()
            await reloader.apply(same)
            assert not [c for c in tree.snapshot().root.children if c.state is State.RUNNING][1:]
            await reloader.apply(new)
            names = [child.name for child in tree.snapshot().root.children]
            states = {child.state for child in tree.snapshot().root.children}
            assert (names, states) == (["a", "b"], {State.RUNNING})

    run_virtual(main)


def test_children_of_a_supervisor_that_is_down_wait_for_its_next_start() -> None:
    old = config(group("s", process("a")))
    new = config(group("s", process("a", "other"), process("n")))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            await tree.terminate_child("s")
            outcome = await applied(tree, old, new)
            assert outcome.failed is None
            await tree.restart_child("s")
            assert [child.path for child in tree.snapshot().root.walk()] == ["s", "s/a", "s/n"]

    run_virtual(main)


# --- trouble -------------------------------------------------------------------------------------


def test_what_cannot_start_is_put_back_and_the_rest_is_left_alone() -> None:
    old = config(*map(process, "abc"))
    new = config(process("a", "other"), process("b", "fail"), process("c", "other"), process("d"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            earlier = pids(tree)
            outcome = await applied(tree, old, new)
            told = outcome.to_json()
            assert told["ok"] is False
            assert [step["child"] for step in told["applied"]] == ["a"]
            assert told["failed"]["child"] == "b"
            assert "no such file" in told["because"]
            assert [step["child"] for step in told["not_applied"]] == ["c", "d"]
            found = {child.name: child for child in tree.snapshot().root.children}
            assert found.keys() == {"a", "b", "c"}
            assert found["b"].state is State.RUNNING
            assert found["b"].info["command"] == ("run",)
            assert pids(tree)["c"] == earlier["c"]

    run_virtual(main)


def test_a_child_that_cannot_start_in_a_group_leaves_the_group_as_it_was() -> None:
    rules = {"strategy": Strategy.ONE_FOR_ALL}
    old = config(*map(process, "abc"), **rules)
    new = config(process("a"), process("b", "fail"), process("c"), **rules)

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            before = shape(tree.snapshot().root)
            outcome = await applied(tree, old, new)
            assert outcome.failed is not None
            assert shape(tree.snapshot().root) == before

    run_virtual(main)


def test_who_takes_longer_than_its_time_to_stop_is_restarted_all_the_same() -> None:
    async def main() -> None:
        old = config(process("a", "deaf", stop_timeout=5.0), process("b"))
        new = config(process("a"), process("b"))
        async with open_tree(build(old)) as tree:
            before = pids(tree)
            outcome = await applied(tree, old, new)
            assert (outcome.failed, outcome.because) == (None, "")
            shown = tree.child("a")
            assert shown is not None
            assert shown.state is State.RUNNING
            assert pids(tree)["a"] != before["a"]

    run_virtual(main)


def test_what_is_known_to_fail_changes_nothing() -> None:
    old, new = config(process("a")), config(process("a", "fail"), process("b"))

    def check(what: ChildConfig) -> str | None:
        failing = isinstance(what, ProcessConfig) and what.argv == ("fail",)
        return "no such file" if failing else None

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            before = tree.snapshot().root
            reloader = Reloader(tree, old, build, check)
            with pytest.raises(CannotReload) as caught:
                await reloader.apply(new)
            assert caught.value.problems == ("a: no such file",)
            assert tree.snapshot().root is before
            assert reloader.config is old

    run_virtual(main)


def test_one_reload_at_a_time() -> None:
    first, second = config(process("a", "slow")), config(process("a", "other"))

    async def main() -> None:
        old = config(process("a"))
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reloader.apply, first)
                await settle()
                await reloader.apply(second)
            assert trio.current_time() == 10
            assert tree.snapshot().root.children[0].info["command"] == ("other",)

    run_virtual(main)


def test_a_caller_that_goes_away_leaves_no_half_plan() -> None:
    old = config(process("a"), process("b"))
    new = config(process("a", "slow"), process("b", "other"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            with trio.move_on_after(1):
                await reloader.apply(new)
            assert [c.info["command"] for c in tree.snapshot().root.children] == [
                ("slow",),
                ("other",),
            ]

    run_virtual(main)


def test_what_only_the_next_start_reads_is_told_until_it_is_as_it_was() -> None:
    old, again = config(process("a")), config(process("a", "other"))
    new = attrs.evolve(old, serve=ServeConfig(ready="any"))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            told = [
                (await reloader.apply(each)).plan.next_start
                for each in (new, new, attrs.evolve(again, serve=new.serve), again)
            ]
            assert told == [("serve.ready",)] * 3 + [()]
            broken = attrs.evolve(config(process("a", "fail")), serve=new.serve)
            assert (await reloader.apply(broken)).failed is not None
            assert reloader.plan(new).next_start == ("serve.ready",)

    run_virtual(main)


@pytest.mark.parametrize("argv", ["run", "fail"])
def test_webhooks_are_in_force_at_once_whatever_becomes_of_the_steps(argv: str) -> None:
    old = config(process("a"))
    new = attrs.evolve(config(process("a", argv)), webhooks=(Webhook("http://x.example/"),))

    async def main() -> None:
        async with open_tree(build(old)) as tree:
            reloader = Reloader(tree, old, build)
            heard: list[Config] = []
            reloader.on_news = heard.append
            outcome = await reloader.apply(new)
            assert (outcome.plan.webhooks, outcome.failed is None) == (True, argv == "run")
            assert [each.webhooks for each in heard] == [new.webhooks]
            assert not reloader.plan(new).webhooks

    run_virtual(main)


def test_auto_shutdown_and_significant_children_change_in_place() -> None:
    once = Restart(type="temporary")
    old = config(process("a", restart=once), process("b"))
    new = config(
        process("a", restart=once, significant=True),
        process("b"),
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )
    found = plan(old, new)
    assert [str(step) for step in found.steps] == [
        "update   the root  (auto_shutdown)",
        "update   a  (significant)",
    ]
