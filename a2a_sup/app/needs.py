"""Rules between siblings that wait for each other, in files."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from a2a_sup.app.defaults import Family
from a2a_sup.app.problems import suggestion
from a2a_sup.app.settings import ChildConfig, McpConfig, SupervisorConfig
from a2a_sup.app.values import Value
from a2a_sup.model.health import Purpose
from a2a_sup.model.needs import Need, cycle


def check_needs(family: Family, children: Iterable[ChildConfig], skipped: Collection[str]) -> None:
    """Note what is wrong with the needs of siblings.

    Args:
        family: their supervisor; its ``needs`` say where each need was written.
        children: all of them, but those with mistakes.
        skipped: the paths of those that are not run.
    """
    known = {child.name: child for child in children}
    for name, value in family.needs.items():
        if name not in known:
            continue
        if family.strategy.grouped:
            value.note(
                f"found needs under {family.strategy}, which starts its children in their order; "
                "allowed: under one_for_one"
            )
        for other, need in known[name].after.items():
            _check_need(family, known, skipped, (value.entry(other), other, need))
    circle = cycle(
        {name: [other for other in child.after if other in known] for name, child in known.items()}
    )
    if circle:
        family.needs[circle[0]].note(
            f"children need each other: {' -> '.join(circle)}; allowed: needs without a circle"
        )


def _check_need(
    family: Family,
    known: dict[str, ChildConfig],
    skipped: Collection[str],
    need: tuple[Value, str, Need],
) -> None:
    place, other, word = need
    if other in known:
        if word is Need.READY and not _says_ready(known[other]):
            place.refused(
                f"started, finished; {other} has nothing that says when it is ready, such as a "
                "readiness probe"
            )
        if word is Need.FINISHED and _is_scheduled(known[other]):
            place.refused(f"started; {other} runs at times and never finishes")
    elif family.path_of(other) in skipped:
        place.note(f"{other} is not run; allowed: siblings that are run")
    elif other not in family.places:  # else it has mistakes of its own
        place.note(
            f"there is no sibling of this name{suggestion(other, known)}; "
            "allowed: names of siblings"
        )


def _is_scheduled(child: ChildConfig) -> bool:
    return not isinstance(child, SupervisorConfig) and child.is_scheduled


def _says_ready(child: ChildConfig) -> bool:
    if isinstance(child, SupervisorConfig):
        return False
    is_probed = any(
        probe.kind == "heartbeat" or probe.purpose is not Purpose.LIVENESS for probe in child.probes
    )
    return isinstance(child, McpConfig) or child.notify or is_probed
