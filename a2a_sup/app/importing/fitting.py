"""What another tool allows and ours does not: found by our own grammar, told, and left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from a2a_sup.app.importing.toml import toml
from a2a_sup.app.problems import Problem
from a2a_sup.app.values import Reader, Refused, Source, Value
from a2a_sup.app.variables import Variables

PARTED: Final = ("success_exit_codes", "tags", "probes")
"""Lists that still mean something without one of their items. A command does not."""


class _AnyVariables(Mapping[str, str]):
    """An environment in which every variable is set: which are is known when the tree is run."""

    def __getitem__(self, name: str) -> str:
        return "1"

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_VARIABLES = Variables(environ=_AnyVariables(), folder="/", cwd="/")


def fit(keys: dict[str, Any], readers: Mapping[str, Reader[Any]], notes: list[str]) -> None:
    """Leave out of ``keys`` what our format does not know or allow; note each, and why.

    Of a table only those entries are left out that are refused.
    """
    for key in [*keys]:
        if key not in readers:
            notes.append(f"this version has no key for it: {key} = {toml(keys.pop(key))}")
            continue
        problems = _problems(key, keys[key], readers[key])
        if not problems:
            continue
        notes += (f"{each.key}: {each.message}: left out" for each in problems)
        rest = _without_refused(key, keys[key], readers[key])
        if rest and not _problems(key, rest, readers[key]):
            keys[key] = rest
        else:
            del keys[key]


def _without_refused(key: str, raw: Any, reader: Reader[Any]) -> Any:
    """Return what is left of a table or list without the items that are refused alone."""
    if isinstance(raw, dict):
        return {
            name: each for name, each in raw.items() if not _problems(key, {name: each}, reader)
        }
    if isinstance(raw, list) and key in PARTED:
        return [each for each in raw if not _problems(key, [each], reader)]
    return None


def _problems(key: str, raw: Any, reader: Callable[[Value], Any]) -> list[Problem]:
    try:
        toml(raw).encode()
    except (TypeError, UnicodeEncodeError):
        return [Problem("", key, "found what TOML cannot hold")]
    source = Source("", _VARIABLES, [])
    with suppress(Refused):
        reader(Value(raw, source, key))
    return source.problems
