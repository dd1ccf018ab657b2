"""Health endpoints: whether the loop turns, whether the children are ready, what runs."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from a2a_sup.model.snapshot import ChildSnapshot, TreeSnapshot
from a2a_sup.model.states import State
from a2a_sup.serve.lag import LoopLag

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

ReadyPolicy: TypeAlias = Literal["all", "any"] | tuple[str, ...]
"""Who has to be ready: all children, any that is no supervisor, or those with these paths."""
NAMED_LIMIT = 100
"""Children that an answer names; it counts all."""
SERVICE = "a2a_sup"


@attrs.frozen
class Readiness:
    """Whether a tree is ready.

    Attributes:
        ready: by the policy.
        waiting: the paths of those it waits for, and why each is not ready.
    """

    ready: bool
    waiting: Mapping[str, str]


def readiness(snapshot: TreeSnapshot, policy: ReadyPolicy) -> Readiness:
    """Return whether the tree is ready by ``policy``.

    A child that finished its work is no longer asked. A path that no child has is not ready.
    """
    children = [child for child in snapshot.walk() if child.state is not State.FINISHED]
    if policy == "any":
        workers = [child for child in children if child.kind != "supervisor"]
        waiting = _waiting(workers)
        return Readiness(len(waiting) < len(workers), waiting)
    waiting = _waiting(children)
    if policy != "all":
        missing = dict.fromkeys(policy, "no such child")
        found = {child.path: waiting.get(child.path) for child in snapshot.walk()}
        asked = {path: found.get(path, missing[path]) for path in policy}
        waiting = {path: reason for path, reason in asked.items() if reason is not None}
    return Readiness(not waiting, waiting)


def _waiting(children: Iterable[ChildSnapshot]) -> dict[str, str]:
    found = ((child.path, _obstacle(child)) for child in children)
    return {path: obstacle for path, obstacle in found if obstacle is not None}


def _obstacle(child: ChildSnapshot) -> str | None:
    """Return why a child is not ready, in a word or two; None if it is."""
    if child.state is not State.RUNNING:
        return str(child.state)
    if child.ready is False:
        return "not ready"
    if child.healthy is False:
        return "unhealthy"
    return None


def is_ready(child: ChildSnapshot) -> bool:
    """Return whether a child runs, and neither it nor a probe says that it cannot serve."""
    return child.state is State.RUNNING and child.ready is not False and child.healthy is not False


def occupancy(snapshot: TreeSnapshot) -> dict[str, int]:
    """Return how many children run, and how many are about to: ``running`` and ``queue``."""
    states = [child.state for child in snapshot.walk() if child.kind != "supervisor"]
    coming = {State.PENDING, State.STARTING, State.BACKING_OFF}
    return {
        "queue": sum(state in coming for state in states),
        "running": states.count(State.RUNNING),
    }


def health_routes(
    take_snapshot: Callable[[], TreeSnapshot],
    lag: LoopLag,
    policy: ReadyPolicy,
    agents: Callable[[], Mapping[str, Any]] | None = None,
) -> list[BaseRoute]:
    """Return the routes ``/livez``, ``/readyz``, ``/healthz`` and, with agents, ``/api/agent``.

    Args:
        take_snapshot: returns the tree as it is.
        lag: what is known of the loop.
        policy: who has to be ready.
        agents: returns the statistics of the registry of agents.
    """
    from starlette.responses import JSONResponse  # noqa: PLC0415 - only when it serves
    from starlette.routing import Route  # noqa: PLC0415

    async def livez(_: Request) -> Response:
        held = lag.held_too_long()
        body: dict[str, Any] = {"ok": held is None}
        if held is not None:
            body |= {"because": f"the event loop was held for {held:.1f} s"}
        return JSONResponse(body, 200 if held is None else 503)

    async def readyz(_: Request) -> Response:
        found = readiness(take_snapshot(), policy)
        named = dict(list(found.waiting.items())[:NAMED_LIMIT])
        body = {"ok": found.ready, "waiting": named, "waiting_count": len(found.waiting)}
        return JSONResponse(body, 200 if found.ready else 503)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"ok": True, **occupancy(take_snapshot())})

    routes: list[BaseRoute] = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/healthz", healthz),
    ]
    if agents is not None:
        routes.append(_agent_route(agents))
    return routes


def _agent_route(agents: Callable[[], Mapping[str, Any]]) -> BaseRoute:
    from importlib.metadata import version  # noqa: PLC0415 - only when it serves

    from starlette.responses import JSONResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def agent(request: Request) -> Response:
        if request.query_params.get("action") != "status":
            error = {"code": "ERR_BAD_REQUEST", "message": "the one action is ?action=status"}
            return JSONResponse({"ok": False, "error": error}, 400)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        body = {"ok": True, "service": SERVICE, "version": version("a2a_sup"), "time": now}
        return JSONResponse({**body, "agents": dict(agents())})

    return Route("/api/agent", agent)
