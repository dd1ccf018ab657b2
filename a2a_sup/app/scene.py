"""What a program knows of the tree that it runs, for those who look at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import attrs
import trio

from a2a_sup.app.doors import Doors
from a2a_sup.app.ending import Ending
from a2a_sup.app.notify import Notifier
from a2a_sup.app.operator import OperatorStops
from a2a_sup.app.options import Options
from a2a_sup.app.settings import Config
from a2a_sup.children.logs import LogBook
from a2a_sup.model.spec import ChildSpec
from a2a_sup.serve.lag import LoopLag
from a2a_sup.tree.bus import Subscription
from a2a_sup.tree.handle import TreeHandle

Build: TypeAlias = Callable[[Config], ChildSpec]
"""Makes the specification of a tree."""


@attrs.frozen(kw_only=True)
class Scene:
    """A tree that runs, and what is around it.

    Attributes:
        options: the command line.
        config: what was built.
        make: builds a tree from a configuration.
        tree: the tree.
        early: its events from before its start; whoever wants them takes a twin.
        ending: how the program ends.
        state_dir: where state is kept.
        stops: what an operator decided.
        logs: the output of the children.
        lag: what is known of the event loop.
        doors: where to listen; they are open.
        manager: who is told of reloads.
        hangups: each is a request for a reload: the name of a signal.
    """

    options: Options
    config: Config
    make: Build
    tree: TreeHandle
    early: Subscription
    ending: Ending
    state_dir: Path
    stops: OperatorStops
    logs: LogBook
    lag: LoopLag
    doors: Doors
    manager: Notifier
    hangups: trio.MemoryReceiveChannel[str]
