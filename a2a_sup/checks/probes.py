"""Probes with good defaults: a check, and what its answers decide."""

from __future__ import annotations

from typing import TypedDict, Unpack

from a2a_sup.checks.mcp import MCPPing
from a2a_sup.children.notify import Heartbeat
from a2a_sup.model.health import Check, Probe, Purpose

NAME_LIMIT = 80
"""Characters of a name that is made of what is asked."""
MCP_TIMEOUT = 10.0
"""Seconds for an MCP server: one that is busy with a call may answer nothing meanwhile."""


class ProbeOptions(TypedDict, total=False):
    """What a probe may be told besides its check; the defaults are those of :class:`Probe`.

    Attributes:
        name: unique among the child's probes; the check's own, such as ``tcp 127.0.0.1:80``, by
            default.
        interval: seconds from the end of one check to the begin of the next: 30; of a heartbeat
            half of its time.
        timeout: seconds, 5, of an MCP server 10; a check that takes longer has failed.
        initial_delay: seconds from the child's start to the first check: 0.
        failure_threshold: failures in a row after which it is failing: 3; of a heartbeat, which
            has a time of its own, 1.
        success_threshold: passes in a row after which it is passing: 1.
        jitter: each wait is longer or shorter by up to this part of the interval, 0 to 1: 0.1.
    """

    name: str
    interval: float
    timeout: float
    initial_delay: float
    failure_threshold: int
    success_threshold: int
    jitter: float


def liveness(check: Check, **options: Unpack[ProbeOptions]) -> Probe:
    """Return a probe that restarts its child when it fails.

    Args:
        check: what is asked, such as ``http("http://127.0.0.1:8080/livez")``.
        options: those of :class:`ProbeOptions`.

    Raises:
        SpecError: an option is out of range.
    """
    return _probe(Purpose.LIVENESS, check, options)


def readiness(check: Check, **options: Unpack[ProbeOptions]) -> Probe:
    """Return a probe that says whether its child can serve; it restarts nothing.

    Args:
        check: what is asked.
        options: those of :class:`ProbeOptions`.

    Raises:
        SpecError: an option is out of range.
    """
    return _probe(Purpose.READINESS, check, options)


def startup(check: Check, **options: Unpack[ProbeOptions]) -> Probe:
    """Return a probe that holds the others off until it has passed; its failure restarts the child.

    Args:
        check: what is asked.
        options: those of :class:`ProbeOptions`.

    Raises:
        SpecError: an option is out of range.
    """
    return _probe(Purpose.STARTUP, check, options)


def _probe(purpose: Purpose, check: Check, options: ProbeOptions) -> Probe:
    chosen: ProbeOptions = {"name": shortened(name_of(check))}
    if isinstance(check, Heartbeat):
        chosen.update({"interval": check.within / 2, "failure_threshold": 1})
    elif isinstance(check, MCPPing):
        chosen["timeout"] = MCP_TIMEOUT
    chosen.update(options)
    return Probe(check=check, purpose=purpose, **chosen)


def shortened(name: str) -> str:
    """Return a name that was made up, cut to ``NAME_LIMIT`` characters."""
    return name if len(name) <= NAME_LIMIT else f"{name[: NAME_LIMIT - 3]}..."


def name_of(check: object) -> str:
    """Return what a probe with this check is called unless it is given a name."""
    for attribute in ("name", "__qualname__"):
        if isinstance(found := getattr(check, attribute, None), str):
            return found
    return type(check).__qualname__
