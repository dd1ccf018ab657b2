"""What all commands share: which supervisor, how they end, what they print."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from a2a_sup.app.client import Client, ClientError, Refused, find

EX_PIPE = 141
"""As the shell reports a program that SIGPIPE ended."""
EX_INTERRUPT = 130
"""As the shell reports a program that Ctrl-C ended."""
COMPLETION_SECONDS = 2.0

CONTROL = click.option(
    "--control",
    metavar="PATH",
    envvar="A2A_SUP_CONTROL",
    show_envvar=True,
    help="The control socket of the supervisor. Default: that of the only one you are running.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/commands.md.")


class ControlCommand(click.Command):
    """A command whose trouble is one line and an exit status, and which leaves quietly."""

    def invoke(self, ctx: click.Context) -> Any:
        """Carry it out."""
        try:
            found = super().invoke(ctx)
            sys.stdout.flush()
        except ClientError as exc:
            for line in str(exc).splitlines():
                click.echo(f"a2a-sup: {line}", err=True)
            ctx.exit(exc.status)
        except BrokenPipeError:
            # Nobody reads on, as in `a2a-sup logs api | head`; the last flush must not fail too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EX_PIPE)
        except KeyboardInterrupt:
            ctx.exit(EX_INTERRUPT)
        return found


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    click.echo(json.dumps(value, ensure_ascii=False))


def child_of(client: Client, path: str) -> dict[str, Any]:
    """Return a child as the API shows it. Raises ClientError."""
    found: dict[str, Any] = client.get(f"children/{path}")["child"]
    return found


def tell(path: str, problem: Refused) -> None:
    """Say on standard error what is wrong with a child."""
    click.echo(f"a2a-sup: {path}: {problem.detail}", err=True)


def complete_child(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the paths of children that begin so; none if no supervisor answers soon."""
    try:
        client = find(ctx.params.get("control") or os.environ.get("A2A_SUP_CONTROL"))
        client.answer_seconds = COMPLETION_SECONDS
        root = client.get("tree")["root"]
    except (ClientError, OSError, ValueError, KeyError):
        return []
    named = set(ctx.params.get(param.name or "") or ())
    return [
        CompletionItem(path)
        for path in _paths(root)
        if path.startswith(incomplete) and path not in named
    ]


def _paths(supervisor: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for child in supervisor["children"]:
        found.append(child["path"])
        if child["supervisor"]:
            found += _paths(child["supervisor"])
    return found
