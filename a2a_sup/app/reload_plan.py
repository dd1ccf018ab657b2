"""What a changed configuration asks of a running tree: the smallest plan, as data.

Settings are compared, not specifications, so what is equal in the files is left alone. What a
process is made of, its command, environment, user and the like, is changed by a restart of it;
everything else is changed under the running process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Literal, TypeAlias

import attrs

from a2a_sup.app.settings import ChildConfig, Config, McpConfig, ServeConfig, SupervisorConfig
from a2a_sup.model.needs import in_order
from a2a_sup.model.strategy import Strategy

Act: TypeAlias = Literal["update", "remove", "restart", "add"]
"""``update``: new settings under the running child; the others are what they say."""

IN_PLACE = frozenset(
    {
        "after",
        "essential",
        "handshake",
        "handshake_timeout",
        "memory_limit",
        "probes",
        "restart",
        "significant",
        "start_timeout",
        "stop_signal",
        "stop_timeout",
        "success_exit_codes",
        "tags",
        "wait_ready",
        "watch",
    }
)
"""The settings of a process that are changed without a restart of it. All others need one."""

ORDER = "order"
"""The word for children of a supervisor that changed places."""
KIND = "kind"
"""The word for a child that became another kind: a process, an MCP server, a supervisor."""


@attrs.frozen
class Step:
    """One thing to do.

    Attributes:
        path: the child; empty for the root.
        act: what to do with it.
        why: the names of the keys that differ, never their values; or what else asks for it.
    """

    path: str
    act: Act
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``restart  pipeline/loader  (command, env.LEVEL)``."""
        reasons = f"  ({', '.join(self.why)})" if self.why else ""
        return f"{self.act:<8} {self.path or 'the root'}{reasons}"


@attrs.frozen
class Plan:
    """Everything to do, in order, and what is left alone.

    Attributes:
        steps: in the order in which they are done. A child that is added, removed or restarted
            stands for all below it.
        untouched: the paths of the children that nothing is done with.
        next_start: the keys, as ``serve.ready``, that are read at the start of the program only,
            and are not what they were then.
        webhooks: whether others are told of events from now on, or other events, by other rules.
    """

    steps: tuple[Step, ...]
    untouched: tuple[str, ...]
    next_start: tuple[str, ...] = ()
    webhooks: bool = False

    def paths(self, act: Act) -> tuple[str, ...]:
        """Return the children that this is done with."""
        return tuple(step.path for step in self.steps if step.act == act)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"steps", "untouched", "next_start", "webhooks"}``; steps as step_to_json."""
        return {
            "steps": [step_to_json(step) for step in self.steps],
            "untouched": list(self.untouched),
            "next_start": list(self.next_start),
            "webhooks": self.webhooks,
        }

    def lines(self) -> list[str]:
        """Return the plan for people: a line for each step, and how many are left alone."""
        steps = [str(step) for step in self.steps]
        if self.webhooks:
            steps.append("update   the webhooks")
        steps = steps or ["nothing to do"]
        if self.next_start:
            steps.append(f"for the next start: {', '.join(self.next_start)}")
        return [*steps, f"{len(self.untouched)} untouched"]


def step_to_json(step: Step) -> dict[str, Any]:
    """Return ``{"child", "act", "why"}``."""
    return {"child": step.path, "act": step.act, "why": list(step.why)}


def plan(old: Config, new: Config) -> Plan:
    """Return what brings a tree of ``old`` to ``new`` with the least disturbance."""
    reasons = {skipped.path: skipped.reason for skipped in new.skipped}
    steps = tuple(_family_steps("", old.root, new.root, reasons))
    untouched = tuple(_untouched("", new.root, {step.path: step for step in steps}))
    next_start = tuple(_for_next_start(old.serve, new.serve))
    return Plan(steps, untouched, next_start, webhooks=old.webhooks != new.webhooks)


def partly(old: Config, new: Config, done: Iterable[Step]) -> Config:
    """Return what a tree is after only the steps ``done`` of the plan from old to new were done."""
    root = _mixed("", old.root, new.root, {step.path: step.act for step in done})
    return attrs.evolve(new, root=root, serve=old.serve)


def path_of(parent: str, name: str) -> str:
    """Return the path of a child."""
    return f"{parent}/{name}" if parent else name


def needed_first(family: SupervisorConfig) -> list[ChildConfig]:
    """Return the children so that each comes after those it needs; without needs in their order."""
    children = {child.name: child for child in family.children}
    return [children[name] for name in in_order({n: child.after for n, child in children.items()})]


# --- the steps -----------------------------------------------------------------------------------


def _family_steps(
    path: str, old: SupervisorConfig, new: SupervisorConfig, skipped: Mapping[str, str]
) -> Iterator[Step]:
    keys = [key for key in differing(old, new) if key != "name" or not path]
    if not _same_order(old, new):
        keys.append(ORDER)
    if keys:
        yield Step(path, "update", tuple(keys))
    names = {child.name for child in new.children}
    for child in reversed(needed_first(old)):
        if child.name not in names:
            gone = path_of(path, child.name)
            yield Step(gone, "remove", (skipped[gone],) if gone in skipped else ())
    before = {child.name: child for child in old.children}
    along = _restarted_along(before, new)
    for child in needed_first(new):
        place = path_of(path, child.name)
        if child.name not in before:
            yield Step(place, "add")
        else:
            yield from _child_steps(place, before[child.name], child, along, skipped)


def _child_steps(
    path: str,
    old: ChildConfig,
    new: ChildConfig,
    along: Mapping[str, str],
    skipped: Mapping[str, str],
) -> Iterator[Step]:
    keys = differing(old, new)
    if new.name in along or needs_restart(old, new):
        because = (along[new.name],) if new.name in along else ()
        yield Step(path, "restart", (*keys, *because))
    elif isinstance(old, SupervisorConfig) and isinstance(new, SupervisorConfig):
        yield from _family_steps(path, old, new, skipped)
    elif keys:
        yield Step(path, "update", keys)


def _restarted_along(before: Mapping[str, ChildConfig], new: SupervisorConfig) -> dict[str, str]:
    """Return which children restart because another one does, and why: its group's strategy."""
    if not new.strategy.grouped:
        return {}
    kept = [child for child in new.children if child.name in before]
    first = next((child for child in kept if needs_restart(before[child.name], child)), None)
    if first is None:
        return {}
    group = kept if new.strategy is Strategy.ONE_FOR_ALL else kept[kept.index(first) + 1 :]
    return {
        child.name: f"with {first.name}: {new.strategy}"
        for child in group
        if not needs_restart(before[child.name], child)
    }


def needs_restart(old: ChildConfig, new: ChildConfig) -> bool:
    """Return whether only a restart brings a child from ``old`` to ``new``."""
    if type(old) is not type(new):
        return True
    if isinstance(new, SupervisorConfig):
        return False
    return any(key.partition(".")[0] not in IN_PLACE for key in differing(old, new))


def _same_order(old: SupervisorConfig, new: SupervisorConfig) -> bool:
    names = [child.name for child in old.children]
    kept = [child.name for child in new.children if child.name in set(names)]
    staying = set(kept)
    return kept == [name for name in names if name in staying]


def _untouched(path: str, family: SupervisorConfig, steps: Mapping[str, Step]) -> Iterator[str]:
    for child in family.children:
        place = path_of(path, child.name)
        step = steps.get(place)
        if step is None:
            yield place
        if isinstance(child, SupervisorConfig) and (step is None or step.act == "update"):
            yield from _untouched(place, child, steps)


def _for_next_start(old: ServeConfig, new: ServeConfig) -> Iterator[str]:
    for field in attrs.fields(ServeConfig):
        if field.name != "agents" and getattr(old, field.name) != getattr(new, field.name):
            yield f"serve.{field.name}"
    before, after = ({agent.id: agent for agent in each.agents} for each in (old, new))
    yield from _differences("agents", before, after)


# --- what differs --------------------------------------------------------------------------------


def differing(old: ChildConfig, new: ChildConfig) -> tuple[str, ...]:
    """Return the keys, as files name them, that differ; of a supervisor without its children."""
    if type(old) is not type(new):
        return (KIND,)
    found: list[str] = []
    for field in attrs.fields(type(old)):
        if field.eq and field.name != "children":
            key = _key_of(field.name, new)
            found.extend(_differences(key, getattr(old, field.name), getattr(new, field.name)))
    return tuple(found)


def _key_of(field: str, config: ChildConfig) -> str:
    if field == "argv":
        return "mcp" if isinstance(config, McpConfig) else "command"
    return field


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    """Yield where two values differ: in tables the keys that do, by name only."""
    if old == new:
        return
    parts, others = _parts(old), _parts(new)
    if parts is None or others is None:
        yield key
        return
    missing = object()
    for name in dict.fromkeys((*parts, *others)):
        if parts.get(name, missing) != others.get(name, missing):
            yield f"{key}.{name}"


def _parts(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return None


# --- half of a plan ------------------------------------------------------------------------------


def _mixed(
    path: str, old: SupervisorConfig, new: SupervisorConfig, done: Mapping[str, Act]
) -> SupervisorConfig:
    """Return a supervisor after the steps ``done``; children that were to go are last."""
    if not any(place == path or place.startswith(f"{path}/") or not path for place in done):
        return old  # in its old order too
    before = {child.name: child for child in old.children}
    children: list[ChildConfig] = []
    for child in new.children:
        place = path_of(path, child.name)
        was = before.pop(child.name, None)
        act = done.get(place)
        if act in ("add", "restart"):
            children.append(child)
        elif isinstance(was, SupervisorConfig) and isinstance(child, SupervisorConfig):
            children.append(_mixed(place, was, child, done))
        elif was is not None:
            children.append(was if act is None else child)
    children += [child for name, child in before.items() if path_of(path, name) not in done]
    family = new if path in done else old
    names = frozenset() if family.strategy.grouped else {child.name for child in children}
    return attrs.evolve(family, children=tuple(_needing_only(names, each) for each in children))


def _needing_only(names: Set[str], child: ChildConfig) -> ChildConfig:
    """Return a child that needs no siblings but these: others are gone, or did not come."""
    if child.after.keys() <= names:
        return child
    return attrs.evolve(child, after={n: need for n, need in child.after.items() if n in names})
