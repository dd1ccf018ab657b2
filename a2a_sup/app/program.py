"""The command line ``a2a-sup``: what commands there are, and where each is written.

A command's module is imported when it is asked for: those that talk to a running supervisor need
little, and are quick.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

PROGRAM = "a2a-sup"
COMMANDS = {
    "run": ("cli:run", "Run the tree in FILE until SIGTERM or SIGINT (Ctrl-C)."),
    "check": ("cli:check", "Say what is wrong with FILE; start nothing."),
    "status": ("commands.status:status", "Show a table of all children."),
    "tree": ("commands.status:tree", "Draw the tree with the states of all children."),
    "top": ("commands.top:top", "Watch all children live."),
    "start": ("commands.act:start", "Start each CHILD that is down, and wait for it."),
    "stop": ("commands.act:stop", "Stop each CHILD, and wait until it is gone."),
    "restart": ("commands.act:restart", "Restart each CHILD, and wait for it."),
    "reload": ("commands.act:reload", "Apply the changed file with the smallest plan."),
    "scale": ("commands.act:scale", "Have NUMBER copies of CHILD."),
    "logs": ("commands.logs:logs", "Show what each CHILD printed."),
    "events": ("commands.events:events", "Show what happened in the tree."),
    "probe": ("commands.status:probe", "Exit with 0 if CHILD is running and healthy."),
    "import": (
        "import_command:import_command",
        "Print another process manager's file as a tree in TOML.",
    ),
    "completion": ("commands.completion:completion", "Print what completes commands in SHELL."),
}
"""Where each command is, and its line in the help text, in the order in which they are learned."""


class Misused(click.ClickException):
    """A mistake in the command line, told as every other trouble."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"{PROGRAM}: {self.message}", file=file, err=True)


def _in_one_line(error: click.UsageError) -> click.ClickException:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    where = error.ctx.command_path if error.ctx else PROGRAM
    return Misused(f"{error.format_message().rstrip('.')}; see {where} --help")


class Commands(click.Group):
    """A group that imports a command when it is asked for, and says mistakes in one line."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read what stands before the command."""
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as exc:
            raise _in_one_line(exc) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Read the rest, and carry out the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            raise _in_one_line(exc) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of click
        """Return all names."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - of click
        """Write the line of each command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None."""
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, n=1)
            if near and not ctx.resilient_parsing:
                ctx.fail(f"no command is called {cmd_name!r}; did you mean {near[0]!r}?")
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(f"a2a_sup.app.{module}"), name)
        return found


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="a2a_sup", prog_name=PROGRAM)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep servers alive: a supervision tree for MCP servers and any other process.

    `a2a-sup run FILE` runs a tree until it is stopped; the other commands watch and steer one that
    runs. FILE is a tree in TOML, or a JSON file with mcpServers (.mcp.json, Claude Desktop,
    Cursor) or servers (VS Code). CHILD is a path in the tree: pipeline/loader.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False  # https://no-color.org
