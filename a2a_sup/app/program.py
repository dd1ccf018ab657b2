"""The command line ``a2a-sup``: what commands there are, and where each is written.

A command's module is imported when it is asked for: those that talk to a running supervisor need
little, and are quick.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

COMMANDS = {
    "run": "cli:run",
    "check": "cli:check",
    "status": "commands.status:status",
    "tree": "commands.status:tree",
    "top": "commands.top:top",
    "start": "commands.act:start",
    "stop": "commands.act:stop",
    "restart": "commands.act:restart",
    "reload": "commands.act:reload",
    "scale": "commands.act:scale",
    "logs": "commands.logs:logs",
    "events": "commands.events:events",
    "probe": "commands.status:probe",
    "import": "import_command:import_command",
    "completion": "commands.completion:completion",
}
"""Where each command is, in the order of the help text."""


class Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of click
        """Return all names, in the order in which they are learned."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None."""
        if cmd_name not in COMMANDS:
            near = get_close_matches(cmd_name, COMMANDS, n=1)
            if near and not ctx.resilient_parsing:
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {near[0]!r}?")
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"a2a_sup.app.{module}"), name)
        return found


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="a2a_sup", prog_name="a2a-sup")
def main() -> None:
    """Keep servers alive: a supervision tree for MCP servers and any other process.

    `a2a-sup run FILE` runs a tree until it is stopped; the other commands watch and steer one that
    runs. FILE is a tree in TOML, or a JSON file with mcpServers (.mcp.json, Claude Desktop,
    Cursor) or servers (VS Code). CHILD is a path in the tree: pipeline/loader.
    """
