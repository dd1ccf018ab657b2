"""Dynamic supervisors: children come at run time, alone, and are forgotten when they end."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildCounts,
    ChildSpec,
    GaveUp,
    IgnoreStart,
    NoSuchChild,
    NotSupported,
    ReasonKind,
    Restart,
    SpecError,
    StartFailed,
    State,
    TooManyChildren,
    TreeHandle,
    dynamic_supervisor,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.model.restarts import RestartWord
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, scripted


def otp(word: RestartWord) -> Restart:
    return attrs.evolve(OTP, type=word)


def states(tree: TreeHandle) -> dict[str, str]:
    return {child.path: child.state.value for child in tree.snapshot().walk()}


async def test_children_are_named_after_their_specification_and_a_number() -> None:
    a, b = scripted("a b")
    async with open_tree(supervisor("app", [dynamic_supervisor("pool")])) as tree:
        refs = [await tree.start_child("pool", spec) for spec in (a.spec(), a.spec(), b.spec())]
        assert [ref.path for ref in refs] == ["pool/a#1", "pool/a#2", "pool/b#3"]
        assert (a.alive, b.alive) == (2, 1)


async def test_a_name_is_never_used_again() -> None:
    """Not even after its supervisor was restarted: a call cannot hit somebody else."""
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [dynamic_supervisor("pool")])) as tree:
        paths = []
        for _ in range(3):
            paths.append((await tree.start_child("pool", a.spec())).path)
            paths.append((await tree.start_child("pool", a.spec())).path)
            await tree.terminate_child(paths[-1])
            await tree.terminate_child("pool")
            await tree.restart_child("pool")
        assert len(set(paths)) == 6
        for path in paths:
            with pytest.raises(NoSuchChild):
                await tree.terminate_child(path)


async def test_a_template_makes_children_from_arguments() -> None:
    family = {name: ScriptedChild(name) for name in "ab"}

    def template(name: str, restart: RestartWord = "permanent") -> ChildSpec:
        return family[name].spec(restart=otp(restart))

    async with open_tree(dynamic_supervisor("pool", template)) as tree:
        ref = await tree.start_from_template("", "a", "transient")
        await tree.start_from_template("", "b")
        assert (await tree.get_childspec(ref.path)).restart.type == "transient"
        # A restart keeps the arguments.
        family["b"].crash()
        await settle()
        assert states(tree) == {"a#1": "running", "b#2": "running"}
        assert family["b"].starts == 2
        assert await tree.count_children() == ChildCounts(
            specs=1, active=2, supervisors=0, workers=2
        )


async def test_what_a_template_raises_is_the_callers_error() -> None:
    def template(number: int) -> ChildSpec:
        if number:
            raise LookupError(number)
        return None  # type: ignore[return-value]

    async with open_tree(dynamic_supervisor("pool", template)) as tree:
        with pytest.raises(LookupError):
            await tree.start_from_template("", 1)
        with pytest.raises(TypeError):
            await tree.start_from_template("")
        with pytest.raises(SpecError, match="a child is a ChildSpec"):
            await tree.start_from_template("", 0)
        assert states(tree) == {}


async def test_a_template_is_needed_for_a_start_from_it() -> None:
    async with open_tree(dynamic_supervisor("pool")) as tree:
        with pytest.raises(NotSupported, match="has no template"):
            await tree.start_from_template("")


async def test_restart_child_and_delete_child_do_not_exist() -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        ref = await tree.start_child("", a.spec())
        for path in (ref.path, "absent"):
            for call in (tree.restart_child, tree.delete_child):
                with pytest.raises(NotSupported):
                    await call(path)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_terminated_child_is_forgotten(restart: RestartWord) -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        ref = await tree.start_child("", a.spec(restart=otp(restart)))
        await tree.terminate_child(ref.path)
        assert (a.alive, states(tree)) == (0, {})
        with pytest.raises(NoSuchChild):
            await tree.terminate_child(ref.path)


@pytest.mark.parametrize(
    ("restart", "end", "kept"),
    [
        ("permanent", "finish", True),
        ("permanent", "crash", True),
        ("transient", "finish", False),
        ("transient", "shut_down", False),
        ("transient", "crash", True),
        ("temporary", "crash", False),
    ],
)
async def test_a_child_that_is_not_restarted_is_forgotten(
    restart: RestartWord, end: str, *, kept: bool
) -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        await tree.start_child("", a.spec(restart=otp(restart)))
        getattr(a, end)()
        await settle()
        assert states(tree) == ({"a#1": "running"} if kept else {})


async def test_a_child_is_restarted_alone_under_the_same_name() -> None:
    a, b = scripted("a b")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        for child in (a, b):
            await tree.start_child("", child.spec(restart=OTP))
        a.crash()
        await settle()
        assert (a.starts, b.starts) == (2, 1)
        assert states(tree) == {"a#1": "running", "b#2": "running"}
        assert tree.snapshot().child("a#1").incarnation == 2


async def test_an_ignored_start_leaves_nothing() -> None:
    a = ScriptedChild("a")
    a.fail_next_start(IgnoreStart())
    async with open_tree(dynamic_supervisor("pool")) as tree:
        assert not (await tree.start_child("", a.spec())).running
        assert states(tree) == {}


async def test_an_ignored_restart_drops_the_child() -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        await tree.start_child("", a.spec(restart=OTP))
        a.fail_next_start(IgnoreStart())
        a.crash()
        await settle()
        assert states(tree) == {}


async def test_a_failed_start_leaves_nothing() -> None:
    a = ScriptedChild("a")
    a.fail_next_start(Scripted("no"))
    async with open_tree(dynamic_supervisor("pool")) as tree:
        with pytest.raises(StartFailed):
            await tree.start_child("", a.spec(restart=OTP))
        await trio.sleep(100)
        assert (states(tree), a.starts) == ({}, 1)


async def test_a_child_terminated_while_backing_off_is_forgotten() -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool", max_children=1)) as tree:
        ref = await tree.start_child("", a.spec())
        a.crash()
        await settle()
        assert states(tree) == {"a#1": "backing_off"}
        await tree.terminate_child(ref.path)
        assert states(tree) == {}
        await tree.start_child("", a.spec())


async def test_an_exhausted_isolated_child_is_forgotten() -> None:
    a = ScriptedChild("a")
    policy = Restart(intensity=0, when_exhausted="isolate")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        recorder = Recorder(tree)
        await tree.start_child("", a.spec(restart=policy))
        a.crash()
        await settle()
        assert states(tree) == {}
        assert recorder.words()[-3:] == ["a#1 ended", "a#1 failed", "a#1 removed"]


async def test_max_children_counts_the_living_and_those_about_to_restart() -> None:
    a, b, c = scripted("a b c")
    async with open_tree(dynamic_supervisor("pool", max_children=2)) as tree:
        await tree.start_child("", a.spec())
        ref = await tree.start_child("", b.spec())
        a.crash()
        await settle()
        with pytest.raises(TooManyChildren, match="there are 2 children already"):
            await tree.start_child("", c.spec())
        assert c.starts == 0
        await tree.terminate_child(ref.path)
        await tree.start_child("", c.spec())
        assert c.alive == 1


async def test_no_children_are_allowed_at_all() -> None:
    async with open_tree(dynamic_supervisor("pool", max_children=0)) as tree:
        with pytest.raises(TooManyChildren):
            await tree.start_child("", ScriptedChild("a").spec())


async def test_all_children_are_stopped_at_once_each_with_its_own_grace() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=3)
    b.stop_delay = 50
    async with open_tree(dynamic_supervisor("pool")) as tree:
        for child in (a, b, c):
            await tree.start_child("", child.spec(shutdown=7))
        recorder = Recorder(tree)
    stopped = [event for event in recorder.events if isinstance(event, events.ChildStopped)]
    assert [(event.path, event.time) for event in stopped] == [
        (path, 3 if path != "b#2" else 7) for path in [event.path for event in stopped]
    ]
    assert {event.path: event.reason.kind for event in stopped} == {
        "a#1": ReasonKind.SHUTDOWN,
        "b#2": ReasonKind.KILLED,
        "c#3": ReasonKind.SHUTDOWN,
    }


async def test_children_share_the_intensity() -> None:
    a, b = scripted("a b")
    with pytest.raises(GaveUp):  # noqa: PT012 - the block is what is tested
        async with open_tree(dynamic_supervisor("pool", intensity=1)) as tree:
            for child in (a, b):
                await tree.start_child("", child.spec(restart=OTP))
            a.crash()
            await settle()
            b.crash()
            await trio.sleep_forever()
    assert (a.starts, b.starts) == (2, 1)


async def test_nested_supervisors_can_be_started() -> None:
    a = ScriptedChild("a")
    async with open_tree(dynamic_supervisor("pool")) as tree:
        ref = await tree.start_child("", supervisor("s", [a.spec(restart=OTP)]))
        assert states(tree) == {"s#1": "running", "s#1/a": "running"}
        await tree.terminate_child(f"{ref.path}/a")
        await tree.restart_child(f"{ref.path}/a")
        assert await tree.count_children() == ChildCounts(
            specs=1, active=1, supervisors=1, workers=0
        )
        await tree.terminate_child(ref.path)
        assert (states(tree), a.alive) == ({}, 0)


async def test_the_children_of_a_restarted_dynamic_supervisor_are_gone() -> None:
    a = ScriptedChild("a")
    pool = dynamic_supervisor("pool", intensity=0, restart=OTP)
    async with open_tree(supervisor("app", [pool])) as tree:
        await tree.start_child("pool", a.spec(restart=OTP))
        a.crash()
        await settle()
        assert states(tree) == {"pool": "running"}
        assert tree.snapshot().child("pool").state is State.RUNNING


async def test_auto_shutdown_of_a_dynamic_supervisor() -> None:
    a, b = scripted("a b")
    pool = dynamic_supervisor("pool", auto_shutdown="all_significant")
    async with open_tree(pool) as tree:
        for child in (a, b):
            await tree.start_child("", child.spec(restart=otp("transient"), significant=True))
        a.finish()
        await settle()
        assert states(tree) == {"b#2": "running"}
        b.finish()
        await trio.sleep_forever()
