"""Makes scenarios out of choices.

What is not made, because it has no single right trace:

- Two supervisors at work at the same time. So no child ends by itself while a tree boots (a
  *flash*) except where its supervisor is the root or a call started it.
- Under ``one_for_one`` and in dynamic supervisors, a message that waits while a *slow* child
  (late, stubborn, or a supervisor) starts or stops. OTP makes everybody wait for it; here a slow
  child holds up nobody but those who ask for it, and siblings are restarted meanwhile. So there
  the slow child comes last among what waits, and not after a restart that may fail and is tried
  again. Group strategies wait in both, and get everything.
- In a dynamic supervisor, a call to stop a child that is restarted while the call waits: OTP's
  call has the former pid, and does nothing; ours has the name, and stops the child.
- A supervisor that is killed: in OTP its children then stop by themselves, beside its successor's.
- In a dynamic supervisor, a child whose restart is ignored: OTP keeps a phantom of it and crashes
  later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs

from a2a_sup.model.restarts import RestartWord
from a2a_sup.model.strategy import StrategyWord
from tests.conformance.choices import Choices
from tests.conformance.scenario import (
    Action,
    Call,
    Child,
    End,
    How,
    Scenario,
    Start,
    Step,
    Stop,
    Supervisor,
    Worker,
    join,
)

HOWS: tuple[How, ...] = (
    *("crashed", "crashed", "crashed", "crashed", "normal", "normal"),
    *("shutdown", "shutdown_for", "killed"),
)
STOPS: tuple[Stop, ...] = ("plain", "plain", "heed", "heed", "normal", "crash")
FAILURES: tuple[Start, ...] = ("error", "raise", "die")
FLASHES: tuple[Start, ...] = ("flash crashed", "flash normal", "flash shutdown")
STRATEGIES: tuple[StrategyWord, ...] = (
    *("one_for_one", "one_for_one", "one_for_all", "one_for_all"),
    *("rest_for_one", "rest_for_one", "simple_one_for_one"),
)
INTENSITIES = (1, 1, 2, 2, 3, 4, 7, 0)
NEVER_AGAIN: tuple[Start, ...] = tuple(FAILURES[0] for _ in range(max(INTENSITIES)))
RESTARTS: tuple[RestartWord, ...] = (
    "permanent",
    "permanent",
    "transient",
    "transient",
    "temporary",
)


@attrs.define
class _Known:
    """What the generator knows of one supervisor of its tree.

    Attributes:
        children: everything that was ever put under it.
    """

    spec: Supervisor
    children: dict[str, Child]

    @property
    def waits(self) -> bool:
        """Whether everything waits while a child starts or stops, here as in OTP."""
        return self.spec.strategy in ("one_for_all", "rest_for_one")

    def has(self, test: Callable[[Child], bool]) -> bool:
        """Return whether any of the children is such."""
        return any(map(test, self.children.values()))


def is_slow(child: Child) -> bool:
    """Return whether a start or a stop of the child takes more than a moment."""
    return isinstance(child, Supervisor) or "late" in child.starts or child.stop == "ignore"


def is_flash(child: Child) -> bool:
    """Return whether the child may end by itself at once."""
    return isinstance(child, Worker) and any(word.startswith("flash") for word in child.starts)


def scenario(choices: Choices) -> Scenario:
    """Return a scenario."""
    return _Maker(choices).scenario()


class _Maker:
    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._known: dict[str, _Known] = {}
        self._labels = 0
        self._ended: set[str] = set()  # in this step

    def scenario(self) -> Scenario:
        root = self._supervisor("", "", depth=self._choices.of((1, 2, 2, 3)))
        steps = [self._step()]
        while len(steps) < 8 and self._choices.chance(85):
            steps.append(self._step())
        return Scenario(root, tuple(steps))

    # --- trees ----------------------------------------------------------------------------------

    def _supervisor(self, above: str, name: str, depth: int) -> Supervisor:
        """Return a supervisor with at most ``depth`` levels; the root has no name."""
        choices = self._choices
        path = join(above, name)
        spec = Supervisor(
            name,
            strategy=choices.of(STRATEGIES),
            intensity=choices.of(INTENSITIES),
            auto_shutdown=choices.of(
                ("never", "never", "never", "any_significant", "all_significant")
            ),
        )
        known = self._known[path] = _Known(spec, {})
        if spec.is_dynamic:
            template = self._worker(spec, "t", starts=())
            spec = attrs.evolve(spec, children=(template,))
        else:
            letters = "abcde" if depth > 1 else "abcd"
            for letter in letters:
                if letter != "a" and not choices.chance(75):
                    break
                may_be_slow = known.waits or not known.has(is_flash)
                if depth > 1 and may_be_slow and choices.chance(40):
                    child: Child = self._nested(spec, path, letter, depth - 1)
                else:
                    child = self._worker(spec, letter, self._starts(known, is_static=bool(path)))
                known.children[letter] = child
            spec = attrs.evolve(spec, children=tuple(known.children.values()))
        known.spec = spec
        return spec

    def _nested(self, parent: Supervisor, above: str, name: str, depth: int) -> Supervisor:
        child = self._supervisor(above, name, depth)
        restart = self._choices.of(RESTARTS)
        child = attrs.evolve(
            child, restart=restart, significant=self._is_significant(parent, restart)
        )
        self._known[join(above, name)].spec = child
        return child

    def _is_significant(self, parent: Supervisor, restart: RestartWord) -> bool:
        may_be = parent.auto_shutdown != "never" and restart != "permanent"
        return may_be and self._choices.chance(60)

    def _worker(self, parent: Supervisor, name: str, starts: tuple[Start, ...]) -> Worker:
        choices = self._choices
        restart = choices.of(RESTARTS)
        stop = choices.of(STOPS)
        shutdown: int | Literal["infinity", "brutal_kill"] = choices.of(
            (5000, 5000, 5000, "infinity", "brutal_kill")
        )
        if choices.chance(4):
            stop, shutdown = "ignore", 1
        return Worker(
            name,
            restart=restart,
            significant=self._is_significant(parent, restart),
            shutdown=shutdown,
            starts=starts,
            stop=stop,
        )

    def _starts(self, known: _Known, *, is_static: bool) -> tuple[Start, ...]:
        """Return what the starts of a child do; ``is_static``: started when its tree boots."""
        choices = self._choices
        words: list[Start] = []
        while len(words) < 6 and choices.chance(45 if not words else 75):
            others: tuple[Start, ...] = ("ignore", *FAILURES)
            if known.waits or not known.has(is_flash):
                others = (*others, "late")
            if not is_static and (known.waits or not known.has(is_slow)):
                others = (*others, *FLASHES)
            percent = 60 if words else 12
            words.append(choices.of(others) if choices.chance(percent) else "ok")
        if not known.waits and "late" in words:
            words = [word for word in words if not word.startswith("flash")]
        return tuple(words)

    # --- steps ----------------------------------------------------------------------------------

    def _step(self) -> Step:
        choices = self._choices
        self._ended = set()
        if not choices.chance(35):
            path = choices.of([*self._known])
            return Step((self._action(path, deep=True, slow=True),))
        path = choices.of([*self._known])
        waits = self._known[path].waits
        actions = [self._action(path, deep=waits, slow=waits) for _ in range(1 + choices.below(3))]
        # A restart that fails is tried again after all that waits: then the last is not the last.
        is_last = waits or not any(map(self._may_fail_again, actions))
        actions.append(self._action(path, deep=is_last, slow=is_last))
        return Step(tuple(actions), hold=path)

    def _may_fail_again(self, action: Action) -> bool:
        if not isinstance(action, End):
            return False
        above, _, name = action.path.rpartition("/")
        child = self._known[above].children[name]
        return isinstance(child, Worker) and not set(FAILURES).isdisjoint(child.starts)

    def _action(self, path: str, *, deep: bool, slow: bool) -> Action:
        """Return something that happens to the supervisor at ``path``, or below if ``deep``."""
        choices = self._choices
        if deep:
            below = [each for each in self._known if not path or f"{each}/".startswith(f"{path}/")]
            path = choices.of(below)
        known = self._known[path]
        workers = [
            child
            for child in known.children.values()
            if isinstance(child, Worker) and (slow or not is_slow(child))
        ]
        if workers and choices.chance(55):
            worker = join(path, choices.of(workers).name)
            self._ended.add(worker)
            return End(worker, choices.of(HOWS))
        return self._call(path, known, slow=slow)

    def _call(self, path: str, known: _Known, *, slow: bool) -> Call:
        choices = self._choices
        word = choices.text(
            "which_children count_children start_child start_child "
            "terminate_child terminate_child restart_child restart_child delete_child"
        )
        if word in ("which_children", "count_children"):
            return Call(path, word)  # type: ignore[arg-type]
        if word == "start_child":
            return self._start_child(path, known, slow=slow)
        names = [name for name, child in known.children.items() if slow or not is_slow(child)]
        is_dynamic = known.spec.is_dynamic and word == "terminate_child"
        if is_dynamic:
            names = [
                name
                for name in names
                if join(path, name) not in self._ended or _never_restarts(known.children[name])
            ]
        name = choices.of([*names, "z"])
        return Call(path, word, name, is_dynamic=is_dynamic)  # type: ignore[arg-type]

    def _start_child(self, path: str, known: _Known, *, slow: bool) -> Call:
        choices = self._choices
        if known.spec.is_dynamic:
            return self._start_dynamic(path, known, slow=slow)
        if slow and choices.chance(20) and (known.waits or not known.has(is_flash)):
            name = choices.text("p q")
            if join(path, name) not in self._known:
                nested = self._nested(known.spec, path, name, depth=1)
                known.children[name] = nested
                return Call(path, "start_child", spec=nested)
        name = choices.of(["x", "y", *known.children])
        before = known.children.get(name)
        starts = self._starts(known, is_static=False)
        child = self._worker(known.spec, name, starts)
        if choices.chance(5):
            child = attrs.evolve(child, significant=True)
        if not slow:
            child = _hastened(child)
        if not known.waits and (is_slow(child) and known.has(is_flash)):
            child = _hastened(child)
        if before is None:
            known.children[name] = child
        elif not isinstance(before, Supervisor):
            # Whichever of the two is there later, whoever asks must expect the slower one.
            known.children[name] = max(before, child, key=is_slow)
        return Call(path, "start_child", spec=child)

    def _start_dynamic(self, path: str, known: _Known, *, slow: bool) -> Call:
        (template,) = known.spec.children
        is_stubborn = isinstance(template, Worker) and template.stop == "ignore"
        if is_stubborn and not slow:
            return Call(path, "which_children")
        self._labels += 1
        starts = self._starts(known, is_static=False)
        starts = (*starts[:1], *("ok" if word == "ignore" else word for word in starts[1:]))
        if self._choices.chance(20):
            starts = ("ok", *NEVER_AGAIN)
        stop = "ignore" if is_stubborn else self._choices.of(STOPS)
        child = Worker(f"d{self._labels}", starts=starts, stop=stop)
        if not slow:
            child = _hastened(child)
        known.children[child.name] = child
        return Call(path, "start_child", spec=child, is_dynamic=True)


def _never_restarts(child: Child) -> bool:
    """Return whether no restart of the child succeeds before its supervisor gives up."""
    assert isinstance(child, Worker)
    return child.starts[1:] == NEVER_AGAIN


def _hastened(child: Worker) -> Worker:
    """Return a child like ``child`` that starts and stops in a moment."""
    starts: tuple[Start, ...] = tuple("ok" if word == "late" else word for word in child.starts)
    if child.stop != "ignore":
        return attrs.evolve(child, starts=starts)
    return attrs.evolve(child, starts=starts, stop="heed", shutdown=5000)
