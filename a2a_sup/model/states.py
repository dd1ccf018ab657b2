"""The states of a child and the one table of legal transitions."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What a child is doing. Health is told apart from it."""

    PENDING = "pending"
    """Known, its turn to start has not come."""
    STARTING = "starting"
    """Its function runs and has not acknowledged its start."""
    RUNNING = "running"
    """Started and acknowledged."""
    BACKING_OFF = "backing_off"
    """It ended and will be started again by its supervisor (OTP: ``restarting``)."""
    STOPPING = "stopping"
    """Asked to stop and not yet gone."""
    STOPPED = "stopped"
    """Stopped on request, or its start was ignored; stays down until asked for."""
    FINISHED = "finished"
    """Ended by itself in a way that asks for no restart."""
    FAILED = "failed"
    """Ended by itself, or could not start, and its supervisor will not try again."""
    STUCK = "stuck"
    """Cancelled, and still there: Trio cannot kill a task."""


ALIVE = frozenset({State.STARTING, State.RUNNING, State.STOPPING, State.STUCK})
"""The states in which an incarnation of the child exists."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.STARTING, State.STOPPED}),
    State.STARTING: frozenset(
        {State.RUNNING, State.BACKING_OFF, State.STOPPED, State.FAILED, State.STOPPING}
    ),
    State.RUNNING: frozenset({State.FINISHED, State.BACKING_OFF, State.FAILED, State.STOPPING}),
    State.BACKING_OFF: frozenset({State.STARTING, State.STOPPED, State.FAILED}),
    State.STOPPING: frozenset({State.STOPPED, State.STUCK, State.BACKING_OFF, State.FAILED}),
    State.STOPPED: frozenset({State.STARTING, State.PENDING}),
    State.FINISHED: frozenset({State.STARTING, State.STOPPED, State.PENDING}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED, State.PENDING}),
    State.STUCK: frozenset({State.STOPPED, State.BACKING_OFF, State.FAILED}),
}
"""From each state, the states that may follow.

A child that is down is pending when it is asked for by need, and what it needs is not there.
A child that is stopped because it is unhealthy goes on as after a crash: it backs off, or fails.
"""
