"""``top``: a live table of all children, sorted as wanted, with keys to command the chosen one."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeAlias

import click

from a2a_sup.app.client import Client, ClientError, find
from a2a_sup.app.commands.common import CONTROL, ControlCommand
from a2a_sup.app.commands.rows import COLOURS, cells_of, duration

Json: TypeAlias = dict[str, Any]

HELP = "q quit  ↑↓ choose  o order  r restart  s stop  a start"
TITLES = ("CHILD", "STATE", "HEALTH", "PID", "UPTIME", "RESTARTS", "MEMORY", "CPU%", "")
ORDERS: dict[str, Callable[[Json], Any] | None] = {
    "tree": None,
    "cpu": lambda row: -(row["cpu_percent"] or 0),
    "memory": lambda row: -(row["memory_bytes"] or 0),
    "restarts": lambda row: -row["restarts"],
    "uptime": lambda row: row["uptime"] or 0,
    "state": lambda row: row["state"],
    "name": lambda row: row["path"],
}
VERBS = {"r": "restart", "s": "stop", "a": "start"}
UP, DOWN = "\x1b[A", "\x1b[B"


@click.command(cls=ControlCommand)
@click.option(
    "-o",
    "--order",
    type=click.Choice(list(ORDERS)),
    default="tree",
    show_default=True,
    help="What is at the top.",
)
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two looks.",
)
@CONTROL
def top(order: str, interval: float, control: str | None) -> None:
    """Watch all children live, with the CPU they use right now.

    Keys: q quits, the arrows or j and k choose a child, o changes the order; r restarts the chosen
    child, s stops it, a starts it.

    Example: a2a-sup top --order cpu
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; use: a2a-sup status")
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.live import Live  # noqa: PLC0415

    view = View(find(control), order)
    view.look()
    with keys() as pressed, Live(console=Console(), screen=True, auto_refresh=False) as live:
        next_look = time.monotonic() + interval
        while True:
            live.update(view.table(live.console.height), refresh=True)
            key = pressed(max(0.0, next_look - time.monotonic()))
            if key in {"q", "\x03"}:
                return
            view.press(key)
            if time.monotonic() >= next_look:
                view.look()
                next_look = time.monotonic() + interval


class View:
    """What ``top`` shows.

    Attributes:
        rows: of the children, in the chosen order.
        order: one of ``ORDERS``.
        chosen: the path of the child that keys command.
        news: one line about the last command.
    """

    def __init__(self, client: Client, order: str) -> None:
        """Begin before the first look."""
        self.rows: list[Json] = []
        self.order = order
        self.chosen = ""
        self.news = ""
        self._client = client
        self._name = ""
        self._before: tuple[float, dict[str, float | None]] = (0.0, {})

    def look(self) -> None:
        """Ask the supervisor. Raises ClientError."""
        found = self._client.get("status")
        self._name = found["name"]
        when, before = self._before
        passed = found["time"] - when
        self.rows = found["children"]
        cpu = {row["path"]: row["cpu_seconds"] for row in self.rows}
        for row in self.rows:
            row["cpu_percent"] = cpu_percent(before.get(row["path"]), cpu.get(row["path"]), passed)
        self._before = (found["time"], cpu)
        self._sort()

    def press(self, key: str) -> None:
        """Do what a key asks for; others are ignored."""
        if key == "o":
            names = list(ORDERS)
            self.order = names[(names.index(self.order) + 1) % len(names)]
            self._sort()
        elif key in {UP, "k"}:
            self._choose(-1)
        elif key in {DOWN, "j"}:
            self._choose(1)
        elif key in VERBS and self.chosen:
            Thread(target=self._command, args=(VERBS[key], self.chosen), daemon=True).start()

    def table(self, height: int) -> Any:
        """Return what fits on a screen of so many lines, the chosen child in it."""
        from rich import box  # noqa: PLC0415 - slow to import
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        title = f"{self._name}: {len(self.rows)} children, by {self.order}"
        caption = f"{HELP}\n{self.news}"
        table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, expand=True)
        for name in TITLES:
            table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
        for row in window(self.rows, self._place(), max(1, height - 7)):
            cells = list(cells_of(row))
            cells[7] = "" if row["cpu_percent"] is None else f"{row['cpu_percent']:.1f}"
            style = "reverse" if row["path"] == self.chosen else ""
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells), style=style)
        return table

    def _place(self) -> int:
        places = [number for number, row in enumerate(self.rows) if row["path"] == self.chosen]
        return places[0] if places else 0

    def _choose(self, step: int) -> None:
        if self.rows:
            place = min(max(self._place() + step, 0), len(self.rows) - 1)
            self.chosen = self.rows[place]["path"]

    def _sort(self) -> None:
        if (key := ORDERS[self.order]) is not None:
            self.rows.sort(key=key)
        if self.rows and not any(row["path"] == self.chosen for row in self.rows):
            self.chosen = self.rows[0]["path"]

    def _command(self, verb: str, path: str) -> None:
        began = time.monotonic()
        self.news = f"{verb} {path} ..."
        try:
            self._client.post(f"children/{path}/{verb}")
        except ClientError as exc:
            self.news = f"{verb} {path}: {exc}"
        else:
            self.news = f"{verb} {path}: done in {duration(time.monotonic() - began)}"


NUMBERS = frozenset({"PID", "UPTIME", "RESTARTS", "MEMORY", "CPU%"})


def cpu_percent(before: float | None, now: float | None, passed: float) -> float | None:
    """Return the share of one core that was used, in percent; None: not known.

    Processes that ended take their time with them: less than nothing is nothing.
    """
    if before is None or now is None or passed <= 0:
        return None
    return max(0.0, (now - before) / passed * 100)


def window(rows: list[Json], place: int, count: int) -> list[Json]:
    """Return at most ``count`` rows, the one at ``place`` among them."""
    first = max(0, min(place - count // 2, len(rows) - count))
    return rows[first : first + count]


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Have keys one by one, not shown, instead of lines; the terminal is put back at the end.

    Yields a function that waits for at most so many seconds and returns a key, or nothing.
    """
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def pressed(seconds: float) -> str:
        if not select.select([file], [], [], seconds)[0]:
            return ""
        key = os.read(file, 1)
        # An arrow is three bytes that come together.
        while key.startswith(b"\x1b") and len(key) < 3 and select.select([file], [], [], 0.02)[0]:
            key += os.read(file, 1)
        return key.decode(errors="replace") or "q"

    try:
        tty.setcbreak(file)
        yield pressed
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
