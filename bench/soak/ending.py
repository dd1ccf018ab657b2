"""Who should run when nobody disturbs the tree any more, and does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from a2a_sup import ChildSnapshot, ReasonKind, State

DOWN = frozenset({State.STOPPED, State.FINISHED, State.FAILED})
"""The states in which nothing becomes of a child by itself."""
OF_THE_SHORT = frozenset({State.RUNNING, State.STARTING, State.BACKING_OFF, State.FAILED})
"""A program that ends again and again comes to its limit of restarts, if it does so too often."""
RUNNING = frozenset({State.RUNNING})


def unsettled(
    children: Iterable[ChildSnapshot], wanted: Iterable[str], kind_of: Callable[[str], str]
) -> list[str]:
    """Return who does not run, or is not there.

    Args:
        children: all of a tree.
        wanted: the paths that have to be there.
        kind_of: what the process at a path does; "short" ones may have failed.
    """
    children = list(children)
    absent = sorted({*wanted} - {child.path for child in children})
    return [f"{path}: is not there" for path in absent] + [
        f"{child.path}: is {child.state} ({child.last_reason})"
        for child in children
        if child.state not in (OF_THE_SHORT if kind_of(child.path) == "short" else RUNNING)
    ]


def wrongly_down(
    children: Iterable[ChildSnapshot],
    is_once: Callable[[str], bool],
    is_grouped: Callable[[str], bool],
    kind_of: Callable[[str], str],
) -> list[str]:
    """Return who is down though everybody who was stopped was started again, and why not.

    Down may be: a child whose start by a call failed; a short process that came to its limit; a
    task that is done when it returns; and under a group strategy, those who were stopped with a
    child whose restart was then called off by a call to stop it.
    """
    problems = []
    for child in children:
        path, reason = child.path, child.last_reason
        match child.state:
            case State.STOPPED:
                may_be = is_grouped(path)
            case State.FINISHED:
                may_be = is_once(path)
            case State.FAILED:
                could_not_start = reason is not None and reason.kind == ReasonKind.START_FAILED
                may_be = kind_of(path) == "short" or could_not_start
            case _:
                may_be = True
        if not may_be:
            problems.append(f"{path}: was left {child.state} ({reason})")
    return problems
