"""What a scenario is: plain data, run by Erlang/OTP and by this package alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import attrs

from a2a_sup.model.restarts import RestartWord
from a2a_sup.model.strategy import AutoShutdownWord, StrategyWord
from tests.conformance.terms import Atom, Term

How = Literal["crashed", "normal", "shutdown", "shutdown_for", "killed"]
"""How a worker ends by itself. ``shutdown_for`` is Erlang's ``{shutdown, Reason}``."""

Start = Literal[
    "ok",
    "late",  # acknowledges after a while
    "ignore",
    "error",  # says that it failed
    "raise",
    "die",  # ends, where it should acknowledge
    "flash crashed",  # acknowledges and ends at once
    "flash normal",
    "flash shutdown",
]

Stop = Literal[
    "plain",  # it does not know of requests to stop; they end it
    "heed",
    "normal",  # asked to stop it ends, but as if by itself
    "crash",  # asked to stop it crashes
    "ignore",
]

CallWord = Literal[
    "which_children",
    "count_children",
    "start_child",
    "terminate_child",
    "restart_child",
    "delete_child",
]


@attrs.frozen
class Worker:
    """A child that follows a script.

    Attributes:
        shutdown: milliseconds, or OTP's words.
        starts: what its first, second, ... start does; after the last of them it is ok.
        stop: how it takes a request to stop.
    """

    name: str
    restart: RestartWord = "permanent"
    significant: bool = False
    shutdown: int | Literal["infinity", "brutal_kill"] = 5000
    starts: tuple[Start, ...] = ()
    stop: Stop = "plain"

    def term(self) -> Term:
        shutdown = self.shutdown if isinstance(self.shutdown, int) else Atom(self.shutdown)
        return (
            Atom("worker"),
            self.name,
            Atom(self.restart),
            self.significant,
            shutdown,
            [_start_term(word) for word in self.starts],
            Atom(self.stop),
        )


def _start_term(word: Start) -> Term:
    flash, _, how = word.partition(" ")
    return (Atom(flash), Atom(how)) if how else Atom(flash)


@attrs.frozen
class Supervisor:
    """A supervisor; its parent waits for its end without limit.

    A dynamic one (``simple_one_for_one``) has one child here: the template.
    """

    name: str
    strategy: StrategyWord = "one_for_one"
    intensity: int = 1
    period: int = 3600
    auto_shutdown: AutoShutdownWord = "never"
    children: tuple[Child, ...] = ()
    restart: RestartWord = "permanent"
    significant: bool = False

    @property
    def is_dynamic(self) -> bool:
        return self.strategy == "simple_one_for_one"

    def term(self) -> Term:
        return (
            Atom("supervisor"),
            self.name,
            Atom(self.restart),
            self.significant,
            Atom(self.strategy),
            self.intensity,
            self.period,
            Atom(self.auto_shutdown),
            [child.term() for child in self.children],
        )


Child: TypeAlias = Worker | Supervisor


@attrs.frozen
class End:
    """A running worker ends by itself."""

    path: str
    how: How

    def term(self) -> Term:
        return (Atom("end"), self.path, Atom(self.how))


@attrs.frozen
class Call:
    """A call of the supervisor at ``path``.

    Attributes:
        name: which child the call is about.
        spec: the child that ``start_child`` brings. Under a dynamic supervisor its name is the
            label that later calls use, and of the rest only its script counts.
    """

    path: str
    call: CallWord
    name: str = ""
    spec: Worker | Supervisor | None = None
    is_dynamic: bool = False

    def term(self) -> Term:
        word = self.call.replace("_child", "_dynamic") if self.is_dynamic else self.call
        if self.spec is not None:
            return (Atom("call"), self.path, (Atom(word), self.spec.term()))
        if self.name:
            return (Atom("call"), self.path, (Atom(word), self.name))
        return (Atom("call"), self.path, Atom(self.call))


@attrs.frozen
class Pause:
    """Nothing happens for a while: real time in OTP, which has no other."""

    milliseconds: int

    def term(self) -> Term:
        return (Atom("pause"), self.milliseconds)


Action: TypeAlias = End | Call | Pause


@attrs.frozen
class Step:
    """Actions one after the other, each to its end.

    Attributes:
        hold: a supervisor that looks at nothing until all actions were carried out; None: nobody
            is held.
    """

    actions: tuple[Action, ...]
    hold: str | None = None

    def term(self) -> Term:
        hold = Atom("none") if self.hold is None else self.hold
        return (Atom("step"), hold, [action.term() for action in self.actions])


@attrs.frozen
class Scenario:
    """A tree to boot, and what happens to it; at the end it is stopped."""

    root: Supervisor
    steps: tuple[Step, ...] = ()

    def term(self) -> Term:
        return (Atom("scenario"), self.root.term(), [step.term() for step in self.steps])

    def dynamic_paths(self) -> set[str]:
        """Return where dynamic supervisors are."""
        trees = [("", self.root)]
        for step in self.steps:
            for action in step.actions:
                if isinstance(action, Call) and isinstance(action.spec, Supervisor):
                    trees.append((join(action.path, action.spec.name), action.spec))
        nodes = (pair for path, tree in trees for pair in walk(tree, path))
        return {path for path, node in nodes if node.is_dynamic}


def walk(node: Supervisor, path: str = "") -> Iterator[tuple[str, Supervisor]]:
    """Yield every supervisor with its path."""
    yield path, node
    for child in node.children:
        if isinstance(child, Supervisor):
            yield from walk(child, join(path, child.name))


def join(path: str, name: str) -> str:
    """Return the path of a child."""
    return f"{path}/{name}" if path else name


def to_data(part: Any) -> Any:
    """Return a scenario, or a part of one, as what JSON knows; defaults are left out."""
    if isinstance(part, tuple):
        return [to_data(each) for each in part]
    if not attrs.has(type(part)):
        return part
    given = {
        field.name: to_data(value)
        for field in attrs.fields(type(part))
        if (value := getattr(part, field.name)) != field.default
    }
    return {"is": type(part).__name__, **given}


def from_data(data: Any) -> Any:
    """Return what ``to_data`` made ``data`` from."""
    if isinstance(data, list):
        return tuple(from_data(each) for each in data)
    if not isinstance(data, dict):
        return data
    given = {name: from_data(value) for name, value in data.items()}
    return _CLASSES[given.pop("is")](**given)


_CLASSES = {each.__name__: each for each in (Worker, Supervisor, End, Call, Pause, Step, Scenario)}
