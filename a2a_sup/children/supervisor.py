"""A child that is a supervisor: the inner nodes of a tree, and its root."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from a2a_sup.errors import SpecError
from a2a_sup.model.restarts import Restart, RestartWord
from a2a_sup.model.spec import ChildSpec, Shutdown, StopOrder, SupervisorSpec
from a2a_sup.model.strategy import AutoShutdownWord, Strategy, StrategyWord


def supervisor(
    name: str,
    children: Iterable[ChildSpec] = (),
    *,
    strategy: StrategyWord = "one_for_one",
    intensity: int | None = None,
    period: float = 5.0,
    auto_shutdown: AutoShutdownWord = "never",
    stop_order: StopOrder = "reverse",
    restart: Restart | RestartWord = "permanent",
    shutdown: Shutdown = "infinity",
    significant: bool = False,
    start_timeout: float | None = None,
    tags: Iterable[str] = (),
) -> ChildSpec:
    """Return a supervisor: the root of a tree, or a child of another supervisor.

    Args:
        name: unique among siblings.
        children: started in this order, each acknowledged before the next is started.
        strategy: who is restarted when a child ended.
        intensity: restarts of all children together allowed within ``period``; one more and the
            supervisor gives up. None: no limit.
        period: seconds.
        auto_shutdown: when the end of significant children ends the supervisor.
        stop_order: ``reverse``, or ``parallel`` (one_for_one only).
        restart: what its parent does when it gave up or ended.
        shutdown: seconds until it is cancelled; its children are stopped in order all the same.
        significant: its own end may end its parent.
        start_timeout: seconds until all its children have started. None: no limit.
        tags: words to find it by.

    Raises:
        SpecError: an argument or a combination is not allowed; all mistakes are named.
    """
    return _child_that_is(
        partial(
            SupervisorSpec,
            strategy=strategy,
            children=children,
            intensity=intensity,
            period=period,
            auto_shutdown=auto_shutdown,
            stop_order=stop_order,
        ),
        partial(
            ChildSpec,
            name,
            restart=restart,
            shutdown=shutdown,
            significant=significant,
            start_timeout=start_timeout,
            tags=tags,
        ),
    )


def dynamic_supervisor(
    name: str,
    template: Callable[..., ChildSpec] | None = None,
    *,
    max_children: int | None = None,
    intensity: int | None = None,
    period: float = 5.0,
    auto_shutdown: AutoShutdownWord = "never",
    restart: Restart | RestartWord = "permanent",
    shutdown: Shutdown = "infinity",
    significant: bool = False,
    tags: Iterable[str] = (),
) -> ChildSpec:
    """Return a supervisor that begins empty and gets its children at run time.

    With a ``template`` it is OTP's simple_one_for_one: ``start_from_template(path, *args)`` runs
    ``template(*args)``. Without, it is Elixir's DynamicSupervisor: ``start_child(path, spec)``.
    A child is named after its specification and a number that is never used again:
    ``session#7``. It is restarted alone, forgotten when it ends for good, and all children are
    stopped at once.

    Args:
        name: unique among siblings.
        template: makes a child's specification from the arguments of the call.
        max_children: more are refused. None: no limit.
        intensity: restarts of all children together allowed within ``period``. None: no limit.
        period: seconds.
        auto_shutdown: when the end of significant children ends the supervisor.
        restart: what its parent does when it gave up or ended.
        shutdown: seconds until it is cancelled.
        significant: its own end may end its parent.
        tags: words to find it by.

    Raises:
        SpecError: an argument or a combination is not allowed; all mistakes are named.
    """
    return _child_that_is(
        partial(
            SupervisorSpec,
            strategy=Strategy.SIMPLE_ONE_FOR_ONE,
            intensity=intensity,
            period=period,
            auto_shutdown=auto_shutdown,
            template=template,
            max_children=max_children,
        ),
        partial(
            ChildSpec,
            name,
            restart=restart,
            shutdown=shutdown,
            significant=significant,
            tags=tags,
        ),
    )


def _child_that_is(
    make_supervisor: Callable[[], SupervisorSpec], make_child: Callable[..., ChildSpec]
) -> ChildSpec:
    """Return the child that is this supervisor; if both have mistakes, name those of both."""
    problems: tuple[str, ...] = ()
    try:
        run = make_supervisor()
    except SpecError as exc:
        problems = exc.problems
        run = SupervisorSpec()  # to find the mistakes of the child
    try:
        child = make_child(run=run, kind="supervisor", info={"strategy": run.strategy.value})
    except SpecError as exc:
        raise SpecError((*problems, *exc.problems)) from None
    if problems:
        raise SpecError(problems)
    return child
