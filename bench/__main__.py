"""``python -m bench [NAME ...]``: measure, and print figures beside their floors.

Each figure stands beside what bare Trio or bare Python needs for the same, measured in the same
run, one after the other and several times. Medians; the ratio is what to look at.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import trio

from bench import commands as asking
from bench import dashboard as boards
from bench import embedded, growth, probes, processes, tasks
from bench import metrics as scraping
from bench import reload as changes
from bench.peers import compare
from bench.report import head, row, write

REPEATS = 7


def restart() -> None:
    """Crash to running again, acknowledged, with events on and no backoff."""
    bare, ours = [], []
    for _ in range(REPEATS):
        bare.append(trio.run(tasks.bare_restarts, 5_000))
        ours.append(trio.run(tasks.tree_restarts, 5_000))
    ratio = statistics.median(ours) / statistics.median(bare)
    row(
        "task: crash to running again, CPU us",
        f"{statistics.median(ours) * 1e6:.1f}",
        f"{statistics.median(bare) * 1e6:.1f}",
        f"{ratio:.2f}",
        "<= 1.3 x nursery.start with a scope",
    )
    tenths = trio.run(tasks.growth, 100_000)
    row(
        "the same, last tenth of 100,000 under a huge limit",
        f"{tenths[-1] * 1e6:.1f}",
        f"{tenths[0] * 1e6:.1f}",
        f"{tenths[-1] / tenths[0]:.2f}",
        "flat: beside the first tenth",
    )


def parked() -> None:
    """100,000 parked children under one dynamic supervisor."""
    ours, bare = _alone("tree_parked", 100_000), _alone("bare_parked", 100_000)
    names = ("memory, bytes", "start, CPU us", "stop, CPU us")
    for name, one, other, bound in zip(names, ours, bare, (1.5, 3, 3), strict=True):
        row(
            f"100,000 parked children, each: {name}",
            f"{one:.1f}",
            f"{other:.1f}",
            f"{one / other:.2f}",
            f"<= {bound} x a task with a scope",
        )
    few = _alone("tree_parked", 10_000)
    row(
        "start of one of 100,000 beside one of 10,000, CPU us",
        f"{ours[1]:.1f}",
        f"{few[1]:.1f}",
        f"{ours[1] / few[1]:.2f}",
        "linear",
    )


def _alone(function: str, count: int) -> tuple[float, float, float]:
    """Measure in a process of its own: memory that was used before would be used again."""
    program = (
        "import trio; from bench import tasks; "
        f"found = trio.run(tasks.{function}, {count}); "
        "print(found.memory, found.start * 1e6, found.stop * 1e6)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    memory, start, stop = map(float, done.stdout.split())
    return memory, start, stop


def replace() -> None:
    """SIGKILL of a process to its replacement, no backoff."""
    bare = statistics.median(embedded.bare_replacement(60) for _ in range(3)) * 1e3
    # The program's own way last: it makes this process a subreaper for good.
    for where, measure in (
        ("embedded", embedded.tree_replacement),
        ("a2a-sup run", embedded.program_replacement),
    ):
        ours = statistics.median(trio.run(measure, 60) for _ in range(3)) * 1e3
        row(
            f"process: kill -9 to replaced, {where}, ms",
            f"{ours:.2f}",
            f"{bare:.2f}",
            f"{ours / bare:.2f}",
            f"bare + 2 ms = {bare + 2:.2f}",
        )


def probing() -> None:
    """Health checks: their own cost, beside a bare loop with a deadline."""
    bare, ours, plain, checked = [], [], [], []
    for _ in range(REPEATS):
        bare.append(trio.run(probes.bare_checks, 1_000))
        ours.append(trio.run(probes.probed_checks, 1_000))
        plain.append(trio.run(probes.bare_requests, 500))
        checked.append(trio.run(probes.checked_requests, 500))
    crowd = statistics.median(trio.run(probes.crowd_cost, 1_000) for _ in range(3)) * 1e6
    held = statistics.median(trio.run(probes.crowd_lag, 1_000) for _ in range(3)) * 1e3
    lone = statistics.median(bare) * 1e6
    request = statistics.median(plain) * 1e6
    for what, found, floor in (
        ("a health check, CPU us", statistics.median(ours) * 1e6, lone),
        ("the same, 1,000 children at once", crowd, lone),
        ("an HTTP check without its probe, CPU us", statistics.median(checked) * 1e6, request),
    ):
        bound = f"floor + 100 us = {floor + 100:.0f}"
        row(what, f"{found:.0f}", f"{floor:.0f}", f"{found / floor:.2f}", bound)
    row("1,000 probed children: loop held, ms", f"{held:.1f}", bound="< 20")


def capture() -> None:
    """One million lines of 100 bytes from one child."""
    found = [trio.run(embedded.captured, 1_000_000) for _ in range(3)]
    row(
        "1,000,000 lines captured, MB/s",
        f"{statistics.median(f[0] for f in found):.0f}",
        bound=">= 200",
    )
    row("bytes lost of them", str(max(f[1] for f in found)), bound="0")


def metrics() -> None:
    """One scrape of /metrics with 10,000 children: its text, without the sending."""
    whole, hold, floor = trio.run(scraping.scrape, 10_000)
    row(
        "metrics of 10,000 children, CPU ms",
        f"{whole * 1e3:.1f}",
        f"{floor * 1e3:.1f}",
        f"{whole / floor:.2f}",
        "< 20; the floor formats as many lines",
    )
    row("the same: the loop held at a time, ms", f"{hold * 1e3:.1f}", bound="< 20")


def dashboard() -> None:
    """The dashboard socket: many clients, and large trees."""
    boards.show_broadcasts()
    found = {size: trio.run(boards.change, size) for size in growth.SIZES}
    few, *_, many = found.values()
    taken, whole = f"{many.seconds * 1e3:.1f}", f"{many.held_by_snapshot * 1e3:.1f}"
    row("a change of 10,000 children reaches a client, ms", taken, bound="< 150")
    longest = f"{statistics.median(many.held) * 1e3:.1f}", f"{max(many.held) * 1e3:.1f}"
    row("  the loop held, ms", *longest, bound="<= 20; beside it: the worst of all")
    row("  the loop held while the whole tree is told, ms", whole, bound="<= 20")
    costs = [each.cpu for each in found.values()]
    figures = (f"{many.cpu * 1e3:.3f}", f"{few.cpu * 1e3:.3f}", f"{many.cpu / few.cpu:.2f}")
    row("  CPU ms, beside it of 100 children", *figures)
    slope = growth.exponent(growth.SIZES, costs)
    row("  exponent over 100, 1,000, 10,000", f"{slope:.2f}", bound="flat")
    numbers = f"{trio.run(boards.collect, 10_000) * 1e3:.2f}"
    row("metrics:update, 10,000 children and agents, ms", numbers, bound="< 20")


def program() -> None:
    """The program with hundreds of processes."""
    for count in (50, 200, 500):
        taken = statistics.median(processes.up(count) for _ in range(3))
        row(f"{count} processes up from launch, s", f"{taken:.2f}", bound="< 2.0 for 500")
    taken = statistics.median(processes.stopped(200) for _ in range(3))
    row("200 processes stopped, s", f"{taken:.2f}", bound="< 0.3")
    taken = processes.stopped_deaf(200, 2)
    row("200 that ignore SIGTERM, stop timeout 2 s, s", f"{taken:.2f}", bound="< 3")
    share, resident = processes.idle(200, 20)
    row("200 idle: share of a core, %", f"{share * 100:.2f}", bound="< 0.2")
    row("200 idle: resident with the guardian, MB", f"{resident:.1f}", bound="< 60")


def reload() -> None:
    """A changed file, applied to many processes."""
    found = [changes.one_change(1_000) for _ in range(3)]
    taken = statistics.median(seconds for seconds, _ in found)
    row("reload of 1,000 processes, one changed, s", f"{taken:.2f}", bound="< 1")
    row("processes that it started", str(max(count for _, count in found)), bound="1")


def commands() -> None:
    """What an operator waits for."""
    floor = statistics.median(asking.interpreter() for _ in range(REPEATS)) * 1e3
    found = [asking.status(1_000, 10) for _ in range(3)]
    for what, taken in (
        ("status over 1,000 processes, ms", [one for _, others in found for one in others]),
        ("the same, the first after a start, ms", [first for first, _ in found]),
    ):
        middle = statistics.median(taken) * 1e3
        row(what, f"{middle:.0f}", f"{floor:.0f}", f"{middle / floor:.2f}", "< 300")
    for backoff in ("1s", "0s"):
        taken, starts = asking.in_a_storm(50, backoff, 500)
        late = taken[len(taken) * 99 // 100] * 1e3
        what = f"API, 50 exit at once, backoff {backoff}: 99th percentile, ms"
        row(what, f"{late:.1f}", bound="< 50")
        row("  starts in a second meanwhile", f"{starts:.0f}")


def growing() -> None:
    """The exponents: 0 is flat, 1 is linear."""
    for what, measure, aim in (
        ("start and stop of a tree", growth.boot_and_stop, "<= 1.1"),
        ("group restart", growth.group_restart, "<= 1.1"),
        ("restart of one of many", growth.single_restart, "flat"),
        ("a look at one changed child of many", growth.look_at_one, "flat"),
        ("a snapshot after one change", growth.look_at_all, "<= 1.1"),
    ):
        costs = [trio.run(measure, size) for size in growth.SIZES]
        slope = growth.exponent(growth.SIZES, costs)
        row(f"{what}, 10,000 beside 100, CPU ms", *(f"{cost * 1e3:.3f}" for cost in costs[::-2]))
        row("  exponent over 100, 1,000, 10,000", f"{slope:.2f}", bound=aim)


def held() -> None:
    """The longest time that nothing else ran: Python's garbage collector adds its own."""
    gc.collect()
    with_collector = trio.run(growth.holds, 10_000)
    gc.disable()
    without = trio.run(growth.holds, 10_000)
    gc.enable()
    for what, longest in without.items():
        row(
            f"loop held, ms, {what}",
            f"{longest * 1e3:.1f}",
            f"{with_collector[what] * 1e3:.1f}",
            bound="<= 20; beside it: with the garbage collector on",
        )


def peers() -> None:
    """Other process managers at the same work; the ratio is theirs to ours."""
    for measure in (
        compare.restart,
        compare.start,
        compare.replace,
        compare.idle,
        compare.storm,
        compare.stop,
        compare.leftovers,
    ):
        measure()


MEASURES: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        restart,
        parked,
        growing,
        held,
        replace,
        capture,
        metrics,
        dashboard,
        probing,
        program,
        reload,
        commands,
        peers,
    )
}


def main() -> None:
    """Measure what the command line names; everything by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    chosen = parser.parse_args().only or list(MEASURES)
    if unknown := set(chosen) - MEASURES.keys():
        parser.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "trio": version("trio"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    row("what", "a2a_sup", "floor", "ratio", "aim")
    # The program must not meet another one on its usual ports.
    os.environ["A2A_SUP_HTTP"] = os.environ["A2A_SUP_DASHBOARD"] = "127.0.0.1:0"
    failed = []
    for name in chosen:
        head(name)
        try:
            MEASURES[name]()
        except Exception as exc:  # noqa: BLE001 - one measure that fails does not end the others
            failed.append(name)
            print(f"not measured: {type(exc).__name__}: {exc}", flush=True)
    print(f"\nas JSON: {write(about).name}")
    sys.exit(1 if failed else 0)


main()
