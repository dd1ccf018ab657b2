"""What a soak did and found, and what is demanded of that."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

BROKEN_KEPT = 100
"""Different lines about what is broken that are kept; the first ones tell most."""
SETTLING = 0.25
"""The part of the time after which memory is compared: caches and pools have filled by then."""
SAMPLES_NEEDED = 8
"""Fewer say nothing about growth."""
MEMORY_MARGIN = 0.05
"""Growth of the median memory from the first to the last third of the rest that is noise.

Relative, as it is the allocator's: free pieces between others, in proportion to what there is.
"""
DESCRIPTORS_MARGIN = 12
"""The same of the open files, as a number: it does not grow with the tree.

It is four processes more or fewer, which come and go, of three files each. A leak of one in a
hundred of what is done is several times as many within a minute.
"""
SURELY = 5.0
"""What is to be expected so many times, at a rate that is guessed low, was done at least once."""


@attrs.define
class Watched:
    """What the watchers of the dashboard got.

    Attributes:
        accepted: handshakes answered by 101.
        refused: answered by anything else.
        cut: prompt watchers that lost the connection just after a jump of the clock, which is a
            silence to the server.
        frames: WebSocket messages that prompt watchers got.
        snapshots, deltas, event_frames: of these, by what they told.
        events: told in them.
        excused: gaps before event frames of which the protocol says that they may be.
        compared: trees put together from deltas that were the true one at that moment.
    """

    accepted: int = 0
    refused: int = 0
    cut: int = 0
    frames: int = 0
    snapshots: int = 0
    deltas: int = 0
    event_frames: int = 0
    events: int = 0
    excused: int = 0
    compared: int = 0


@attrs.define
class Report:
    """What was done, and what was found.

    Attributes:
        done: how often each thing was done to the tree.
        refused: how often it was refused, and by which error.
        events: how many events there were.
        lost: how many of them a prompt reader did not get.
        moves: how often a child came into each state.
        watched: by the dashboard.
        is_settled: whether in the end everybody ran who should.
        broken: invariants that did not hold, and how often: none, in a good run.
        broken_more: how often others did not hold, of which no line is kept.
        verdict: what does not hold of the whole: none, in a good run.
        memory: resident bytes, sampled.
        descriptors: open files, sampled.
        processes: marked processes, sampled.
    """

    done: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)
    events: int = 0
    lost: int = 0
    moves: Counter[str] = attrs.field(factory=Counter)
    watched: Watched = attrs.field(factory=Watched)
    is_settled: bool = False
    broken: Counter[str] = attrs.field(factory=Counter)
    broken_more: int = 0
    verdict: list[str] = attrs.field(factory=list)
    memory: list[int] = attrs.field(factory=list)
    descriptors: list[int] = attrs.field(factory=list)
    processes: list[int] = attrs.field(factory=list)

    def demand(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        """Write down what does not hold at this moment."""
        if holds:
            return
        if what in self.broken or len(self.broken) < BROKEN_KEPT:
            self.broken[what] += 1
        else:
            self.broken_more += 1

    def blame(self, problems: Sequence[str]) -> None:
        """Write down what does not hold."""
        for problem in problems:
            self.demand(False, problem)  # noqa: FBT003 - reads as an assertion


def judged(report: Report, expected: Mapping[str, float]) -> list[str]:
    """Return what does not hold of the whole: all there is to it took place, and nothing grew.

    Args:
        report: of a soak that is over.
        expected: how often each thing is done in such a time, guessed low.
    """
    watched = report.watched
    demands = [
        (report.events > 0, "there were no events"),
        (report.lost == 0, f"{report.lost} events were lost by a prompt reader"),
        *(
            (report.done[what] > 0, f"never done: {what}")
            for what, count in expected.items()
            if count >= SURELY
        ),
        (watched.refused == 0, f"{watched.refused} handshakes were not answered by 101"),
        (watched.accepted > 0, "no watcher got 101"),
        (watched.snapshots > 0, "no watcher got a tree"),
        (watched.deltas > 0, "no watcher got a change of the tree"),
        (watched.event_frames > 0, "no watcher got events"),
        (watched.compared > 0, "no watcher's tree was compared with the true one"),
        (
            2 * watched.excused <= watched.event_frames,
            f"{watched.excused} event frames came after a gap",
        ),
        (report.is_settled, "the end, when all children run, was not come to"),
        (max(report.processes, default=0) > 0, "no process was ever seen"),
    ]
    return [
        *(what for holds, what in demands if not holds),
        *growth("memory", report.memory, relative=MEMORY_MARGIN),
        *growth("descriptors", report.descriptors, absolute=DESCRIPTORS_MARGIN),
    ]


def growth(
    what: str, samples: Sequence[int], *, relative: float = 0.0, absolute: float = 0.0
) -> list[str]:
    """Return what is wrong with ``samples``: too few, or more than the margins allow of growth."""
    rest = samples[int(len(samples) * SETTLING) :]
    if len(rest) < SAMPLES_NEEDED:
        return [f"{what} was measured {len(rest)} times only"]
    third = len(rest) // 3
    first, last = statistics.median(rest[:third]), statistics.median(rest[-third:])
    if last <= first * (1 + relative) + absolute:
        return []
    return [f"{what} grew from {first:.0f} to {last:.0f}"]


def told(report: Report, seconds: float) -> list[str]:
    """Return the lines that say what was done in so many seconds, and what was found."""
    lines = [
        f"{seconds / 60:.1f} minutes, {report.events} events, "
        f"{report.lost} of them lost by a prompt reader"
    ]
    numbers: list[tuple[str, int]] = sorted(report.done.items())
    numbers += [(f"refused: {what}", count) for what, count in sorted(report.refused.items())]
    numbers += [(f"became {state}", count) for state, count in sorted(report.moves.items())]
    watched = attrs.asdict(report.watched)
    numbers += [(f"watchers: {what}", count) for what, count in watched.items()]
    lines += [f"  {what:<48} {count}" for what, count in numbers]
    for what, samples, scale in (
        ("memory, MB", report.memory, 1e6),
        ("descriptors", report.descriptors, 1),
        ("processes", report.processes, 1),
    ):
        if samples:
            settled = samples[len(samples) // 4]
            lines.append(
                f"  {what:<48} settled {settled / scale:.1f}, end {samples[-1] / scale:.1f}, "
                f"most {max(samples) / scale:.1f}"
            )
    lines += [f"BROKEN: {what}" for what in report.verdict]
    for what, count in report.broken.items():
        lines.append(f"BROKEN: {what}{f' ({count} times)' if count > 1 else ''}")
    return [*lines, *([f"BROKEN: and {report.broken_more} more"] if report.broken_more else [])]
