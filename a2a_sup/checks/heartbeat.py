"""A check that a process feeds its watchdog."""

from __future__ import annotations

from a2a_sup.children.notify import Heartbeat

__all__ = ["Heartbeat", "heartbeat"]


def heartbeat(within: float = 30.0) -> Heartbeat:
    """Return a check that fails when the child's last ``WATCHDOG=1`` is too old.

    A process with such a probe gets a ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``, as under systemd
    (sd_notify(3), sd_watchdog_enabled(3)). The first time counts from its start.

    Args:
        within: seconds.

    Raises:
        SpecError: it is not above 0.
    """
    return Heartbeat(within)
