"""A child that is an async function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache, partial
from types import CoroutineType, MappingProxyType
from typing import Any

import attrs

from a2a_sup.children.notify import HEARTBEAT_REFUSED, heartbeats_of
from a2a_sup.errors import SpecError
from a2a_sup.model.health import Probe, says_ready
from a2a_sup.model.restarts import Restart, RestartWord
from a2a_sup.model.spec import ChildContext, ChildSpec, Shutdown


def task(
    name: str,
    function: Callable[..., Awaitable[object]],
    *args: Any,
    restart: Restart | RestartWord = "permanent",
    shutdown: Shutdown = 5.0,
    significant: bool = False,
    wait_ready: bool = False,
    start_timeout: float | None = None,
    tags: Iterable[str] = (),
    probes: Iterable[Probe] = (),
) -> ChildSpec:
    """Return a child that runs ``await function(*args)``.

    If the function has a parameter ``task_status`` it is given a ChildContext by that name, and
    acknowledges its start by ``task_status.started()``, as under ``trio.Nursery.start``. If not,
    it counts as started when it begins to run.

    Args:
        name: unique among siblings.
        function: an async function.
        args: its positional arguments; bind keyword arguments with functools.partial.
        restart: a restart type with the default budget, or a whole policy.
        shutdown: seconds between the polite request and the cancellation, if the function asked
            for ``task_status.stop_request()``; without that it is cancelled at once.
        significant: see ``auto_shutdown`` of ``supervisor``.
        wait_ready: its start is acknowledged when it said ``task_status.ready()``, or when its
            readiness or startup probes pass.
        start_timeout: seconds until the acknowledgment. None: no limit.
        tags: words to find it by.
        probes: what it is asked while it runs.

    Raises:
        SpecError: an argument is out of range.
    """
    acknowledges = _takes_task_status(function)
    probes = tuple(probes)
    unsaid = wait_ready and not acknowledges and not says_ready(probes)
    problems = [f"child {name!r}: {text}" for text in _problems(function, unsaid)]
    if heartbeats_of(probes):
        problems.append(f"child {name!r}: {HEARTBEAT_REFUSED}")
    if problems:
        raise SpecError(problems)
    return ChildSpec(
        name,
        _Acknowledging(function, args) if acknowledges else _Immediate(function, args),
        restart=restart,
        shutdown=shutdown,
        significant=significant,
        wait_ready=wait_ready,
        start_timeout=start_timeout,
        tags=tags,
        probes=probes,
        info=_info_of(_name_of(function)),
    )


def _problems(function: object, is_ready_unsaid: bool) -> Iterable[str]:  # noqa: FBT001 - private
    if inspect.iscoroutine(function):
        function.close()  # or Python would warn that it was never awaited
        yield "an async function is needed, not a call of one: task(name, function, argument, ...)"
    elif not callable(function):
        yield f"an async function is needed, not {function!r}"
    elif is_ready_unsaid:
        yield (
            "wait_ready needs a function that takes task_status, or a readiness or startup probe: "
            "somebody has to say when it is ready"
        )


@attrs.frozen(eq=False, weakref_slot=False)
class _Acknowledging:
    """Runs a function that takes ``task_status``. A class: a third the memory of a partial."""

    function: Callable[..., Awaitable[object]]
    args: tuple[Any, ...]

    async def __call__(self, context: ChildContext) -> None:
        await _awaitable(self.function, self.function(*self.args, task_status=context))


@attrs.frozen(eq=False, weakref_slot=False)
class _Immediate:
    """Runs a function that knows nothing of acknowledgment."""

    function: Callable[..., Awaitable[object]]
    args: tuple[Any, ...]

    async def __call__(self, context: ChildContext) -> None:
        context.started()
        await _awaitable(self.function, self.function(*self.args))


def _awaitable(function: Callable[..., object], returned: Awaitable[object]) -> Awaitable[object]:
    if not (isinstance(returned, CoroutineType) or inspect.isawaitable(returned)):
        raise TypeError(f"{_name_of(function)} is no async function: it returned {returned!r:.100}")
    return returned


def _takes_task_status(function: object) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None:  # a plain function: ten times faster than its signature
        parameters = code.co_argcount + code.co_kwonlyargcount
        return "task_status" in code.co_varnames[:parameters]
    try:
        return callable(function) and "task_status" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


@lru_cache(maxsize=1024)
def _info_of(name: str) -> Mapping[str, str]:
    """Return what snapshots show; shared by all children that run the same function."""
    return MappingProxyType({"function": name})


def _name_of(function: Callable[..., object]) -> str:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__qualname__)
