"""``completion``: what a shell has to be told, so that the tab key completes children too."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "a2a-sup"
VARIABLE = "_A2A_SUP_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the program that lets SHELL complete commands, options and children.

    bash: eval "$(a2a-sup completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc;
    fish: a2a-sup completion fish > ~/.config/fish/completions/a2a-sup.fish

    Example: a2a-sup completion bash
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"nothing is known of {shell}")
    click.echo(found(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
