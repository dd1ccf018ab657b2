"""The dashboard: a frame to many clients beside other libraries, and changes of large trees."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import attrs
import trio

from a2a_sup import open_tree, supervisor
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.frames import message
from a2a_sup.serve.listen import Address, Door
from a2a_sup.serve.measures import dashboard_metrics
from a2a_sup.serve.publisher import Limits, Publisher
from a2a_sup.serve.servers import Servers
from a2a_sup.testing import ScriptedChild
from bench.broadcast.crowd import NODE, OURS, PYTHON, Crowd, allow_files
from bench.metrics import Holds
from bench.peers.install import NotMeasured
from bench.report import compare, row
from bench.tasks import cpu

FRAMES = 60
"""For each server, in turn, after a few to warm up."""
WARM_UP = 5
STALLED_FRAMES = 600
"""3 MB for each client: more than the kernel holds for one that reads nothing."""
MB = 2**20
CHANGES = 40
NEVER = 1e6


@attrs.define
class Found:
    """What was seen of one server: seconds, CPU seconds, bytes; of ours the longest turns, too."""

    memory: int
    seconds: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)
    held: list[tuple[float, float]] = attrs.field(factory=list)
    grown: int = 0


def broadcast(clients: int, stalled: int, frames: int) -> dict[str, Found | str]:
    """Send frames to so many clients of each server in turn, so that a noisy minute hits all."""
    allow_files(2 * (clients + 100))
    failed: dict[str, Found | str] = {}
    with ExitStack() as stack:
        crowds: dict[str, Crowd] = {}
        for name in (OURS, NODE, PYTHON):
            try:
                crowds[name] = stack.enter_context(closing(Crowd(name, clients, stalled)))
            except (NotMeasured, OSError) as exc:
                failed[name] = str(exc)
        return _in_turn(crowds, frames) | failed


def _in_turn(crowds: dict[str, Crowd], frames: int) -> dict[str, Found | str]:
    for crowd in crowds.values():
        for _ in range(WARM_UP):
            crowd.seconds()
    found = {name: Found(crowd.memory) for name, crowd in crowds.items()}
    before = {name: crowd.resident() for name, crowd in crowds.items()}
    crowds[OURS].held()
    for _ in range(frames):
        for name, crowd in crowds.items():
            begin = crowd.cpu()
            found[name].seconds.append(crowd.seconds())
            found[name].cpu.append(crowd.cpu() - begin)
        found[OURS].held.append(crowds[OURS].held())
    for name, crowd in crowds.items():
        found[name].grown = crowd.resident() - before[name]
    return dict(found)


def show_broadcasts() -> None:
    """Print the tables for 100 and 1,000 clients, and for 1,000 of which 100 read nothing."""
    for clients, stalled, frames in (
        (100, 0, FRAMES),
        (1_000, 0, FRAMES),
        (1_000, 100, STALLED_FRAMES),
    ):
        found = broadcast(clients, stalled, frames)
        who = f"{clients:,} clients" + (f", {stalled} stalled" if stalled else "")
        _table(f"5 KB to {who}, until the last has it", "ms", found, lambda f: _ms(f.seconds))
        _table(f"5 KB to {who}, CPU", "ms", found, lambda f: _ms(f.cpu))
        if stalled:
            _table(f"3 MB to each of {who}: grown by", "MB", found, lambda f: [f.grown / MB])
        else:
            _table(f"memory of {who}", "MB", found, lambda f: [f.memory / MB])
        _rows(who, clients, found)


def _rows(who: str, clients: int, found: dict[str, Found | str]) -> None:
    """Print what there is an aim for."""
    ours, theirs = found[OURS], found[NODE]
    if isinstance(ours, str):
        return
    print()
    if isinstance(theirs, Found):
        taken, floor = statistics.median(ours.seconds), statistics.median(theirs.seconds)
        figures = f"{taken * 1e3:.1f}", f"{floor * 1e3:.1f}", f"{taken / floor:.2f}"
        row(f"5 KB to {who}, ms", *figures, "<= 1.5 x node's ws")
    longest, most = zip(*ours.held, strict=True)
    held = f"{statistics.median(longest) * 1e3:.1f}", f"{max(longest) * 1e3:.1f}"
    row("  the loop held, ms", *held, bound="<= 20; beside it: the worst of all frames")
    row("  the same, CPU alone: the worst, ms", f"{max(most) * 1e3:.1f}", bound="<= 20")
    row("  memory of 100 clients, MB", f"{ours.memory / MB / clients * 100:.2f}", bound="< 4")


def _ms(values: list[float]) -> list[float]:
    return [value * 1e3 for value in values]


def _table(
    what: str, unit: str, found: dict[str, Found | str], figures: Callable[[Found], list[float]]
) -> None:
    shown: dict[str, Sequence[float] | str] = {
        name: each if isinstance(each, str) else figures(each) for name, each in found.items()
    }
    compare(what, unit, shown)


# --- trees ---------------------------------------------------------------------------------------


@attrs.frozen
class Reached:
    """Of a change in a tree, in seconds: until a client has it, the CPU of all, and the holds."""

    seconds: float
    cpu: float
    held: list[float]
    held_by_snapshot: float


async def change(size: int) -> Reached:
    """Return what a change costs that one client is told of, in a tree of so many children."""
    children = [ScriptedChild(f"c{number}") for number in range(size)]
    spec = supervisor("app", [child.spec() for child in children])
    limits = Limits(metrics_interval=NEVER)
    async with open_tree(spec) as tree, trio.open_nursery() as nursery:
        door = Door(Address("127.0.0.1", 0), "")
        publisher = Publisher(tree, AgentRegistry(), limits=limits)
        await nursery.start(publisher.serve, door)
        await trio.sleep(limits.coalesce * 2)
        hold = Holds()
        trio.lowlevel.add_instrument(hold)
        command = [sys.executable, "-m", "bench.broadcast.reader", f"ws://{door.bound}"]
        reader = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert reader.stdout is not None  # noqa: S101 - it is a pipe
        await _line(reader.stdout)
        held_by_snapshot = hold.longest
        taken, held = [], []
        worked = cpu()
        for number in range(CHANGES):
            await trio.sleep(limits.coalesce * 2)  # so it is told at once, and alone
            context = children[number * 97 % size].context
            assert context is not None  # noqa: S101 - it runs
            hold.longest = 0.0
            began = time.perf_counter()
            context.report(number=number)
            taken.append(await _line(reader.stdout) - began)
            held.append(hold.longest)
        used = (cpu() - worked) / CHANGES
        nursery.cancel_scope.cancel()
    await reader.wait()
    return Reached(statistics.median(taken), used, held, held_by_snapshot)


async def _line(lines: trio.abc.ReceiveStream) -> float:
    """Return the time that the reader said next: it says one for each change."""
    with trio.fail_after(60):
        said = bytes(await lines.receive_some())
        while not said.endswith(b"\n"):
            said += await lines.receive_some()
    return float(said)


async def collect(size: int) -> float:
    """Return the CPU seconds of one ``metrics:update`` with so many children and agents."""
    registry = AgentRegistry()
    for number in range(size):
        registry.deploy(
            {
                "id": f"a{number}",
                "name": "a",
                "version": "1",
                "capabilities": [],
                "category": f"c{number % 8}",
                "tags": [f"t{number % 25}"],
            }
        )
    children = [ScriptedChild(f"c{number}").spec() for number in range(size)]
    taken = []
    async with open_tree(supervisor("app", children)) as tree:
        servers = Servers()
        servers.begin(tree.snapshot().walk())
        for _ in range(50):
            begin = cpu()
            message("metrics:update", dashboard_metrics(registry, servers, watchers=1, streams=1))
            taken.append(cpu() - begin)
    return statistics.median(taken)
