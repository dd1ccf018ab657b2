"""``events``: what happened lately, and what happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import click

from a2a_sup.app.client import Client, NoSupervisor, find
from a2a_sup.app.commands.common import CONTROL, JSON, ControlCommand, print_json

Json: TypeAlias = dict[str, Any]
COLOURS = {
    "child.started": "green",
    "child.recovered": "green",
    "child.ended": "yellow",
    "child.backing_off": "yellow",
    "child.start_failed": "red",
    "child.failed": "red",
    "child.stuck": "red",
    "supervisor.gave_up": "red",
    "events.dropped": "red",
}
USUAL = frozenset({"type", "seq", "id", "time", "wall_time", "path", "incarnation"})
RETRIES = 10
RETRY_SECONDS = 0.5


@click.command(cls=ControlCommand)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "-n",
    "--last",
    type=click.IntRange(0, 10_000),
    default=100,
    show_default=True,
    metavar="NUMBER",
    help="Begin with so many of the last events.",
)
@CONTROL
@JSON
def events(last: int, control: str | None, *, follow: bool, as_json: bool) -> None:
    """Show what happened lately in the tree, one event on a line.

    With --json each line is an object, as docs/concepts.md describes it.

    Example: a2a-sup events -f
    """
    client = find(control)
    found = _followed(client, last) if follow else _last(client, last)
    for event in found:
        if as_json:
            print_json({name: value for name, value in event.items() if name != "id"})
        else:
            click.echo(line_of(event))


def _last(client: Client, last: int) -> Iterator[Json]:
    yield from client.get("events", follow=0, last=last)["events"]


def line_of(event: Json) -> str:
    """Return an event as a line for people."""
    kind = click.style(f"{event['type']:<20}", fg=COLOURS.get(event["type"]))
    when = event.get("wall_time")
    clock = "" if when is None else time.strftime("%H:%M:%S", time.localtime(when))
    rest = " ".join(f"{name}={_short(value)}" for name, value in event.items() if name not in USUAL)
    return f"{clock:<8}  {kind}  {event.get('path') or '-'}  {rest}".rstrip()


def _short(value: Any) -> str:
    if isinstance(value, dict) and "kind" in value:
        return f"{value['kind']}: {value['text']}" if value["text"] else str(value["kind"])
    if isinstance(value, dict) and "passed" in value:
        return "passed" if value["passed"] else f"failed ({value['message']})"
    if isinstance(value, float):
        return f"{value:.3g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _followed(client: Client, last: int) -> Iterator[Json]:
    """Yield events; when the connection is lost, go on after the last one that was seen."""
    seen: str | None = None
    failures = 0
    while True:
        try:
            query = {"last": last} if seen is None else {}
            for event in client.stream("events", last_id=seen, follow=1, **query):
                seen, failures = event.get("id", seen), 0
                yield event
            failures += 1
        except NoSupervisor:
            failures += 1
            if failures > RETRIES:
                raise
        if failures > RETRIES:
            raise NoSupervisor("the supervisor ended")
        time.sleep(RETRY_SECONDS)
