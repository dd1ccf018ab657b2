"""From the settings of a probe to the probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from a2a_sup import checks
from a2a_sup.app.probe_keys import unaskable
from a2a_sup.app.settings import ProbeConfig, ProcessConfig
from a2a_sup.checks.urls import address_of
from a2a_sup.errors import SpecError
from a2a_sup.model.health import Check, Probe, Purpose

MEMORY_INTERVAL = 10.0
"""Seconds between two looks at the memory of a child that has a limit."""

_MAKE: dict[Purpose, Callable[..., Probe]] = {
    Purpose.LIVENESS: checks.liveness,
    Purpose.READINESS: checks.readiness,
    Purpose.STARTUP: checks.startup,
}


def probe_of(config: ProbeConfig, child: ProcessConfig) -> Probe:
    """Return the probe of a child that ``config`` describes."""
    timing: dict[str, Any] = dict(config.timing)
    return _MAKE[config.purpose](check_of(config, child), name=config.name, **timing)


def check_of(config: ProbeConfig, child: ProcessConfig) -> Check:
    """Return what is asked. A command runs as its child does: same user, directory, environment."""
    match config.kind:
        case "http":
            return checks.http(config.target, **config.options)
        case "tcp":
            return checks.tcp(*address_of(config.target))
        case "command":
            return checks.command(
                config.target,
                cwd=child.cwd,
                env=child.env,
                inherit_env=child.inherit_env,
                env_file=child.env_file,
                user=child.user,
                group=child.group,
                umask=child.umask,
            )
        case "heartbeat":
            return checks.heartbeat(config.target)
        case "mcp":
            return checks.mcp_ping()
        case "a2a":
            return checks.a2a_agent(config.target, **config.options)


def probes_of(child: ProcessConfig) -> list[Probe]:
    """Return all probes of a child, the one of its memory limit included.

    Raises:
        SpecError: a probe asks what cannot be asked.
    """
    if problem := unaskable(child.probes):
        raise SpecError(f"child {child.name!r}: {problem}")
    probes = [probe_of(probe, child) for probe in child.probes]
    if child.memory_limit is not None:
        limit = checks.memory(child.memory_limit)
        probes.append(
            checks.liveness(limit, name="memory", interval=MEMORY_INTERVAL, failure_threshold=1)
        )
    return probes
