"""The zones of clocks: by name, and the one of this machine."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALTIME = Path("/etc/localtime")
"""The zone of the machine: a link to the file of that zone (localtime(5))."""


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name.

    Raises:
        ValueError: there is none of this name on this machine.
    """
    if name in ("UTC", "Etc/UTC"):
        return UTC  # needs no files of zones
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no zone is called {name!r}") from None


def name_of(zone: tzinfo) -> str:
    """Return what a zone is called."""
    return str(getattr(zone, "key", zone))


def local_zone() -> tzinfo:
    """Return the zone of this machine: that of the variable TZ, or of ``/etc/localtime``, or UTC.

    A TZ that is not a name but a rule is passed over.
    """
    linked = os.path.realpath(LOCALTIME).partition("/zoneinfo/")[2]
    for name in (os.environ.get("TZ", "").removeprefix(":"), linked):
        try:
            return zone_of(name)
        except ValueError:
            continue
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return UTC
