"""When a scheduled child has its times: pure functions over wall times.

Wall times are seconds since 1970, as ``time.time`` gives them. The rules of cron for clocks that
are put forward and back twice a year are those of Debian's cron, by the library cronsim: a job at
fixed hours that the clock leaps over runs right after the leap, and one whose hour comes twice
runs in the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice

import attrs

CRON_ALLOWED = (
    "minute, hour, day of month, month and day of week, such as '0 3 * * *' (every night at three) "
    "or '*/10 8-18 * * MON-FRI'; a sixth field before them is seconds"
)
CRON_LIMIT = 200
"""Characters of an expression."""
COUNT_LIMIT = 1_000
"""Times that are counted one by one, when many have passed."""
SET_BACK = 3_600.0
"""Seconds: a clock that was set back by less waits for the next time that it did not see yet; by
more, and all begins anew. Debian's cron draws this line at three hours; clocks are corrected by
much less."""


class BadCron(ValueError):
    """Not a cron expression, or one whose time never comes. The text says what is wrong."""


@attrs.frozen
class Every:
    """Times at equal distances, counted from the start of the child.

    Attributes:
        seconds: the distance.
    """

    seconds: float

    def after(self, wall: float) -> Iterator[float]:
        """Yield the times after one of them, or after the start."""
        while True:
            wall += self.seconds
            yield wall


@attrs.frozen
class Cron:
    """Times by a cron expression.

    Attributes:
        expression: five or six fields. See :func:`cron_times`.
        zone: whose clock it is.
    """

    expression: str
    zone: tzinfo

    def after(self, wall: float) -> Iterator[float]:
        """Yield the times after ``wall``."""
        from cronsim import CronSim  # noqa: PLC0415 - only for those who have a schedule

        for when in CronSim(self.expression, datetime.fromtimestamp(wall, self.zone)):
            # What an hour that comes twice would give may be over already.
            if when.timestamp() > wall:
                yield when.timestamp()


Schedule = Every | Cron


def cron_times(expression: str, zone: tzinfo = UTC) -> Cron:
    """Return the times of an expression.

    Raises:
        BadCron: it is none, or its time never comes.
    """
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - only for those who have a schedule

    if len(expression) > CRON_LIMIT:
        raise BadCron(f"longer than {CRON_LIMIT} characters")
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except StopIteration:
        raise BadCron("its time never comes") from None
    except CronSimError as exc:
        raise BadCron(str(exc).lower()) from None
    except (AssertionError, TypeError, ValueError):
        # What cronsim itself does not expect, as a step after the last day of the month.
        raise BadCron("it cannot be understood") from None
    return Cron(expression, zone)


@attrs.frozen
class Look:
    """What a look at the clock says.

    Attributes:
        past: the wall time up to which all times are dealt with.
        times: how many times have come since the last look; at most COUNT_LIMIT.
        next: the next time.
    """

    past: float
    times: int
    next: float


def look(schedule: Schedule, past: float, now: float) -> Look:
    """Return which times have come.

    Args:
        schedule: the times.
        past: that of the last look; at first the start.
        now: the wall time.
    """
    if now < past - SET_BACK:
        past = now
    if isinstance(schedule, Every):
        return _look_at_distance(schedule.seconds, past, now)
    come: list[float] = []
    for when in islice(schedule.after(past), COUNT_LIMIT):
        if when > now:
            return Look(come[-1] if come else past, len(come), when)
        come.append(when)
    return Look(now, len(come), next(schedule.after(now)))


def _look_at_distance(seconds: float, past: float, now: float) -> Look:
    """Return the same by one division: a clock may leap by years."""
    times = max(0, int((now - past) / seconds))
    past += times * seconds
    if past + seconds <= now:  # rounded down
        times, past = times + 1, past + seconds
    return Look(past, min(times, COUNT_LIMIT), past + seconds)
