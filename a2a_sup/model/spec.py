"""What a tree is made of: frozen specifications, validated before anything starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias, cast

import attrs

from a2a_sup.errors import SpecError
from a2a_sup.model.health import Probe, probes_problems, says_ready
from a2a_sup.model.needs import Need, Needs, NeedWord, family_problems, needs_of, needs_problems
from a2a_sup.model.restarts import Restart, RestartType, RestartWord, window_problems
from a2a_sup.model.strategy import AutoShutdown, Strategy, auto_shutdown_of, strategy_of
from a2a_sup.model.words import is_number, word_problems

NAME_LIMIT = 64
"""Characters in a child's name."""
DEPTH_LIMIT = 64
"""Supervisors inside each other; Trio's cost of cancelling a chain of nurseries is quadratic."""

Shutdown: TypeAlias = float | Literal["infinity", "brutal_kill"]
"""How a child is stopped: seconds between the polite request and the cancellation, or
``infinity`` (ask and wait), or ``brutal_kill`` (cancel at once)."""

StopOrder: TypeAlias = Literal["reverse", "parallel"]
"""``reverse``: one after another, the last started first; ``parallel``: all at once."""


class StopRequest(Protocol):
    """The polite request to stop: an event."""

    def is_set(self) -> bool:
        """Return whether the request was made."""

    async def wait(self) -> None:
        """Return when the request is made."""


class ChildContext(Protocol):
    """What a running child is given; an async function gets it as ``task_status``."""

    @property
    def path(self) -> str:
        """The child's path from the root."""

    @property
    def number(self) -> int:
        """The incarnation: 1 for the first start, and one more with each."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What was reported of this incarnation so far."""

    @property
    def spec(self) -> ChildSpec:
        """The child's specification as it is now: an update may have changed it."""

    def started(self, value: object = None) -> None:
        """Acknowledge the start: ``start_child`` returns now, the next sibling starts now.

        With ``wait_ready`` the acknowledgment is held back until ``ready`` is called. Calling it
        twice raises RuntimeError.
        """

    def ready(self, *, is_ready: bool = True) -> None:
        """Say whether the child can serve. Readiness is told apart from being started."""

    def report(self, **details: Any) -> None:
        """Show details, such as a pid, in snapshots. They are forgotten at the next start."""

    def printed(self, stream: str, line: str, left_out: int) -> None:
        """Tell a line that was printed as an event. Who calls this keeps it within limits.

        Args:
            stream: ``output``, ``stdout`` or ``stderr``.
            line: without its end.
            left_out: how many lines before it are not told.
        """

    def stop_request(self) -> StopRequest:
        """Return the polite request to stop, and promise to heed it.

        A child that called this is given its ``shutdown`` time between the request and the
        cancellation; one that never did is cancelled at once.
        """


ChildFunction: TypeAlias = Callable[[ChildContext], Awaitable[None]]
"""What runs a child. Its return is a normal end, an exception is a crash."""


@lru_cache(maxsize=8)
def _default_restart(word: RestartWord) -> Restart:
    return Restart(type=word)


def _restart_of(given: Restart | RestartWord) -> Restart:
    # Anything but one of the words is left as it is, to be named with the other mistakes.
    is_word = isinstance(given, str) and given in RestartType.__members__.values()
    return _default_restart(given) if is_word else cast(Restart, given)


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    # A single text is left as it is, to be named with the other mistakes, and not taken apart.
    return cast(tuple[str, ...], given) if isinstance(given, str) else tuple(given)


def _probes(given: Iterable[Probe]) -> tuple[Probe, ...]:
    return tuple(given)


def _needs(given: Mapping[str, Need | NeedWord]) -> Needs:
    # What is no table is left as it is, to be named with the other mistakes.
    return needs_of(given) if isinstance(given, Mapping) else given


@attrs.frozen(eq=False)
class ChildSpec:
    """How to run one child. ``task``, ``process``, ``mcp_server`` and ``supervisor`` make these.

    Attributes:
        name: unique among siblings; no ``/``, no control characters, 1 to 64 characters.
        run: the function that runs the child, or the specification of a nested supervisor.
        restart: the policy; a word (``"transient"``) stands for that type with the default
            budget.
        shutdown: seconds, ``infinity`` or ``brutal_kill``; 5 s for workers and ``infinity`` for
            supervisors by default (OTP's).
        significant: its end may end the supervisor: see ``auto_shutdown``.
        wait_ready: its start is acknowledged when it is ready, not when it has started.
        start_timeout: seconds until the acknowledgment; later is a failed start. None: no limit.
        kind: ``task``, ``process``, ``mcp``, ``supervisor``: what snapshots call it.
        info: what snapshots show of the specification, such as the command. No secrets.
        tags: words to find it by.
        probes: what it is asked while it runs.
        after: siblings, by name, and what is needed of each before this child is started at the
            boot of its supervisor: ``started``, ``ready`` or ``finished``. One of a supervisor's
            children having needs, all are started at once as far as needs allow.
        held: asked, with the child's path, whenever its supervisor would start it unasked, as it
            boots or restarts a group: True leaves it down, ``stopped``, until a call starts it.
            None: never.
    """

    name: str
    run: ChildFunction | SupervisorSpec
    restart: Restart = attrs.field(
        factory=Restart,
        converter=_restart_of,
    )
    shutdown: Shutdown = attrs.field()
    significant: bool = False
    wait_ready: bool = False
    start_timeout: float | None = None
    kind: str = "task"
    info: Mapping[str, Any] = attrs.field(factory=dict)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    probes: tuple[Probe, ...] = attrs.field(default=(), converter=_probes)
    after: Mapping[str, Need] = attrs.field(factory=dict, converter=_needs)
    held: Callable[[str], bool] | None = None

    @shutdown.default
    def _otp_default(self) -> Shutdown:
        return "infinity" if isinstance(self.run, SupervisorSpec) else 5.0

    def __attrs_post_init__(self) -> None:
        """Raise SpecError with every mistake of this child."""
        problems = [f"child {self.name!r}: {problem}" for problem in _child_problems(self)]
        if problems:
            raise SpecError(problems)

    @property
    def is_probed_for_readiness(self) -> bool:
        """Whether it is ready only when its probes say so."""
        return says_ready(self.probes)

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is a nested supervisor."""
        return isinstance(self.run, SupervisorSpec)


def name_problem(name: object) -> str | None:
    """Return what is wrong with a child's name, or None."""
    if not isinstance(name, str) or not name:
        return f"a name is a text of 1 to {NAME_LIMIT} characters, not {name!r}"
    if len(name) > NAME_LIMIT:
        return f"a name has at most {NAME_LIMIT} characters, not {len(name)}"
    if "/" in name:
        return "a name has no '/', which separates the names of a path"
    if not name.isprintable():
        return "a name has only printable characters"
    return None


def _child_problems(spec: ChildSpec) -> Iterable[str]:
    if problem := name_problem(spec.name):
        yield problem
    if not isinstance(spec.run, SupervisorSpec) and not callable(spec.run):
        yield f"run is an async function or a SupervisorSpec, not {spec.run!r}"
    if not valid_shutdown(spec.shutdown):
        yield (f"shutdown is seconds >= 0, 'infinity' or 'brutal_kill', not {spec.shutdown!r}")
    if isinstance(spec.tags, str) or not all(isinstance(tag, str) for tag in spec.tags):
        yield f"tags is a list of texts, not {spec.tags!r}"
    yield from probes_problems(spec.probes)
    if spec.probes and isinstance(spec.run, SupervisorSpec):
        yield "a supervisor has no probes; its children may"
    yield from needs_problems(spec.after)
    if spec.held is not None and not callable(spec.held):
        yield f"held is a function of the child's path, or None, not {spec.held!r}"
    timeout = spec.start_timeout
    if timeout is not None and (not is_number(timeout, 0) or not timeout):
        yield f"start_timeout is seconds > 0 or None, not {timeout!r}"
    if not isinstance(spec.restart, Restart):
        yield from word_problems(RestartType, "restart", spec.restart)
    elif spec.significant and spec.restart.type is RestartType.PERMANENT:
        yield "a significant child is transient or temporary, not permanent (OTP: bad_combination)"


def valid_shutdown(shutdown: object) -> bool:
    """Return whether ``shutdown`` is a valid shutdown."""
    if isinstance(shutdown, str):
        return shutdown in ("infinity", "brutal_kill")
    return is_number(shutdown, 0)


def _children(given: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    return tuple(given)


@attrs.frozen(eq=False)
class SupervisorSpec:
    """How a supervisor behaves, and the children it starts with.

    Attributes:
        strategy: who is restarted when a child ended.
        children: in start order. Empty for ``simple_one_for_one``.
        intensity: restarts of all children together allowed within ``period``; one more and the
            supervisor gives up. None: no limit (OTP's default is 1 in 5 s).
        period: seconds.
        auto_shutdown: when the end of significant children ends the supervisor.
        stop_order: ``reverse`` (OTP's), or ``parallel``; dynamic supervisors stop in parallel.
        template: dynamic only: makes a child's specification from the arguments of
            ``start_child``, as OTP's simple_one_for_one does; None: ``start_child`` takes a
            specification, as Elixir's DynamicSupervisor does.
        max_children: dynamic only: ``start_child`` is refused above it. None: no limit.
    """

    strategy: Strategy = attrs.field(default=Strategy.ONE_FOR_ONE, converter=strategy_of)
    children: tuple[ChildSpec, ...] = attrs.field(default=(), converter=_children)
    intensity: int | None = None
    period: float = 5.0
    auto_shutdown: AutoShutdown = attrs.field(
        default=AutoShutdown.NEVER, converter=auto_shutdown_of
    )
    stop_order: StopOrder = "reverse"
    template: Callable[..., ChildSpec] | None = None
    max_children: int | None = None

    def __attrs_post_init__(self) -> None:
        """Raise SpecError with every mistake of the supervisor and its list of children."""
        problems = [*_supervisor_problems(self)]
        if problems:
            raise SpecError(problems)

    @property
    def dynamic(self) -> bool:
        """Whether children are only added at run time."""
        return self.strategy is Strategy.SIMPLE_ONE_FOR_ONE


def _supervisor_problems(spec: SupervisorSpec) -> Iterable[str]:
    yield from word_problems(Strategy, "strategy", spec.strategy)
    yield from word_problems(AutoShutdown, "auto_shutdown", spec.auto_shutdown)
    yield from window_problems("supervisor", spec.intensity, spec.period)
    if spec.stop_order not in ("reverse", "parallel"):
        yield f"supervisor: stop_order is 'reverse' or 'parallel', not {spec.stop_order!r}"
    limit = spec.max_children
    if limit is not None and not (isinstance(limit, int) and is_number(limit, 0)):
        yield f"supervisor: max_children is a whole number >= 0 or None, not {limit!r}"
    strangers = [child for child in spec.children if not isinstance(child, ChildSpec)]
    yield from (f"supervisor: a child is a ChildSpec, not {child!r}" for child in strangers)
    if isinstance(spec.strategy, Strategy) and not strangers:
        yield from _combination_problems(spec)


def _combination_problems(spec: SupervisorSpec) -> Iterable[str]:
    """Yield what does not fit together, though each part is allowed."""
    names = set[str]()
    for child in spec.children:
        if child.name in names:
            yield f"child {child.name!r}: two children have this name"
        names.add(child.name)
        if problem := significance_problem(spec, child):
            yield problem
    if spec.strategy.grouped and spec.stop_order == "parallel":
        yield f"supervisor: {spec.strategy} stops in reverse order"
    if spec.dynamic and spec.children:
        yield "supervisor: a dynamic supervisor starts without children"
    if not spec.dynamic and (spec.template is not None or spec.max_children is not None):
        yield "supervisor: template and max_children belong to a dynamic supervisor"
    family = {child.name: child.after for child in spec.children}
    if any(family.values()):
        yield from needs_in_family_problems(spec, family)
    if problem := depth_problem(spec):
        yield f"supervisor: {problem}"


def needs_in_family_problems(spec: SupervisorSpec, family: Mapping[str, Needs]) -> Iterable[str]:
    """Yield what is wrong with the needs of children under the supervisor ``spec``."""
    if spec.strategy is not Strategy.ONE_FOR_ONE:
        yield f"supervisor: after is for one_for_one, not {spec.strategy}, which has its order"
    yield from family_problems(family, (child.name for child in spec.children))


def significance_problem(supervisor: SupervisorSpec, child: ChildSpec) -> str | None:
    """Return why ``child`` may not be significant under ``supervisor``, or None (OTP's rule)."""
    if child.significant and supervisor.auto_shutdown is AutoShutdown.NEVER:
        return (
            f"child {child.name!r}: significant needs a supervisor whose auto_shutdown is "
            "any_significant or all_significant"
        )
    return None


def depth_problem(spec: SupervisorSpec, above: int = 0) -> str | None:
    """Return what is wrong with the depth of a tree, ``above`` supervisors lower, or None."""
    if above + _depth(spec) > DEPTH_LIMIT:
        return f"at most {DEPTH_LIMIT} supervisors inside each other"
    return None


def _depth(spec: SupervisorSpec) -> int:
    nested = (child.run for child in spec.children if isinstance(child.run, SupervisorSpec))
    return 1 + max(map(_depth, nested), default=0)
