"""The calls: what each answers for a child that is absent, alive, down, or about to restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    AlreadyPresent,
    AlreadyStarted,
    CallError,
    ChildContext,
    ChildCounts,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    IgnoreStart,
    NoSuchChild,
    NoSuchSupervisor,
    NotSupported,
    Restart,
    SpecError,
    StartFailed,
    SupervisorEnded,
    TreeHandle,
    WouldDeadlock,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.model.restarts import RestartWord
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, scripted

STRATEGIES: list[StrategyWord] = ["one_for_one", "one_for_all", "rest_for_one"]


def otp(word: RestartWord) -> Restart:
    return attrs.evolve(OTP, type=word)


def states(tree: TreeHandle) -> dict[str, str]:
    return {child.path: child.state.value for child in tree.snapshot().walk()}


# --- the table ---------------------------------------------------------------------------------

Call = Callable[[TreeHandle, str], Awaitable[object]]


async def start(tree: TreeHandle, name: str) -> object:
    return await tree.start_child("", ScriptedChild(name).spec())


async def terminate(tree: TreeHandle, name: str) -> None:
    await tree.terminate_child(name)


async def restart(tree: TreeHandle, name: str) -> object:
    return await tree.restart_child(name)


async def delete(tree: TreeHandle, name: str) -> None:
    await tree.delete_child(name)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("call", "name", "answer"),
    [
        (start, "absent", "running"),
        (start, "alive", AlreadyStarted),
        (start, "finished", AlreadyPresent),
        (start, "terminated", AlreadyPresent),
        (start, "ignored", AlreadyPresent),
        (start, "backing_off", AlreadyPresent),
        (terminate, "absent", NoSuchChild),
        (terminate, "alive", "stopped"),
        (terminate, "temporary", None),
        (terminate, "finished", "finished"),
        (terminate, "terminated", "stopped"),
        (terminate, "ignored", "stopped"),
        (terminate, "backing_off", "stopped"),
        (restart, "absent", NoSuchChild),
        (restart, "alive", ChildRunning),
        (restart, "finished", "running"),
        (restart, "terminated", "running"),
        (restart, "ignored", "running"),
        (restart, "backing_off", ChildRestarting),
        (delete, "absent", NoSuchChild),
        (delete, "alive", ChildRunning),
        (delete, "finished", None),
        (delete, "terminated", None),
        (delete, "ignored", None),
        (delete, "backing_off", ChildRestarting),
    ],
)
async def test_the_table_of_calls(
    strategy: StrategyWord, call: Call, name: str, answer: str | type[CallError] | None
) -> None:
    """A word: the child's state afterwards; None: it is forgotten; an error: nothing changed."""
    names = "alive temporary finished terminated ignored backing_off"
    family = {child.name: child for child in scripted(names)}
    policies = {"temporary": otp("temporary"), "backing_off": Restart()}
    specs = [
        child.spec(restart=policies.get(child.name, otp("transient"))) for child in family.values()
    ]
    family["ignored"].fail_next_start(IgnoreStart())
    async with open_tree(supervisor("app", specs, strategy=strategy)) as tree:
        family["backing_off"].crash()
        await settle()
        for other in ("alive", "finished"):  # a group has stopped them, and forgotten one
            if not family[other].alive:
                await tree.restart_child(other)
        if not family["temporary"].alive:
            await tree.start_child("", family["temporary"].spec(restart=otp("temporary")))
        family["finished"].finish()
        await tree.terminate_child("terminated")
        await settle()
        before = states(tree)
        assert before == {
            "alive": "running",
            "temporary": "running",
            "finished": "finished",
            "terminated": "stopped",
            "ignored": "stopped",
            "backing_off": "backing_off",
        }
        if isinstance(answer, type):
            with pytest.raises(answer) as raised:
                await call(tree, name)
            assert raised.value.path == name
            assert states(tree) == before
        else:
            await call(tree, name)
            after = states(tree)
            assert after.pop(name, None) == answer
            before.pop(name, None)
            assert after == before
        await trio.sleep(0.5)
        assert all(child.most_alive <= 1 for child in family.values())


async def test_a_terminated_permanent_child_stays_down_until_a_group_restart() -> None:
    a, b = scripted("a b")
    specs = [a.spec(restart=OTP), b.spec(restart=OTP)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        await tree.terminate_child("b")
        await trio.sleep(100)
        assert b.alive == 0
        a.crash()
        await settle()
        assert b.alive == 1


async def test_a_call_that_starts_returns_a_reference() -> None:
    child = ScriptedChild("a", value=7, start_delay=3)
    async with open_tree(supervisor("app", [supervisor("s")])) as tree:
        ref = await tree.start_child("s", child.spec())
        assert (ref.path, ref.incarnation, ref.running, ref.value) == ("s/a", 1, True, 7)
        assert trio.current_time() == 3
        await tree.terminate_child("s/a")
        assert (await tree.restart_child("s/a")).incarnation == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_failed_start_child_leaves_no_trace(strategy: StrategyWord) -> None:
    child = ScriptedChild("a")
    child.fail_next_start(ValueError("no disk"))
    async with open_tree(supervisor("app", strategy=strategy)) as tree:
        with pytest.raises(StartFailed, match="no disk") as raised:
            await tree.start_child("", child.spec())
        assert isinstance(raised.value.__cause__, ValueError)
        assert states(tree) == {}
        await tree.start_child("", child.spec())
        assert states(tree) == {"a": "running"}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_failed_restart_child_leaves_the_child_down(strategy: StrategyWord) -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=OTP)], strategy=strategy)) as tree:
        await tree.terminate_child("a")
        child.fail_next_start()
        with pytest.raises(StartFailed):
            await tree.restart_child("a")
        await trio.sleep(100)
        assert states(tree) == {"a": "failed"}
        await tree.restart_child("a")
        assert states(tree) == {"a": "running"}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_ignored_start_child_is_kept_and_can_be_restarted(strategy: StrategyWord) -> None:
    child = ScriptedChild("a")
    child.fail_next_start(IgnoreStart(), ValueError(), IgnoreStart())
    async with open_tree(supervisor("app", strategy=strategy)) as tree:
        assert not (await tree.start_child("", child.spec())).running
        assert states(tree) == {"a": "stopped"}
        with pytest.raises(StartFailed):
            await tree.restart_child("a")
        assert states(tree) == {"a": "failed"}
        assert not (await tree.restart_child("a")).running
        assert (await tree.restart_child("a")).running


async def test_an_ignored_temporary_start_child_is_dropped() -> None:
    child = ScriptedChild("a")
    child.fail_next_start(IgnoreStart())
    async with open_tree(supervisor("app")) as tree:
        assert not (await tree.start_child("", child.spec(restart="temporary"))).running
        assert states(tree) == {}


async def test_a_bad_specification_is_refused_before_the_name_is_looked_up() -> None:
    a = ScriptedChild("a")
    significant = a.spec(restart="transient", significant=True)
    async with open_tree(supervisor("app", [a.spec()])) as tree:
        for parent_spec in (significant, None, a, "a"):
            with pytest.raises(SpecError):
                await tree.start_child("", parent_spec)  # type: ignore[arg-type]
        assert states(tree) == {"a": "running"}


async def test_supervisors_inside_each_other_are_limited_at_run_time_too() -> None:
    async with open_tree(supervisor("app")) as tree:
        path = ""
        for depth in range(63):
            path = (await tree.start_child(path, supervisor(f"s{depth}"))).path
        with pytest.raises(SpecError, match="at most 64 supervisors"):
            await tree.start_child(path, supervisor("s63"))
        assert len(states(tree)) == 63


async def test_deleting_is_forgetting() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec()])) as tree:
        recorder = Recorder(tree)
        await tree.terminate_child("a")
        await tree.delete_child("a")
        assert recorder.words() == ["a stopping", "a stopped", "a removed"]
        await tree.start_child("", a.spec())
        assert tree.snapshot().child("a").incarnation == 1


async def test_looking_at_the_children() -> None:
    a, b, c = scripted("a b c")
    nested = supervisor("s", [b.spec()])
    a_spec = a.spec(restart="transient")
    async with open_tree(supervisor("app", [a_spec, nested, c.spec()])) as tree:
        a.finish()
        await settle()
        assert [child.name for child in await tree.which_children()] == ["a", "s", "c"]
        assert [child.path for child in await tree.which_children("s")] == ["s/b"]
        assert await tree.count_children() == ChildCounts(
            specs=3, active=2, supervisors=1, workers=2
        )
        assert await tree.get_childspec("a") is a_spec
        with pytest.raises(NoSuchChild):
            await tree.get_childspec("x")


# --- children that are on their way ------------------------------------------------------------


async def test_calls_about_a_child_that_stops_wait_until_it_has_stopped() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    answers: list[tuple[str, float]] = []

    async def call(what: Call) -> None:
        try:
            await what(tree, "a")
            answers.append((what.__name__, trio.current_time()))
        except CallError as exc:
            answers.append((type(exc).__name__, trio.current_time()))

    async with open_tree(supervisor("app", [child.spec()])) as tree:
        async with trio.open_nursery() as nursery:
            for what in (terminate, start, restart, delete):
                nursery.start_soon(call, what)
                await settle()
        # In the order they were made, once it is gone: it was down when start looked.
        assert sorted(answers) == [
            ("AlreadyPresent", 3),
            ("ChildRunning", 3),
            ("restart", 3),
            ("terminate", 3),
        ]
        assert (child.starts, child.most_alive) == (2, 1)


async def test_calls_about_a_child_that_starts_are_answered_at_once() -> None:
    child = ScriptedChild("a", start_delay=10)
    async with open_tree(supervisor("app")) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(start_it, tree, child)
        await settle()
        with pytest.raises(AlreadyStarted, match="is starting"):
            await tree.start_child("", child.spec())
        for call in (restart, delete):
            with pytest.raises(ChildRunning):
                await call(tree, "a")
        assert trio.current_time() == 0


async def start_it(tree: TreeHandle, child: ScriptedChild) -> None:
    await tree.start_child("", child.spec())


async def test_a_caller_that_is_cancelled_loses_only_the_answer() -> None:
    a, b = scripted("a b", politeness="heeds", stop_delay=3)
    b.start_delay = 3
    async with open_tree(supervisor("app", [a.spec()])) as tree:
        with trio.move_on_after(1):
            await tree.terminate_child("a")
        with trio.move_on_after(1):
            await tree.start_child("", b.spec())
        await trio.sleep(5)
        assert states(tree) == {"a": "stopped", "b": "running"}


async def test_a_kill_meant_for_one_incarnation_does_not_hit_the_next() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=OTP, shutdown=1)])) as tree:
        recorder = Recorder(tree)
        # Stop, and with the timers of that stop still running: start again, crash, go on.
        await tree.terminate_child("a")
        await tree.restart_child("a")
        child.crash()
        await settle()
        await trio.sleep(100)
        assert (child.alive, child.starts, child.most_alive) == (1, 3, 1)
        assert recorder.words().count("a stopping") == 1


async def test_a_child_may_stop_itself() -> None:
    async def suicidal(context: ChildContext) -> None:
        context.started()
        await go.wait()
        await tree.terminate_child("a")

    go = trio.Event()
    async with open_tree(supervisor("app", [ChildSpec("a", suicidal, OTP)])) as tree:
        recorder = Recorder(tree)
        go.set()
        await trio.sleep(100)
        assert recorder.words() == ["a stopping", "a stopped"]
        assert await tree.count_children() == ChildCounts(
            specs=1, active=0, supervisors=0, workers=1
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_child_may_stop_its_own_supervisor(strategy: StrategyWord) -> None:
    async def ambitious(context: ChildContext) -> None:
        context.started()
        await go.wait()
        await tree.terminate_child("s")

    go = trio.Event()
    a = ScriptedChild("a")
    nested = supervisor("s", [a.spec(), ChildSpec("b", ambitious, OTP)], strategy=strategy)
    async with open_tree(supervisor("app", [nested], strategy=strategy)) as tree:
        go.set()
        await trio.sleep(100)
        assert states(tree) == {"s": "stopped"}
        assert a.alive == 0


# --- supervisors that are not there ------------------------------------------------------------


@pytest.mark.parametrize("parent", ["x", "a", "s/x", "a/b"])
async def test_a_path_that_leads_to_no_supervisor(parent: str) -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(), supervisor("s")])) as tree:
        for call in (
            lambda: tree.start_child(parent, a.spec()),
            lambda: tree.terminate_child(f"{parent}/x"),
            lambda: tree.restart_child(f"{parent}/x"),
            lambda: tree.which_children(parent),
            lambda: tree.count_children(parent),
        ):
            with pytest.raises(NoSuchSupervisor) as raised:
                await call()
            assert raised.value.path == parent


async def test_a_stopped_supervisor_takes_no_calls_until_it_is_restarted() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [supervisor("s", [a.spec()])])) as tree:
        await tree.terminate_child("s")
        assert tree.snapshot().child("s").supervisor is None
        with pytest.raises(NoSuchSupervisor):
            await tree.terminate_child("s/a")
        await tree.restart_child("s")
        await tree.terminate_child("s/a")
        assert (a.starts, a.alive) == (2, 0)


async def test_after_the_end_of_the_tree_every_call_is_refused() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec()])) as tree:
        pass
    with pytest.raises(NoSuchSupervisor, match="the supervisor has ended"):
        await tree.restart_child("a")
    with pytest.raises(NoSuchSupervisor):
        await tree.which_children()
    tree.stop()
    tree.hurry()
    await tree.wait_ended()
    assert states(tree) == {"a": "stopped"}


async def test_calls_that_wait_when_the_supervisor_ends_are_answered() -> None:
    a, b = scripted("a b", politeness="heeds", stop_delay=5)
    told: list[str] = []

    async def count(parent: str) -> None:
        with pytest.raises(SupervisorEnded) as raised:
            await tree.count_children(parent)
        told.append(raised.value.path)

    async with open_tree(supervisor("app", [supervisor("s", [a.spec(), b.spec()])])) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "s")
            await trio.sleep(1)
            nursery.start_soon(count, "s")
            nursery.start_soon(count, "s")
        assert told == ["s", "s"]
        assert trio.current_time() == 10


async def test_a_call_for_a_stopping_child_is_answered_when_its_supervisor_ends() -> None:
    a = ScriptedChild("a", politeness="heeds", stop_delay=5)

    async def restart_it() -> None:
        with pytest.raises(SupervisorEnded):
            await tree.restart_child("s/a")

    async with open_tree(supervisor("app", [supervisor("s", [a.spec()])])) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "s/a")
            await trio.sleep(1)
            nursery.start_soon(restart_it)
            await trio.sleep(1)
            nursery.start_soon(tree.terminate_child, "s")
        assert (a.starts, a.alive) == (1, 0)


# --- siblings are served -----------------------------------------------------------------------


async def test_a_slow_start_delays_no_sibling() -> None:
    slow, quick = scripted("slow quick")
    slow.start_delay = 100
    async with open_tree(supervisor("app", [quick.spec(restart=OTP)])) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_it, tree, slow)
            await settle()
            quick.crash()
            await settle()
            assert quick.starts == 2
            await tree.terminate_child("quick")
            await tree.restart_child("quick")
            assert trio.current_time() == 0
        assert trio.current_time() == 100


async def test_a_slow_stop_delays_no_sibling() -> None:
    slow, quick = scripted("slow quick")
    slow.politeness, slow.stop_delay = "heeds", 4
    async with open_tree(supervisor("app", [slow.spec(), quick.spec(restart=OTP)])) as tree:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.terminate_child, "slow")
            await settle()
            quick.crash()
            await settle()
            assert quick.starts == 2
            assert trio.current_time() == 0
        assert trio.current_time() == 4


async def test_a_backoff_delays_no_sibling() -> None:
    slow, quick = scripted("slow quick")
    async with open_tree(supervisor("app", [slow.spec(), quick.spec(restart=OTP)])) as tree:
        recorder = Recorder(tree)
        slow.crash()
        await settle()
        quick.crash()
        await settle()
        await tree.start_child("", ScriptedChild("new").spec())
        assert recorder.times(events.ChildStarting, "quick") == [0]
        assert trio.current_time() == 0


async def test_a_group_restart_holds_its_group_and_nothing_else() -> None:
    a, b, c = scripted("a b c")
    group = supervisor("g", [a.spec(restart=OTP), b.spec(restart=OTP)], strategy="one_for_all")
    async with open_tree(supervisor("app", [group, c.spec(restart=OTP)])) as tree:
        b.start_delay = 50
        a.crash()
        await settle()
        c.crash()
        await settle()
        assert c.starts == 2
        assert await tree.count_children() == ChildCounts(
            specs=2, active=2, supervisors=1, workers=1
        )
        assert trio.current_time() == 0
        await tree.count_children("g")
        assert trio.current_time() == 50


# --- calls that would wait for themselves ------------------------------------------------------


def calling(parent: str, trees: list[TreeHandle], answers: list[object]) -> ChildSpec:
    """Return a child ``caller`` that counts the children of ``parent`` before it acknowledges."""

    async def call(context: ChildContext) -> None:
        try:
            answers.append(await trees[0].count_children(parent))
        except WouldDeadlock as exc:
            answers.append(exc.path)
        context.started()
        await trio.sleep_forever()

    return ChildSpec("caller", call, OTP)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_call_from_a_start_to_the_supervisor_that_waits_for_it_is_refused(
    strategy: StrategyWord,
) -> None:
    trees: list[TreeHandle] = []
    answers: list[object] = []
    tree = TreeHandle(supervisor("app", [calling("", trees, answers)], strategy=strategy))
    trees.append(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        assert answers == [""]
        assert states(tree) == {"caller": "running"}
        await tree.terminate_child("caller")
        await tree.restart_child("caller")
        assert answers == ["", ""]
        tree.stop()


async def test_the_call_of_a_grandchild_is_refused_too() -> None:
    trees: list[TreeHandle] = []
    answers: list[object] = []
    nested = supervisor("s", [calling("", trees, answers)])
    tree = TreeHandle(supervisor("app", [nested], strategy="one_for_all"))
    trees.append(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        assert answers == [""]
        tree.stop()


async def test_a_call_from_a_task_that_the_start_waits_for_is_refused() -> None:
    answers: list[str] = []

    async def call() -> None:
        try:
            await tree.count_children()
        except WouldDeadlock as exc:
            answers.append(exc.path)

    async def delegate(context: ChildContext) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
        context.started()

    tree = TreeHandle(
        supervisor("app", [ChildSpec("a", delegate, otp("transient"))], strategy="one_for_all")
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        assert answers == [""]
        tree.stop()


async def test_under_one_for_one_a_start_may_call_its_supervisor() -> None:
    trees: list[TreeHandle] = []
    answers: list[object] = []
    tree = TreeHandle(supervisor("app", [calling("", trees, answers)]))
    trees.append(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        assert answers == [ChildCounts(specs=1, active=1, supervisors=0, workers=1)]
        tree.stop()


async def test_a_call_from_a_stop_that_the_supervisor_waits_for_is_refused() -> None:
    errors: list[str] = []

    async def clean_up(context: ChildContext) -> None:
        context.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await tree.count_children()
                except WouldDeadlock as exc:
                    errors.append(str(exc))

    a = ScriptedChild("a")
    specs = [a.spec(restart=OTP), ChildSpec("b", clean_up)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        a.crash()
        await settle()
        assert errors == ["the root: waits for b to stop, which called it"]
        assert states(tree) == {"a": "running", "b": "running"}


async def test_an_acknowledged_child_may_call_while_its_siblings_start() -> None:
    answers: list[ChildCounts] = []

    async def call(context: ChildContext) -> None:
        context.started()
        answers.append(await tree.count_children())

    slow = ScriptedChild("slow", start_delay=5)
    specs = [ChildSpec("a", call, otp("transient")), slow.spec()]
    tree = TreeHandle(supervisor("app", specs, strategy="one_for_all"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(10)
        assert answers == [ChildCounts(specs=2, active=2, supervisors=0, workers=2)]
        tree.stop()


async def test_not_supported_is_not_for_static_supervisors() -> None:
    async with open_tree(supervisor("app")) as tree:
        with pytest.raises(NotSupported, match="has no template"):
            await tree.start_from_template("", "x")


async def test_crashes_meanwhile_do_not_lose_answers() -> None:
    """Many calls and crashes at once: each call is answered, with a value or a refusal."""
    family = scripted("a b c d")
    answered: list[str] = []

    async def call(what: Call, name: str) -> None:
        try:
            await what(tree, name)
            answered.append("ok")
        except (CallError, StartFailed) as exc:
            answered.append(type(exc).__name__)

    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs)) as tree:
        async with trio.open_nursery() as nursery:
            for child in family:
                for what in (terminate, restart, terminate, start, restart, delete):
                    nursery.start_soon(call, what, child.name)
                child.fail_next_start(Scripted("no"))
                child.crash()
        await settle()
        assert len(answered) == 4 * 6
        assert all(child.most_alive == 1 for child in family)
