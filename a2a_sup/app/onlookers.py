"""Who looks at a tree that runs, and who changes it: its log, its services, its reloads.

They come a moment after the tree: what they are made of takes longer to import than a child takes
to start. Nothing is lost: doors are open, and events wait in a subscription of before the start.
"""

from __future__ import annotations

from functools import partial

import trio

from a2a_sup.app.assembly import check_child
from a2a_sup.app.config import read_config
from a2a_sup.app.narration import Narrator, narrate_services
from a2a_sup.app.options import Options
from a2a_sup.app.reload import Reloader
from a2a_sup.app.reloading import Reloading
from a2a_sup.app.scene import Scene
from a2a_sup.app.services import Shown, run_services, services_of
from a2a_sup.app.settings import Config
from a2a_sup.app.watching import Watching
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.authority import Authority
from a2a_sup.serve.event_log import EventLog
from a2a_sup.serve.metrics import Metrics
from a2a_sup.serve.webhooks import Receivers
from a2a_sup.tree.handle import TreeHandle

EVENTS_HELD = 10_000
"""Events that the log of the services may lag behind."""


async def look_on(scene: Scene) -> None:
    """Look on until the tree has ended.

    Raises:
        ChildExit: a service did not start.
    """
    webhooks = scene.config.webhooks
    early = scene.early.twin() if webhooks else None  # for nobody it would fill up
    receivers = Receivers(webhooks, scene.tree, early)
    reloader = Reloader(scene.tree, scene.config, scene.make, check_child)
    reloader.on_news = lambda news: receivers.become(news.webhooks)
    scene.ending.spec = lambda: reloader.spec
    reloading = Reloading(reloader, partial(_read_again, scene.options), scene.stops)
    reloading.around = scene.manager.reloading
    shown = _shown(scene, receivers, reloader, reloading)
    services = services_of(shown)
    about = {"file": str(scene.options.file), "state_dir": str(scene.state_dir)}
    narrator = Narrator({**about, **scene.doors.addresses()}, scene.tree.wall_time)
    told = scene.early.twin()
    scene.early.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(narrator.narrate, told)

        def narrate(beside: TreeHandle) -> None:
            nursery.start_soon(narrate_services, beside.events(EVENTS_HELD))

        if not scene.tree.has_ended:
            beside: TreeHandle = await nursery.start(run_services, services, narrate)
            run = partial(reloading.run, scene.hangups, watch=scene.options.watch)
            reloads = await nursery.start(run)
            await scene.tree.wait_ended()
            reloads.cancel()
            beside.stop()


def _shown(scene: Scene, receivers: Receivers, reloader: Reloader, reloading: Reloading) -> Shown:
    tree, serve, stops = scene.tree, scene.config.serve, scene.stops
    registry = AgentRegistry()
    registry.deploy_batch(serve.agents)
    metrics = Metrics(tree.snapshot, scene.lag)
    metrics.gauges += [
        ("a2a_total_agents", "Agents known.", lambda: registry.stats().total),
        ("a2a_enabled_agents", "Agents that can be used.", lambda: registry.stats().enabled),
    ]
    decided = {"start": stops.started, "restart": stops.started, "stop": stops.stopped}
    with scene.early.twin() as early:
        event_log = EventLog(tree, early=early)
    control = Control(
        tree,
        Authority(scene.options.token, origins=serve.origins, names=serve.names),
        logs=scene.logs.get,
        events=event_log,
        registry=registry,
        reload=reloading.reload,
        scale=reloading.scale,
        decided=lambda verb, path: decided[verb](path),
    )
    watching = Watching(
        tree,
        reloader,
        lambda path: control.commands.run("restart", path, "watch"),
        is_stopped=stops.is_stopped,
        ignored=str(scene.state_dir),
    )
    return Shown(
        tree=tree,
        early=scene.early,
        lag=scene.lag,
        metrics=metrics,
        serve=serve,
        doors=scene.doors,
        receivers=receivers,
        registry=registry,
        control=control,
        watching=watching,
        token=scene.options.token,
    )


def _read_again(options: Options) -> Config:
    return read_config(options.file, options.environ).served_at(options.addresses)
