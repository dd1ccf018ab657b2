"""From the keys that were written to whole settings: defaults, and rules between keys."""

from __future__ import annotations

from typing import TypeVar

import attrs

from a2a_sup.app.probe_keys import ProbedChild, check_fit
from a2a_sup.app.schedules import check_schedule, once
from a2a_sup.app.settings import (
    ChildConfig,
    LogSettings,
    McpConfig,
    ProcessConfig,
    SupervisorConfig,
)
from a2a_sup.app.values import Fields, Value
from a2a_sup.model.restarts import Restart, RestartType
from a2a_sup.model.strategy import AutoShutdown, Strategy

P = TypeVar("P", bound=ProcessConfig)


@attrs.frozen
class Family:
    """A supervisor as its children see it while they are read.

    Attributes:
        path: its path in the tree.
        level: how many supervisors there are from the root to it.
        strategy: its strategy.
        auto_shutdown: its auto_shutdown.
        defaults: the keys its children have unless they say otherwise.
        files: the files that are being read, each included by the one before.
        places: where the names of its children were given.
        needs: what its children say of their needs, by their names.
    """

    path: str = ""
    level: int = 1
    strategy: Strategy = Strategy.ONE_FOR_ONE
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    defaults: Fields = attrs.field(factory=dict)
    files: tuple[str, ...] = ()
    places: dict[str, str] = attrs.field(factory=dict)
    needs: dict[str, Value] = attrs.field(factory=dict)

    def path_of(self, name: str) -> str:
        """Return the path of a child."""
        return f"{self.path}/{name}" if self.path else name

    def ruled_by(self, fields: Fields) -> Family:
        """Return the family of a supervisor with these fields."""
        rules = {key: fields[key] for key in ("strategy", "auto_shutdown") if key in fields}
        return attrs.evolve(self, **rules)

    def below(self, name: str) -> Family:
        """Return the family of a nested supervisor, before its own fields are known."""
        return Family(
            path=self.path_of(name),
            level=self.level + 1,
            defaults=self.defaults,
            files=self.files,
        )


def merged(base: Fields, over: Fields) -> Fields:
    """Return both, ``over`` winning; tables in both are merged likewise."""
    result = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and isinstance(over[key], dict):
            result[key] = merged(base[key], over[key])
    return result


def process(config: type[P], name: str, entry: Value, written: Fields, family: Family) -> P:
    """Return a process; what it breaks of the family's rules is noted at ``entry``."""
    surroundings: Fields = {"cwd": entry.source.variables.folder}
    fields = merged(merged(surroundings, family.defaults), written)
    if fields.pop("oneshot", False):
        own = written.get("restart", {})
        fields["restart"] = once(entry, own, fields.get("restart", {}))
    fields["restart"] = restart(entry, fields, family)
    fields["logs"] = LogSettings(**fields.get("logs", {}))
    made = config(name=name, **fields)
    is_mcp = isinstance(made, McpConfig)
    check_fit(entry, ProbedChild(is_mcp, made.wait_ready, made.notify, made.probes))
    check_schedule(entry, made)
    heartbeats = [probe.target for probe in made.probes if probe.kind == "heartbeat"]
    return attrs.evolve(made, heartbeat=min(heartbeats, default=None))


def nested(
    name: str, entry: Value, written: Fields, family: Family, children: tuple[ChildConfig, ...]
) -> SupervisorConfig:
    """Return a nested supervisor: of the family's defaults it takes ``restart``."""
    defaults = {key: family.defaults[key] for key in ("restart",) if key in family.defaults}
    fields = merged(defaults, written)
    fields["restart"] = restart(entry, fields, family)
    return supervisor({"name": name, **fields}, children)


def supervisor(fields: Fields, children: tuple[ChildConfig, ...]) -> SupervisorConfig:
    """Return a supervisor; siblings that share no fate are stopped in parallel."""
    strategy = fields.get("strategy", Strategy.ONE_FOR_ONE)
    stop_order = "reverse" if strategy.grouped else "parallel"
    return SupervisorConfig(**{"stop_order": stop_order, **fields}, children=children)


def restart(entry: Value, fields: Fields, family: Family) -> Restart:
    """Return the restart policy of a child.

    Siblings under one_for_one are independent, so one that exhausts its budget is isolated. The
    children of a group share their fate: it is escalated.
    """
    when_exhausted = "escalate" if family.strategy.grouped else "isolate"
    policy = Restart(**{"when_exhausted": when_exhausted, **fields.get("restart", {})})
    if fields.get("significant"):
        _check_significant(entry.entry("significant"), policy, family)
    return policy


def _check_significant(value: Value, policy: Restart, family: Family) -> None:
    """Note OTP's bad combinations."""
    if family.auto_shutdown is AutoShutdown.NEVER:
        value.note(
            "found true under a supervisor without auto_shutdown; allowed: true if its "
            "auto_shutdown is any_significant or all_significant"
        )
    if policy.type is RestartType.PERMANENT:
        value.note(
            "found true for a permanent child; allowed: true if its restart is transient or "
            "temporary"
        )


def check_stop_order(holder: Value, fields: Fields) -> None:
    """Note a stop_order that the strategy in the table ``holder`` does not have."""
    strategy = fields.get("strategy", Strategy.ONE_FOR_ONE)
    if strategy.grouped and fields.get("stop_order") == "parallel":
        holder.entry("stop_order").refused(f"reverse, as the strategy is {strategy}")
