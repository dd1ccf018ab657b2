"""Work that goes on when nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from a2a_sup.errors import TreeEnded

T = TypeVar("T")


class Job(Generic[T]):
    """A task of its own. It ends with a result, or with an error for whoever still waits.

    A task of the run, not of a request: half a restart is worse than one that nobody sees.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        """Begin ``await work()``."""
        self._work = work
        self._ended = trio.Event()
        self._result: list[T] = []
        self._error: Exception = TreeEnded("the supervisor ended meanwhile")
        trio.lowlevel.spawn_system_task(self._run)

    async def _run(self) -> None:
        try:
            self._result.append(await self._work())
        except Exception as exc:  # noqa: BLE001 - a system task that raises would end the program
            self._error = exc
        finally:
            self._ended.set()

    async def result(self) -> T:
        """Wait for the end; return what it returned, raise what it raised."""
        await self._ended.wait()
        if not self._result:
            raise self._error
        return self._result[0]
