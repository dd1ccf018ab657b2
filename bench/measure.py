"""What a measure is, and how it is taken: contenders in turn, several times, at several sizes.

A measure pairs this project with a floor (the same by hand, with nothing around it) and with its
peers, all in one run. The repeats are interleaved, so that a noisy minute hits everybody.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import attrs

Take = Callable[[int], Mapping[str, float]]
"""Does the work once at a size; returns one number for each figure of the measure, by its key."""


EXPONENT = "exponent"
LINEAR = 1.1
"""The exponent that still counts as linear growth: sizes are few and figures are noisy."""
FLAT = 0.1
LEVEL = 0.95
"""A ratio below this is behind; what is nearer to 1 is noise."""


class NotMeasured(Exception):
    """Somebody is not here and cannot be had, or fails at the work; the message says why."""


class Kind(StrEnum):
    """What a contender is to us."""

    OURS = "ours"
    VARIANT = "variant"
    """Ours too, in other circumstances: shown, never compared with aims."""
    FLOOR = "floor"
    """What the same costs by hand, without supervision."""
    PEER = "peer"


@attrs.frozen
class Contender:
    """Somebody who does the work.

    Attributes:
        name: for tables.
        kind: what it is to us.
        take: does the work once.
    """

    name: str
    kind: Kind
    take: Take


@attrs.frozen
class Aim:
    """What a figure of ours is to be.

    Attributes:
        factor: the most that our figure may be, in the unit of ``than``.
        than: a contender whose figure is the unit; None: the figure's own unit.
        at: the size at which it is to be so; None: at every size.
    """

    factor: float
    than: str | None = None
    at: int | None = None

    def __str__(self) -> str:
        """``at most 1.3 x trio``."""
        where = "" if self.at is None else f" at {self.at:,}"
        return f"at most {self.factor:.3g}{f' x {self.than}' if self.than else ''}{where}"


@attrs.frozen
class Limit:
    """Why a peer is ahead of us.

    Attributes:
        why: what would have to be different.
        most: how many times less than us it takes for that reason; what is more is unexplained.
            Infinite: it takes nothing.
    """

    why: str
    most: float


@attrs.frozen
class Figure:
    """One of the numbers that a measure finds; the less the better.

    Attributes:
        key: what the contenders call it.
        what: what it is; ``{size}`` stands for the size.
        unit: of the number.
        aims: what ours is to be.
        limits: why we are behind a contender, by its name.
        growth: the greatest exponent over the sizes that is aimed at; None: it says nothing.
        missed: why ours may be more than is aimed at.
    """

    key: str
    what: str
    unit: str
    aims: tuple[Aim, ...] = ()
    limits: Mapping[str, Limit] = attrs.field(factory=dict)
    growth: float | None = LINEAR
    missed: str = ""


@attrs.frozen
class Measure:
    """Work that everybody does, and what is found.

    Attributes:
        name: for the command line.
        about: what is done, for people: a sentence.
        figures: what is found.
        contenders: who does it; ours is the first.
        sizes: how much of it.
        repeats: how often at each size.
    """

    name: str
    about: str
    figures: tuple[Figure, ...]
    contenders: tuple[Contender, ...]
    sizes: tuple[int, ...]
    repeats: int = 3


@attrs.frozen
class Row:
    """What one contender took.

    Attributes:
        who: its name.
        kind: what it is to us.
        values: one for each repeat; empty: not measured.
        failed: why it was not measured.
        ratio: its median to ours: above 1, we are ahead; None: one of the two has none, or is 0.
    """

    who: str
    kind: Kind
    values: Sequence[float] = ()
    failed: str = ""
    ratio: float | None = None

    @property
    def median(self) -> float:
        """The middle of the repeats."""
        return statistics.median(self.values)


@attrs.frozen
class Table:
    """What all took for one figure at one size; or how their figures grow with the size.

    Attributes:
        measure: the measure's name.
        what: what it is.
        unit: of the numbers; ``exponent``: 0 is flat, 1 is linear.
        rows: a contender each, ours first.
        aims: what ours is to be.
        missed: the aims that it is not.
        unseen: the aims that could not be looked at, as somebody was not measured.
        behind: where we are behind: who is ahead, and why; the why is empty if nobody knows.
    """

    measure: str
    what: str
    unit: str
    rows: tuple[Row, ...]
    aims: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    behind: Mapping[str, str] = attrs.field(factory=dict)


def taken(measure: Measure) -> list[Table]:
    """Take a measure: a table for each figure and size, then one for the growth of each figure."""
    found = {size: _at(measure, size) for size in measure.sizes}
    tables = [
        _table(measure, figure, size, found[size]) for figure in measure.figures for size in found
    ]
    if len(measure.sizes) > 2:
        tables += [
            _growth(measure, figure, found, figure.growth)
            for figure in measure.figures
            if figure.growth is not None
        ]
    return tables


Found = Mapping[str, list[Mapping[str, float]] | str]
"""What each contender took, repeat by repeat, by its name; or why it was not measured."""


def _at(measure: Measure, size: int) -> Found:
    values: dict[str, list[Mapping[str, float]]] = {each.name: [] for each in measure.contenders}
    failed: dict[str, str] = {}
    for _ in range(measure.repeats):
        for each in measure.contenders:
            if each.name not in failed:
                try:
                    values[each.name].append(each.take(size))
                except Exception as exc:  # noqa: BLE001 - it is named, and the run goes on
                    failed[each.name] = _told(exc)
    return values | failed


def _told(error: Exception) -> str:
    name = "" if isinstance(error, NotMeasured) else f"{type(error).__name__}: "
    return name + " ".join(str(error).split())


def _table(measure: Measure, figure: Figure, size: int, found: Found) -> Table:
    rows = _compared(_rows(measure, figure, found))
    aims = [aim for aim in figure.aims if aim.at in (None, size)]
    met = {str(aim): _is_met(aim, rows) for aim in aims}
    return Table(
        measure.name,
        figure.what.format(size=f"{size:,}"),
        figure.unit,
        tuple(rows),
        aims=tuple(met),
        missed=tuple(aim for aim, is_met in met.items() if is_met is False),
        unseen=tuple(aim for aim, is_met in met.items() if is_met is None),
        behind={
            row.who: reason(figure.limits.get(row.who), row.ratio)
            for row in rows
            if row.kind is Kind.PEER and row.ratio is not None and row.ratio < LEVEL
        },
    )


def reason(limit: Limit | None, ratio: float) -> str:
    """Return why a peer takes ``ratio`` of what ours does, or nothing."""
    return limit.why if limit is not None and 1 / limit.most <= ratio else ""


def _rows(measure: Measure, figure: Figure, found: Found) -> list[Row]:
    """Return a row for each contender; none for those to whom the figure means nothing."""
    rows = []
    for each in measure.contenders:
        here = found[each.name]
        if isinstance(here, str):
            rows.append(Row(each.name, each.kind, failed=here))
            continue
        values = [one[figure.key] for one in here if figure.key in one]
        if values:
            is_done = not any(map(math.isnan, values))
            rows.append(Row(each.name, each.kind, *((values,) if is_done else ((), TOO_LATE))))
    return rows


TOO_LATE = "not done in time"
"""Of a figure that is not a number."""


def _compared(rows: list[Row]) -> list[Row]:
    ours = rows[0]
    if not ours.values or not ours.median:
        return rows
    return [
        attrs.evolve(row, ratio=row.median / ours.median) if row.values else row for row in rows
    ]


def _is_met(aim: Aim, rows: list[Row]) -> bool | None:
    """Return whether an aim is reached; None: somebody was not measured."""
    by_name = {row.who: row for row in rows}
    unit = by_name[aim.than] if aim.than else None
    if not rows[0].values or (unit is not None and not unit.values):
        return None
    return rows[0].median <= aim.factor * (1 if unit is None else unit.median)


def growth_of(measure: Measure, figure: Figure) -> str:
    """Return what the table is called that says how a figure grows."""
    sizes = ", ".join(f"{size:,}" for size in measure.sizes)
    unit = f", {figure.unit}" if figure.unit else ""
    return f"{figure.what.format(size='N')}{unit}: growth over {sizes}"


def _growth(measure: Measure, figure: Figure, found: Mapping[int, Found], most: float) -> Table:
    by_size = [{row.who: row for row in _rows(measure, figure, here)} for here in found.values()]
    rows = [
        _grown(measure.sizes, row, [here[row.who] for here in by_size if row.who in here])
        for row in by_size[0].values()
    ]
    aims = (f"at most {most}",)
    is_met = rows[0].median <= most if rows[0].values else None
    return Table(
        measure.name,
        growth_of(measure, figure),
        EXPONENT,
        tuple(rows),
        aims,
        missed=aims if is_met is False else (),
        unseen=aims if is_met is None else (),
    )


def _grown(sizes: Sequence[int], row: Row, by_size: list[Row]) -> Row:
    """Return how what one contender took grows."""
    medians = [here.median for here in by_size if here.values]
    if len(medians) < len(sizes):
        return Row(row.who, row.kind, failed="not measured at every size")
    if min(medians) <= 0:
        return Row(row.who, row.kind, failed="nothing at some size")
    return Row(row.who, row.kind, [exponent(sizes, medians)])


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the slope of the line through the logarithms: 0 is flat, 1 is linear."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)
