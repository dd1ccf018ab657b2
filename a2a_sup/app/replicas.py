"""Copies of one process: a supervisor of its own, with children ``0``, ``1``, ``2``, ..."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from a2a_sup.app.settings import ChildConfig, Config, ProcessConfig, SupervisorConfig

INDEX = "{index}"
"""Stands for the number of a copy in its command, its ``watch`` and the values of its ``env``."""
COPIES_LIMIT = 1_000


def replicated(template: ProcessConfig, copies: int) -> SupervisorConfig:
    """Return the supervisor of so many copies of ``template``; each shares nobody's fate."""
    return SupervisorConfig(
        name=template.name,
        stop_order="parallel",
        children=tuple(_copy(template, number) for number in range(copies)),
        after=template.after,
        tags=template.tags,
        template=template,
    )


def _copy(template: ProcessConfig, number: int) -> ProcessConfig:
    def numbered(text: str) -> str:
        return text.replace(INDEX, str(number))

    return attrs.evolve(
        template,
        name=str(number),
        argv=tuple(map(numbered, template.argv)),
        written=tuple(map(numbered, template.written)),
        env={name: numbered(value) for name, value in template.env.items()},
        watch=tuple(map(numbered, template.watch)),
        after={},
    )


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
