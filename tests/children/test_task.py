"""Children that are async functions: what is accepted, and what a mistake is told."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

from a2a_sup import ChildContext, SpecError, StartFailed, open_tree, supervisor, task


async def idle() -> None:
    await trio.sleep_forever()


async def acknowledging(word: str, *, task_status: ChildContext) -> None:
    task_status.started(word)
    await trio.sleep_forever()


class Service:
    """A child can be any callable."""

    async def run(self, *, task_status: ChildContext) -> None:
        task_status.started("method")
        await trio.sleep_forever()

    async def __call__(self, *, task_status: ChildContext) -> None:
        task_status.started("call")
        await trio.sleep_forever()


async def test_a_function_without_task_status_is_started_when_it_runs() -> None:
    async with open_tree(supervisor("app")) as handle:
        ref = await handle.start_child("", task("idle", idle))
        assert (ref.path, ref.incarnation, ref.running, ref.value) == ("idle", 1, True, None)


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (task("a", acknowledging, "positional"), "positional"),
        (task("a", partial(acknowledging, "bound")), "bound"),
        (task("a", Service().run), "method"),
        (task("a", Service()), "call"),
        (
            task("a", lambda *, task_status: acknowledging("lambda", task_status=task_status)),
            "lambda",
        ),
    ],
)
async def test_every_kind_of_callable_that_takes_task_status_gets_it(spec: Any, value: str) -> None:
    async with open_tree(supervisor("app")) as handle:
        assert (await handle.start_child("", spec)).value == value


@pytest.mark.filterwarnings("error")
def test_a_call_in_place_of_a_function_is_refused_with_what_to_write() -> None:
    mistake: Any = idle
    with pytest.raises(SpecError, match=r"not a call of one: task\(name, function, argument"):
        task("a", mistake())


def test_what_is_not_callable_is_refused() -> None:
    mistake: Any = 3
    with pytest.raises(SpecError, match="child 'a': an async function is needed, not 3"):
        task("a", mistake)


async def test_a_function_that_is_not_async_is_named_when_it_is_run() -> None:
    mistake: Any = lambda *, task_status: 3  # noqa: E731
    spec = supervisor("app", [task("a", mistake, restart="temporary")])
    with pytest.raises(StartFailed, match="is no async function: it returned 3"):
        async with open_tree(spec):
            pass


def test_waiting_for_a_readiness_that_nobody_can_tell_is_refused() -> None:
    with pytest.raises(SpecError, match="wait_ready needs a function that takes task_status"):
        task("a", idle, wait_ready=True)


def test_a_snapshot_names_the_function() -> None:
    assert task("a", idle).info == {"function": "idle"}
    assert task("a", partial(partial(acknowledging, "x"))).info == {"function": "acknowledging"}
