"""When a tree is reloaded: by a signal, a call, a change of its files. What is told of it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import structlog
import trio

from a2a_sup.app.config import ConfigError
from a2a_sup.app.operator import OperatorStops
from a2a_sup.app.reload import CannotReload, Outcome, Reloader, walk
from a2a_sup.app.replicas import COPIES_LIMIT, has_copies, with_copies
from a2a_sup.app.settings import Config
from a2a_sup.errors import NoSuchChild, NotSupported, SpecError

DEBOUNCE = 0.2
"""Seconds without a change until a change of files is looked at: an editor writes several times."""
LOOK_EVERY = 2.0
"""Seconds: so often files are looked at even if the kernel told of no change."""

Mistaken = (ConfigError, SpecError, CannotReload)
"""What is wrong with a new configuration. All of them have ``problems``; nothing was changed."""


class Reloading:
    """The reloads of one running tree.

    Attributes:
        around: what each reload that changes something is done inside of.
    """

    def __init__(
        self, reloader: Reloader, read: Callable[[], Config], stops: OperatorStops
    ) -> None:
        """Reload by ``reloader`` what ``read`` reads, which is called in a thread.

        What an operator decided about children that are removed is forgotten by ``stops``.
        """
        self._reloader = reloader
        self._read = read
        self._stops = stops
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext

    async def run(
        self,
        requests: AsyncIterable[str],
        task_status: trio.TaskStatus[trio.CancelScope],
        *,
        watch: bool,
    ) -> None:
        """Reload at every request, which is its trigger, and with ``watch`` when files change."""
        async with trio.open_nursery() as nursery:
            task_status.started(nursery.cancel_scope)
            if watch:
                nursery.start_soon(self._watch)
            async for trigger in requests:
                await self.heed(trigger)

    async def reload(self, plan_only: bool) -> dict[str, Any]:  # noqa: FBT001 - of the API
        """Read the files again and apply what changed, or only say what would be done.

        Returns:
            With ``plan_only`` :meth:`Plan.to_json`, else :meth:`Outcome.to_json`.

        Raises:
            ConfigError: there are mistakes in the files. As for the next two, nothing was changed.
            SpecError: this installation cannot run some of the children.
            CannotReload: a child could not start, such as for want of its program.
        """
        if plan_only:
            new = await trio.to_thread.run_sync(self._read_again)
            return self._reloader.plan(new).to_json()
        with self.around():
            new = await trio.to_thread.run_sync(self._read_again)
            return (await self._apply(new, "call")).to_json()

    async def scale(self, path: str, copies: int) -> dict[str, Any]:
        """Have so many copies of the child at ``path``, which the file gives ``replicas``.

        The number is kept in the state directory and holds until the next ``scale``, whatever the
        file says, or a run that is ``--fresh``. The last copies go first.

        Returns:
            :meth:`Outcome.to_json`.

        Raises:
            NoSuchChild: there is no such child.
            NotSupported: it has no copies, or ``copies`` is out of range.
            CannotReload: a copy could not start; nothing was changed.
        """
        if not 0 <= copies <= COPIES_LIMIT:
            raise NotSupported(path, f"copies are 0 to {COPIES_LIMIT}, not {copies}")

        def scaled(config: Config) -> Config:
            if not has_copies(config, path):
                if any(place == path for place, _ in walk("", config.root)):
                    raise NotSupported(path, "has no replicas in the file, so it cannot be scaled")
                raise NoSuchChild(path, "there is no such child")
            return with_copies(config, {path: copies})

        outcome = await self._reloader.change(scaled)
        if outcome.failed is None:
            self._stops.scaled(path, copies)
        self._tell(outcome, "scale")
        return outcome.to_json()

    def _read_again(self) -> Config:
        return with_copies(self._read(), self._stops.copies)

    async def heed(self, trigger: str) -> None:
        """Reload because of ``trigger``; mistakes go to the log, each on a line of its own."""
        try:
            with self.around():
                new = await trio.to_thread.run_sync(self._read_again)
                await self._apply(new, trigger)
        except Mistaken as exc:
            _tell_mistakes(trigger, exc.problems)

    async def _apply(self, new: Config, trigger: str) -> Outcome:
        outcome = await self._reloader.apply(new)
        self._tell(outcome, trigger)
        return outcome

    def _tell(self, outcome: Outcome, trigger: str) -> None:
        log = structlog.get_logger()
        self._stops.forget(step.path for step in outcome.applied if step.act == "remove")
        if outcome.plan.webhooks:
            hosts = [webhook.host for webhook in self._reloader.config.webhooks]
            log.info("reload.webhooks", trigger=trigger, receivers=hosts)
        if outcome.plan.next_start:
            log.warning("reload.next_start", trigger=trigger, keys=list(outcome.plan.next_start))
        for step in outcome.applied:
            log.info(f"reload.{step.act}", child=step.path, why=list(step.why))
        if outcome.failed is not None:
            log.error(
                "reload.failed",
                trigger=trigger,
                child=outcome.failed.path,
                because=outcome.because,
                not_applied=[step.path for step in outcome.left],
            )
        else:
            untouched = len(outcome.plan.untouched)
            log.info(
                "reload.done", trigger=trigger, steps=len(outcome.applied), untouched=untouched
            )

    async def _watch(self) -> None:
        log = structlog.get_logger()
        seen = states_of(self._reloader.config.files)
        while True:
            log.info("tree.watched", files=sorted(seen))
            await changed(seen)
            # Looked at before they are read: what changes meanwhile is found in the next round.
            before = states_of(seen)
            await self.heed("watch")
            seen = {**states_of(self._reloader.config.files), **before}


def _tell_mistakes(trigger: str, problems: Sequence[object]) -> None:
    log = structlog.get_logger()
    for problem in problems:
        log.error("reload.mistake", problem=str(problem))
    log.error("reload.refused", trigger=trigger, mistakes=len(problems))


States: TypeAlias = dict[str, tuple[int, int, int] | None]


def states_of(files: Iterable[str]) -> States:
    """Return what tells the contents of files apart without reading them."""

    def state_of(file: str) -> tuple[int, int, int] | None:
        try:
            found = Path(file).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    return {file: state_of(file) for file in files}


async def changed(seen: States) -> None:
    """Return when one of these files is not any more what was ``seen``, and is left alone.

    Their directories are watched, because editors replace files.
    """
    stop = threading.Event()
    try:
        await trio.to_thread.run_sync(partial(_wait_for_change, seen, stop), abandon_on_cancel=True)
    finally:
        stop.set()


def _wait_for_change(seen: States, stop: threading.Event) -> None:
    import watchfiles  # noqa: PLC0415 - heavy, and only for those who watch

    for _ in watchfiles.watch(
        *{Path(file).parent for file in seen},
        watch_filter=lambda _, path: path in seen,
        step=round(DEBOUNCE * 1000),
        stop_event=stop,
        rust_timeout=round(LOOK_EVERY * 1000),
        yield_on_timeout=True,  # a change before the watch was set up is found so
        recursive=False,
        raise_interrupt=False,
        ignore_permission_denied=True,
    ):
        if states_of(seen) != seen:
            return
