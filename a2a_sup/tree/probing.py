"""The probe loop: a task beside a child that asks it again and again while it runs.

One loop for each child, so its checks never overlap, and a hung check delays no other child.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from a2a_sup.errors import CheckFailed
from a2a_sup.model import events
from a2a_sup.model.health import (
    MESSAGE_LIMIT,
    RESULTS_KEPT,
    Probe,
    ProbeResult,
    ProbeSnapshot,
    Purpose,
    Tally,
    first_wait,
    is_healthy,
    next_wait,
)
from a2a_sup.model.reasons import Reason, ReasonKind, message_of
from a2a_sup.model.words import printable

if TYPE_CHECKING:
    from a2a_sup.tree.runner import Incarnation

NO_RESULTS = Tally()


class Answers:
    """What the probes of one child were answered.

    Results are kept over all incarnations; verdicts are about the running one.

    Attributes:
        probes: what is asked.
        turn: held by who asks: a check that cannot be cancelled outlives its incarnation.
    """

    __slots__ = ("_results", "_tallies", "probes", "turn")

    def __init__(self, probes: Sequence[Probe], earlier: Answers | None = None) -> None:
        """Begin with the answers to ``earlier`` probes of the same name and purpose, or none."""
        self.probes = probes
        self.turn: trio.Lock = trio.Lock() if earlier is None else earlier.turn
        self._results: dict[str, deque[ProbeResult]] = {
            probe.name: deque(maxlen=RESULTS_KEPT) for probe in probes
        }
        self._tallies: dict[str, Tally] = {}
        if earlier is not None:
            self._take_over(earlier)

    def _take_over(self, earlier: Answers) -> None:
        purposes = {probe.name: probe.purpose for probe in earlier.probes}
        for probe in self.probes:
            if purposes.get(probe.name) is probe.purpose:
                self._results[probe.name] = earlier._results[probe.name]
                if probe.name in earlier._tallies:
                    self._tallies[probe.name] = earlier._tallies[probe.name]

    def forget_verdicts(self) -> None:
        """Take note that the incarnation is over."""
        self._tallies.clear()

    def tally(self, probe: Probe) -> Tally:
        """Return what the results of ``probe`` add up to."""
        return self._tallies.get(probe.name, NO_RESULTS)

    def add(self, probe: Probe, result: ProbeResult) -> Tally:
        """Take a result; return what all of them add up to."""
        self._results[probe.name].append(result)
        tally = self._tallies[probe.name] = self.tally(probe).after(probe, passed=result.passed)
        return tally

    def all_pass(self, purpose: Purpose) -> bool:
        """Return whether every probe with this purpose is passing."""
        return all(self.tally(probe).verdict for probe in self.probes if probe.purpose is purpose)

    @property
    def healthy(self) -> bool | None:
        """Whether the running incarnation is healthy; None: nobody knows."""
        return is_healthy((probe.purpose, self.tally(probe).verdict) for probe in self.probes)

    def picture(self) -> tuple[ProbeSnapshot, ...]:
        """Return the probes as immutable values."""
        return tuple(
            ProbeSnapshot(
                probe.name,
                probe.purpose.value,
                self.tally(probe).verdict,
                probe.interval,
                tuple(self._results[probe.name]),
            )
            for probe in self.probes
        )


class Prober:
    """Asks one incarnation of a child, until it is told to stop or finds it unhealthy."""

    __slots__ = ("_answers", "_incarnation", "_scope")

    def __init__(self, incarnation: Incarnation, answers: Answers) -> None:
        """Prepare to ask ``incarnation`` and to write down its ``answers``."""
        self._incarnation = incarnation
        self._answers = answers
        # Only the end of the child ends its probes, as only its supervisor ends the child.
        self._scope = trio.CancelScope(shield=True)

    def stop(self) -> None:
        """Ask nothing more; a check in flight is cancelled."""
        self._scope.cancel()

    async def run(self) -> None:
        """Ask until stopped. Raises no Exception."""
        try:
            with self._scope:
                async with self._answers.turn:
                    await self._ask_all()
        except BaseException:
            # KeyboardInterrupt in a check is no failure of it: it ends the whole tree.
            self._incarnation.owner.request_stop()
            raise

    async def _ask_all(self) -> None:
        """Ask the startup probes until they pass, then the others for ever."""
        startup = [probe for probe in self._answers.probes if probe.purpose is Purpose.STARTUP]
        await self._ask(startup, lambda: self._answers.all_pass(Purpose.STARTUP))
        rest = [probe for probe in self._answers.probes if probe.purpose is not Purpose.STARTUP]
        self._tell_readiness()
        await self._ask(rest, lambda: not rest)

    async def _ask(self, probes: Sequence[Probe], is_enough: Callable[[], bool]) -> None:
        now = trio.current_time()
        due = {probe: now + first_wait(probe, random.random()) for probe in probes}  # noqa: S311 - no secret
        while not is_enough():
            probe = min(due, key=due.__getitem__)
            await trio.sleep_until(due[probe])
            result = await check(probe, self._incarnation)
            # Stopped meanwhile, and the check took no notice: an answer about what is no more.
            await trio.lowlevel.checkpoint_if_cancelled()
            tally = self._take(probe, result)
            chance = random.random()  # noqa: S311 - no secret
            due[probe] = trio.current_time() + next_wait(probe, tally, chance)

    def _take(self, probe: Probe, result: ProbeResult) -> Tally:
        """Write an answer down and act on it."""
        incarnation, answers = self._incarnation, self._answers
        was_healthy = answers.healthy
        tally = answers.add(probe, result)
        incarnation.tell(events.ChildProbed, probe.name, probe.purpose.value, result)
        healthy = answers.healthy
        if healthy is not None and healthy is not was_healthy:
            because = f"{probe.purpose} probe {probe.name!r}"
            if result.message:
                because = f"{because}: {result.message}"
            incarnation.tell(events.ChildHealth, healthy, because)
        if probe.purpose is Purpose.READINESS:
            self._tell_readiness()
        elif tally.verdict is False:
            incarnation.owner.found_unhealthy(incarnation, unhealthy(probe, tally, result))
            self.stop()
        return tally

    def _tell_readiness(self) -> None:
        if any(probe.purpose is not Purpose.LIVENESS for probe in self._answers.probes):
            is_ready = self._answers.all_pass(Purpose.READINESS)
            self._incarnation.probed_ready(is_ready=is_ready)


def unhealthy(probe: Probe, tally: Tally, result: ProbeResult) -> Reason:
    """Return why a child is stopped whose probe fails."""
    times = "once" if tally.row == 1 else f"{tally.row} times in a row"
    text = f"{probe.purpose} probe {probe.name!r} failed {times}"
    return Reason(ReasonKind.UNHEALTHY, f"{text}: {result.message}" if result.message else text)


async def check(probe: Probe, incarnation: Incarnation) -> ProbeResult:
    """Ask once. Raises no Exception: whatever a check raises is its failure."""
    begin = trio.current_time()
    passed, message = False, f"no answer within {probe.timeout:g} s"
    with trio.move_on_after(probe.timeout) as limit:
        try:
            answer = await probe.check(incarnation)
        except CheckFailed as exc:
            message = message_of(exc)
        except Exception as exc:  # noqa: BLE001 - whatever user code raises is its failure
            message = f"{type(exc).__name__}: {message_of(exc)}"
        else:
            if not limit.cancel_called:  # else it took no notice of that, and comes too late
                passed = answer is not False
                message = answer if isinstance(answer, str) else "" if passed else "returned False"
    return ProbeResult(begin, passed, trio.current_time() - begin, _one_line(message))


def _one_line(text: str) -> str:
    return printable(" ".join(text[: 4 * MESSAGE_LIMIT].split())[:MESSAGE_LIMIT])
