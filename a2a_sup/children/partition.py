"""N copies of one child, and which of them has a key (as Elixir's PartitionSupervisor)."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable

import attrs

from a2a_sup.children.supervisor import supervisor
from a2a_sup.errors import SpecError
from a2a_sup.model.restarts import Restart, RestartWord
from a2a_sup.model.spec import ChildSpec, Shutdown
from a2a_sup.model.strategy import StrategyWord


def partition_supervisor(
    name: str,
    child: ChildSpec,
    partitions: int,
    *,
    strategy: StrategyWord = "one_for_one",
    intensity: int | None = None,
    period: float = 5.0,
    restart: Restart | RestartWord = "permanent",
    shutdown: Shutdown = "infinity",
    tags: Iterable[str] = (),
) -> ChildSpec:
    """Return a supervisor of copies of ``child`` that are named ``0``, ``1``, ``2``, ...

    A copy knows its number from ``task_status.path``. ``partition_of`` says which copy is
    responsible for a key: ``f"{path}/{partition_of(key, partitions)}"`` is its path.

    Args:
        name: unique among siblings.
        child: what is copied; its own name is not used. It may be a supervisor.
        partitions: how many copies; at least 1.
        strategy: who is restarted when a copy ended.
        intensity: restarts of all copies together allowed within ``period``. None: no limit.
        period: seconds.
        restart: what its parent does when it gave up or ended.
        shutdown: seconds until it is cancelled.
        tags: words to find it by.

    Raises:
        SpecError: an argument is out of range.
    """
    if not isinstance(child, ChildSpec):
        raise SpecError(f"child {name!r}: what is copied is a ChildSpec, not {child!r}")
    _check_count(partitions, f"child {name!r}: ")
    return supervisor(
        name,
        [attrs.evolve(child, name=str(number)) for number in range(partitions)],
        strategy=strategy,
        intensity=intensity,
        period=period,
        restart=restart,
        shutdown=shutdown,
        tags=tags,
    )


def partition_of(key: Hashable, partitions: int) -> int:
    """Return the number of the partition, from 0, that is responsible for ``key``.

    A whole number goes to its absolute value modulo ``partitions``, as in Elixir. Texts and bytes
    go by a checksum, so to the same partition in every run of a program; anything else by its
    hash, so to the same partition for the length of one run.

    Raises:
        SpecError: ``partitions`` is no whole number above 0.
    """
    _check_count(partitions, "")
    if isinstance(key, int):
        return abs(key) % partitions
    if isinstance(key, str):
        key = key.encode(errors="surrogatepass")
    number = zlib.crc32(key) if isinstance(key, bytes) else hash(key)
    return number % partitions


def _check_count(partitions: object, where: str) -> None:
    if isinstance(partitions, bool) or not isinstance(partitions, int) or partitions < 1:
        raise SpecError(f"{where}partitions is a whole number >= 1, not {partitions!r}")
