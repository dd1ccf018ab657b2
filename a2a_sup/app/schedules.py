"""Children that run at times, or once: their keys, and what does not go with them."""

from __future__ import annotations

from a2a_sup.app.settings import ProcessConfig
from a2a_sup.app.values import Fields, Value, text
from a2a_sup.children.zones import zone_of
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.schedule import CRON_ALLOWED, BadCron, cron_times

UNFIT = ("probes", "wait_ready", "notify", "significant", "essential")
"""Keys of a child that is there all the time, or that ends."""
NEVER_FOR_MCP = "no such key beside mcp: a server waits for its clients"


def expression(value: Value) -> str:
    """Read a cron expression."""
    given = text(value)
    try:
        return cron_times(given).expression
    except BadCron as exc:
        raise value.refused(f"{CRON_ALLOWED} ({exc})") from None


def timezone(value: Value) -> str:
    """Read the name of a zone."""
    given = text(value)
    try:
        zone_of(given)
    except ValueError:
        raise value.refused(
            "a zone that this machine knows, such as 'Europe/Berlin', 'UTC'"
        ) from None
    return given


def not_for_mcp(value: Value) -> None:
    """Refuse a key of processes only."""
    raise value.refused(NEVER_FOR_MCP)


def check_schedule(entry: Value, child: ProcessConfig) -> None:
    """Note what does not go with the schedule of a child, if it has one."""
    if child.cron is None and "timezone" in entry.raw:
        entry.entry("timezone").refused("no timezone without cron, whose clock it means")
    if not child.is_scheduled:
        return
    if child.every is not None and child.cron is not None:
        entry.note("found every and cron; allowed: one of them")
    own = "every" if child.cron is None else "cron"
    if entry.raw.get("oneshot") is True:
        entry.note(f"found oneshot beside {own}, which never finishes; allowed: one of them")
    for key in UNFIT:
        if getattr(child, key):
            place = entry.entry(key) if key in entry.raw else entry
            place.note(f"found {key} beside {own}; allowed: not for a child that runs at times")


def once(entry: Value, own: Fields, restart: Fields) -> Fields:
    """Return the restart policy of a child with ``oneshot``: its success is the end.

    Args:
        entry: where the child stands.
        own: what the child itself says of restarts.
        restart: the same with defaults.
    """
    given = own.get("type", RestartType.TRANSIENT)
    if given is not RestartType.TRANSIENT:
        entry.entry("restart").note(
            f"found {given} beside oneshot; allowed: transient, which is what oneshot means"
        )
    return {**restart, "type": RestartType.TRANSIENT}
