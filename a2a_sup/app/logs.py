"""The program's own log: lines for people or JSON for machines."""

from __future__ import annotations

import logging
import os
from typing import Literal, Protocol, TextIO, cast

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
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


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
    render: structlog.typing.Processor
    if log_format == "json":
        clock = structlog.processors.TimeStamper(fmt="iso", utc=True)
        render = structlog.processors.JSONRenderer(default=repr)
    else:
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        render = structlog.dev.ConsoleRenderer(
            colors=has_colours(out),
            pad_event_to=22,
            exception_formatter=structlog.dev.plain_traceback,
        )
    threshold = logging.getLevelNamesMapping()[level.upper()]
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
    logging.basicConfig(handlers=[_Forwarder()], level=max(threshold, logging.WARNING), force=True)
