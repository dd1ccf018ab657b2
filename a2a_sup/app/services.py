"""The services beside the user's tree: a tree of their own, which takes care of itself.

To add a service, write an async function that takes ``task_status`` and calls
``task_status.started()`` when it serves, raise :class:`~a2a_sup.errors.CannotListen` before that if
its address is taken, and name it in :func:`services_of`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from a2a_sup.app.doors import Doors
from a2a_sup.app.settings import ServeConfig
from a2a_sup.app.watching import Watching
from a2a_sup.children.supervisor import supervisor
from a2a_sup.children.task import task
from a2a_sup.errors import ChildExit, StartFailed
from a2a_sup.model.restarts import Backoff, Restart
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.handshake import Rules
from a2a_sup.serve.health import health_routes
from a2a_sup.serve.http import App, serve_app
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.listen import Door
from a2a_sup.serve.metrics import EVENTS_HELD, Metrics, metrics_routes
from a2a_sup.serve.mirror import mirror_servers
from a2a_sup.serve.origins import origins_of
from a2a_sup.serve.page import page_routes
from a2a_sup.serve.publisher import Limits, Publisher
from a2a_sup.serve.site import site
from a2a_sup.serve.webhooks import Receivers
from a2a_sup.tree.bus import Subscription
from a2a_sup.tree.handle import TreeHandle

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

AGAIN = Restart(
    type="transient",
    backoff=Backoff.exponential(1.0, cap=30.0, jitter=0.1),
    intensity=None,
)
"""A service that fails is tried again for ever. One that returns has done its work."""


@attrs.frozen(kw_only=True)
class Shown:
    """What the services show, and by which rules.

    Attributes:
        tree: the user's.
        lag: what is known of the event loop.
        metrics: what is counted; a service adds its own to ``metrics.gauges``.
        serve: the configuration.
        receivers: who is told of events; None: nobody ever.
        registry: the agents.
        control: what the API shows and does, and its rules for callers.
        doors: where each service listens; one that has none is not run.
        early: the tree's events from before its start; None: from now on.
        watching: restarts children when files change; None: nobody does.
        token: who has to know it may watch, where watching needs one.
    """

    tree: TreeHandle
    lag: LoopLag
    metrics: Metrics
    serve: ServeConfig
    receivers: Receivers | None = None
    registry: AgentRegistry
    control: Control
    doors: Doors
    early: Subscription | None = None
    watching: Watching | None = None
    token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Service:
    """One service.

    Attributes:
        name: unique.
        run: runs it until it is cancelled; takes ``task_status``.
    """

    name: str
    run: Callable[..., Awaitable[object]]


def services_of(shown: Shown) -> list[Service]:
    """Return the services that the configuration asks for, in the order of their start."""
    services: list[Service] = []
    doors = shown.doors
    if doors.control is not None:
        services.append(_control(shown, doors.control))
    services.append(Service("agents", partial(mirror_servers, shown.tree, shown.registry)))
    if doors.dashboard is not None:
        services.append(_dashboard(shown, doors.dashboard))
    if doors.http is not None:
        services.append(_counting(shown))
        services.append(_http(shown, doors.http))
    if shown.watching is not None:
        services.append(Service("watch", shown.watching.run))
    if shown.receivers is not None:
        services.append(Service("webhooks", shown.receivers.serve))
    return services


def routes_of(shown: Shown) -> list[BaseRoute]:
    """Return everything that is served over HTTP."""
    from a2a_sup.serve.api import api_routes  # noqa: PLC0415 - only when it serves

    return [
        *api_routes(shown.control),
        *health_routes(
            shown.tree.snapshot,
            shown.lag,
            shown.serve.ready,
            lambda: attrs.asdict(shown.registry.stats()),
        ),
        *metrics_routes(shown.metrics),
        *page_routes(lambda: shown.serve.dashboard_url or shown.doors.port("dashboard")),
    ]


def _control(shown: Shown, door: Door) -> Service:
    """Return the control socket: the same site, for those whom the kernel knows."""

    def make_site() -> App:
        return site(routes_of(shown), shown.metrics.observe_request)

    return Service("control", partial(serve_app, make_site, door))


def _dashboard(shown: Shown, door: Door) -> Service:
    rules = Rules(
        origins=shown.serve.origins,
        names=shown.serve.names,
        token=shown.token if shown.serve.dashboard_token else None,
    )
    limits = Limits(clients=shown.serve.max_clients)
    publisher = Publisher(
        shown.tree, shown.registry, rules=rules, limits=limits, loop_lag=shown.lag.longest
    )
    shown.metrics.gauges += [
        ("a2a_sup_dashboard_clients", "Who watches now.", lambda: len(publisher.watchers)),
        ("a2a_sup_dashboard_cut_total", "Watchers cut, being slow or dead.", lambda: publisher.cut),
    ]
    return Service("dashboard", partial(publisher.serve, door))


def _counting(shown: Shown) -> Service:
    first = None if shown.early is None else shown.early.twin()

    async def count() -> None:
        nonlocal first
        with first or shown.tree.events(EVENTS_HELD) as subscription:
            first = None
            await shown.metrics.count(subscription)

    return Service("metrics", count)


def _http(shown: Shown, door: Door) -> Service:
    origins = origins_of(shown.serve.origins, shown.serve.names)

    def make_site() -> App:
        known = origins if door.is_local else None
        return site(routes_of(shown), shown.metrics.observe_request, origins=known)

    return Service("http", partial(serve_app, make_site, door))


async def run_services(
    services: Sequence[Service],
    narrate: Callable[[TreeHandle], object],
    *,
    task_status: trio.TaskStatus[TreeHandle],
) -> None:
    """Run the services until their tree is stopped. What becomes of them ends nothing else.

    Args:
        services: what to run.
        narrate: is called with their tree when it has booted, to subscribe to its events.
        task_status: is given their tree.

    Raises:
        ChildExit: one of them did not start, as it said it; those before it were stopped.
    """
    children = [task(service.name, service.run, restart=AGAIN) for service in services]
    tree = TreeHandle(supervisor("services", children))
    is_up = False

    def up() -> None:
        nonlocal is_up
        is_up = True
        narrate(tree)
        task_status.started(tree)

    try:
        await tree.run(up)
    except ChildExit as error:
        if not is_up:
            raise _told_by(error) from None
        structlog.get_logger().error("services.ended", because=str(error))


def _told_by(error: ChildExit) -> ChildExit:
    """Return what the service itself said, if it did: it names the address."""
    if isinstance(error, StartFailed) and isinstance(error.__cause__, ChildExit):
        return error.__cause__
    return error
