"""``status``, ``tree`` and ``probe``: what there is, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from a2a_sup.app.client import find
from a2a_sup.app.commands.common import (
    CONTROL,
    JSON,
    ControlCommand,
    child_of,
    complete_child,
    print_json,
)
from a2a_sup.app.commands.rows import COLOURS, TITLES, cells_of, health_of, table

EX_NOT_SO = 1


@click.command(cls=ControlCommand)
@click.argument("child", required=False, shell_complete=complete_child)
@CONTROL
@JSON
def status(child: str | None, control: str | None, *, as_json: bool) -> None:
    """Show a table of all children, or only CHILD and what is below it.

    Memory and CPU time are those of all processes that a child started.

    Example: a2a-sup status pipeline/loader
    """
    client = find(control)
    found = client.get("status")
    if child is not None:
        rows = [row for row in found["children"] if f"{row['path']}/".startswith(f"{child}/")]
        if not rows:
            child_of(client, child)  # which says what is near
        found["children"] = rows
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(table(TITLES, map(cells_of, found["children"]))))


@click.command(cls=ControlCommand)
@CONTROL
@JSON
def tree(control: str | None, *, as_json: bool) -> None:
    """Draw the tree: supervisors with their strategies, children with their states.

    Example: a2a-sup tree
    """
    found = find(control).get("tree")
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['name']} ({found['root']['strategy']})")
    for line in _branches(found["root"], ""):
        click.echo(line)


def _branches(supervisor: dict[str, Any], before: str) -> Iterator[str]:
    last = len(supervisor["children"]) - 1
    for number, child in enumerate(supervisor["children"]):
        nested = child["supervisor"]
        strategy = f" ({nested['strategy']})" if nested else ""
        words = [click.style(child["state"], fg=COLOURS.get(child["state"]))]
        if health := health_of(child):
            words.append(click.style(health, fg=COLOURS.get(health)))
        if child["waits_for"]:
            words.append(f"waits for {', '.join(child['waits_for'])}")
        corner, below = ("└── ", "    ") if number == last else ("├── ", "│   ")
        yield f"{before}{corner}{child['name']}{strategy}: {', '.join(words)}"
        if nested:
            yield from _branches(nested, before + below)


@click.command(cls=ControlCommand)
@click.argument("child", shell_complete=complete_child)
@CONTROL
@click.pass_context
def probe(ctx: click.Context, child: str, control: str | None) -> None:
    """Exit with 0 if CHILD is running and healthy, with 1 if not: for exec probes.

    Without a probe of its own a child that runs is healthy.

    Example: a2a-sup probe api
    """
    found = child_of(find(control), child)
    words = ", ".join(word for word in (found["state"], health_of(found)) if word)
    click.echo(f"{child}: {words}")
    if found["state"] != "running" or found["healthy"] is False:
        ctx.exit(EX_NOT_SO)
