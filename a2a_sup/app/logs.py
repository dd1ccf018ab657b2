"""The program's own log: lines for people or JSON for machines.

What renders it takes a while to import, and a tree is not to wait for that: it is imported at the
first line.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, cast

if TYPE_CHECKING:
    import structlog

LogFormat = Literal["console", "json"]


class Stream(Protocol):
    """What a log can be written to."""

    def write(self, text: str, /) -> int:
        """Write lines."""

    def flush(self) -> None:
        """Write what is held back."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""


class _Forwarder(logging.Handler):
    """Brings what libraries and lower layers log with the standard library into the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record again, by structlog."""
        fields = {"logger": record.name, "exc_info": record.exc_info}
        logger().log(record.levelno, record.getMessage(), **fields)


LEVELS = ("debug", "info", "warning", "error", "critical")


def has_colours(out: Stream) -> bool:
    """Return whether lines for people are coloured there: https://no-color.org."""
    return out.isatty() and not os.environ.get("NO_COLOR")


def configure_logs(log_format: LogFormat, level: str, out: Stream) -> None:
    """Send structured logs to ``out``.

    Warnings and worse that are logged with the standard library go there too.

    Args:
        log_format: ``console``: a line for people; ``json``: an object a line.
        level: one of LEVELS; what is below is dropped.
        out: where to.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _waiting[:] = [partial(_configure, log_format, threshold, out)]
    logging.basicConfig(handlers=[_Forwarder()], level=max(threshold, logging.WARNING), force=True)


_waiting: list[Callable[[], None]] = []
"""What is still to be done before the first line."""
_one_at_a_time = threading.Lock()


def logger() -> Any:
    """Return the program's log, a logger of structlog. For any thread."""
    import structlog  # noqa: PLC0415 - see the module

    if _waiting:
        with _one_at_a_time:
            for configure in _waiting:
                configure()
            _waiting.clear()  # not before it is done: it would be used as it comes
    return structlog.get_logger()


def _stamp(
    shown: Callable[[datetime.datetime], str],
    zone: datetime.tzinfo | None,
    _logger: Any,
    _method: str,
    line: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Give a line its time: that of what it tells, in seconds since 1970, if it says so; or now."""
    told = line.get("timestamp")
    seconds = told if isinstance(told, float) else time.time()
    line["timestamp"] = shown(datetime.datetime.fromtimestamp(seconds, zone))
    return line


def _configure(log_format: LogFormat, threshold: int, out: Stream) -> None:
    import structlog  # noqa: PLC0415 - see the module

    render: structlog.typing.Processor
    if log_format == "json":
        clock = partial(
            _stamp, lambda at: f"{at.isoformat(timespec='microseconds')[:-6]}Z", datetime.UTC
        )
        render = structlog.processors.JSONRenderer(default=repr)
    else:
        clock = partial(_stamp, lambda at: f"{at:%H:%M:%S}", None)
        render = structlog.dev.ConsoleRenderer(
            colors=has_colours(out),
            pad_event_to=22,
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            clock,
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, out)),
        cache_logger_on_first_use=True,
    )
