"""Copies of one process: a supervisor of its own, with children ``0``, ``1``, ``2``, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import attrs

from a2a_sup.app.settings import (
    ChildConfig,
    Config,
    ProbeConfig,
    ProcessConfig,
    SupervisorConfig,
)

INDEX = "{index}"
"""Stands for the number of a copy in the texts that are its own; see ``_copy``."""
COPIES_LIMIT = 1_000


def replicated(template: ProcessConfig, copies: int) -> SupervisorConfig:
    """Return the supervisor of so many copies of ``template``; each shares nobody's fate."""
    return SupervisorConfig(
        name=template.name,
        stop_order="parallel",
        children=copies_of(template, copies),
        after=template.after,
        tags=template.tags,
        template=template,
    )


def copies_of(template: ProcessConfig, copies: int) -> tuple[ProcessConfig, ...]:
    """Return so many copies of ``template``, each with its number for a name."""
    return tuple(_copy(template, number) for number in range(copies))


def of_copy(number: int, text: str) -> str:
    """Return a text as it is for the copy with this number."""
    return text.replace(INDEX, str(number))


def _copy(template: ProcessConfig, number: int) -> ProcessConfig:
    numbered = partial(of_copy, number)

    return attrs.evolve(
        template,
        name=str(number),
        argv=tuple(map(numbered, template.argv)),
        written=tuple(map(numbered, template.written)),
        cwd=numbered(template.cwd),
        env_file=template.env_file and numbered(template.env_file),
        env={name: numbered(value) for name, value in template.env.items()},
        watch=tuple(map(numbered, template.watch)),
        probes=tuple(_probe(probe, numbered) for probe in template.probes),
        after={},
    )


def _probe(probe: ProbeConfig, numbered: Callable[[str], str]) -> ProbeConfig:
    target = probe.target
    match target:
        case str():
            target = numbered(target)
        case tuple():  # the words of a command
            target = tuple(map(numbered, target))
    return attrs.evolve(probe, target=target, name=numbered(probe.name))


def with_copies(config: Config, copies: Mapping[str, int]) -> Config:
    """Return ``config`` with so many copies of the children at these paths.

    Paths of what has no copies are ignored.
    """
    if not copies:
        return config
    return attrs.evolve(config, root=_with_copies("", config.root, copies))


def _with_copies(
    path: str, family: SupervisorConfig, copies: Mapping[str, int]
) -> SupervisorConfig:
    if family.template is not None:
        wanted = copies.get(path)
        return family if wanted is None else replicated(family.template, wanted)
    children: list[ChildConfig] = []
    for child in family.children:
        if isinstance(child, SupervisorConfig):
            place = f"{path}/{child.name}" if path else child.name
            children.append(_with_copies(place, child, copies))
        else:
            children.append(child)
    return attrs.evolve(family, children=tuple(children))


def has_copies(config: Config, path: str) -> bool:
    """Return whether the child at ``path`` is a supervisor of copies."""
    family: ChildConfig | None = config.root
    for name in path.split("/"):
        if not isinstance(family, SupervisorConfig):
            return False
        family = next((child for child in family.children if child.name == name), None)
    return isinstance(family, SupervisorConfig) and family.template is not None
