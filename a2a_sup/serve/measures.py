"""The numbers of ``metrics:update``, in the original's shape, and true."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.servers import Servers

_MIB = 2**20


def dashboard_metrics(
    registry: AgentRegistry,
    servers: Servers,
    *,
    watchers: int,
    streams: int,
    loop_lag: Callable[[], float] | None = None,
) -> dict[str, Any]:
    """Return the data of ``metrics:update``.

    Args:
        registry: the agents.
        servers: the supervised servers.
        watchers: connected clients.
        streams: those of them that asked for the tree or the timeline.
        loop_lag: returns for how long the loop was held lately, in seconds; None: nobody knows,
            and ``eventLoopLagMs``, which is ours, is left out.
    """
    stats = registry.stats()
    return {
        "timestamp": int(time.time() * 1000),
        "agents": {
            "total": stats.total,
            "enabled": stats.enabled,
            "disabled": stats.disabled,
            "categories": stats.categories,
            "tags": stats.tags,
            "byCategory": registry.counts_by_category(),
            "byTag": registry.counts_by_tag(),
        },
        "mcpServers": servers.numbers(),
        "performance": _performance() | _lag(loop_lag),
        "connections": {"websocketClients": watchers, "activeStreams": streams},
    }


def _performance() -> dict[str, Any]:
    page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "memoryUsageMB": round(resident * page / _MIB, 2),
        "memoryPercentage": round(100 * resident / total, 2),
        "cpuLoadAverage": [round(load, 2) for load in os.getloadavg()],
        "uptime": round(time.monotonic() - _started(), 3),
    }


def _lag(loop_lag: Callable[[], float] | None) -> dict[str, float]:
    return {} if loop_lag is None else {"eventLoopLagMs": round(loop_lag() * 1000, 2)}


def _started() -> float:
    """Return when this process began, in seconds of the monotonic clock."""
    # proc(5): the 22nd field, in ticks since boot; the name, in brackets, may hold spaces.
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    ticks = int(fields.rpartition(")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic() - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))
