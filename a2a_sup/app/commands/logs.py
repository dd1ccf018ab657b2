"""``logs``: what children printed, of several in the order of time, and what they print now."""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any, TypeAlias

import click

from a2a_sup.app.client import Client, ClientError, NoSupervisor, Refused, find
from a2a_sup.app.commands.common import (
    CONTROL,
    JSON,
    ControlCommand,
    child_of,
    complete_child,
    print_json,
)

Json: TypeAlias = dict[str, Any]
PREFIXES = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")
GATHER_SECONDS = 0.1
"""Lines of several children that come within this time are put in order."""
AGAIN_SECONDS = 0.5
"""Until a child that has printed nothing is asked again."""


@click.command(cls=ControlCommand)
@click.argument(
    "children", nargs=-1, required=True, metavar="CHILD...", shell_complete=complete_child
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 10_000),
    default=100,
    show_default=True,
    metavar="LINES",
    help="So many of the last lines of each.",
)
@CONTROL
@JSON
def logs(
    children: tuple[str, ...], lines: int, control: str | None, *, follow: bool, as_json: bool
) -> None:
    """Show what each CHILD printed lately: both of its outputs, in the order of time.

    Of several children each line begins with the name of its child.

    Example: a2a-sup logs -f api pipeline/loader
    """
    client = find(control)
    paths = list(dict.fromkeys(children))
    for path in paths:
        child_of(client, path)  # which says what is near, if there is no such child
    found = _followed(client, paths, lines) if follow else _last(client, paths, lines)
    printer = _Printer(paths)
    for path, line in found:
        if as_json:
            print_json({"child": path, **line})
        else:
            printer.print(path, line)


class _Printer:
    def __init__(self, paths: list[str]) -> None:
        width = max(map(len, paths))
        self._prefixes = {
            path: click.style(f"{path.ljust(width)} | ", fg=PREFIXES[number % len(PREFIXES)])
            for number, path in enumerate(paths)
        }
        self._is_only = len(paths) == 1

    def print(self, path: str, line: Json) -> None:
        if "dropped_bytes" in line:
            click.echo(f"a2a-sup: {path}: {line['dropped_bytes']} bytes were missed", err=True)
            return
        click.echo(line["text"] if self._is_only else self._prefixes[path] + line["text"])


def _last(client: Client, paths: list[str], lines: int) -> Iterator[tuple[str, Json]]:
    found = [[(path, line) for line in _lines_of(client, path, lines)] for path in paths]
    yield from heapq.merge(*found, key=lambda each: each[1]["time"])


def _lines_of(client: Client, path: str, lines: int) -> list[Json]:
    try:
        found: list[Json] = client.get(f"children/{path}/logs", lines=lines)["lines"]
    except Refused as exc:
        if exc.kind != "no-logs":
            raise
        return []
    return found


def _followed(client: Client, paths: list[str], lines: int) -> Iterator[tuple[str, Json]]:
    arrived: queue.SimpleQueue[tuple[str, Json | ClientError]] = queue.SimpleQueue()

    def read(path: str) -> None:
        try:
            for line in _stream_of(client, path, lines):
                arrived.put((path, line))
        except ClientError as exc:
            arrived.put((path, exc))

    for path in paths:
        Thread(target=read, args=(path,), daemon=True).start()
    while True:
        yield from in_order(_gathered(arrived, GATHER_SECONDS if len(paths) > 1 else 0.0))


def _gathered(
    arrived: queue.SimpleQueue[tuple[str, Json | ClientError]], seconds: float
) -> list[tuple[str, Json | ClientError]]:
    """Wait for something, and then for what comes within ``seconds``."""
    found = [arrived.get()]
    until = time.monotonic() + seconds
    while True:
        try:
            found.append(arrived.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            return found


def in_order(found: list[tuple[str, Json | ClientError]]) -> Iterator[tuple[str, Json]]:
    """Yield lines by their times, each child's in their order; then raise an error, if any.

    What has no time, as the news of lines that were missed, stays before its child's next line.
    """
    latest: dict[str, float] = {}
    keyed = []
    for path, line in found:
        if not isinstance(line, ClientError):
            at = latest[path] = line.get("time", latest.get(path, 0.0))
            keyed.append((at, path, line))
    yield from ((path, line) for _, path, line in sorted(keyed, key=lambda each: each[0]))
    for _, error in found:
        if isinstance(error, ClientError):
            raise error


def _stream_of(client: Client, path: str, lines: int) -> Iterator[Json]:
    """Yield the lines of a child, also of one that is yet to print its first."""
    while True:
        try:
            yield from client.stream(f"children/{path}/logs", lines=lines, follow=1)
        except Refused as exc:
            if exc.kind != "no-logs":
                raise
        else:
            raise NoSupervisor("the supervisor ended")
        time.sleep(AGAIN_SECONDS)
