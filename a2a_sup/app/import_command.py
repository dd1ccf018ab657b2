"""``a2a-sup import FILE``: another process manager's file as ours."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from a2a_sup.app.importing import FORMATS, ImportRefused, import_file

EX_BAD_FILE = 2


@click.command("import", short_help="Print another process manager's FILE as a tree.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Whose FILE it is. Default: what its name says.",
)
def import_command(file: Path, form: str | None) -> None:
    """Print FILE of supervisord, circus, pm2, process-compose or foreman as a tree in TOML.

    What has no equal is a comment that begins with `# !`, and a line on standard error: nothing
    is lost in silence. Relative paths stay as they are: keep the tree beside FILE.

    Exit status: 0, or 2 if FILE cannot be read.

    Example: a2a-sup import supervisord.conf > tree.toml && a2a-sup check tree.toml
    """
    try:
        text, warnings = import_file(file, form)
    except ImportRefused as exc:
        click.echo(f"a2a-sup: {exc}", err=True)
        sys.exit(EX_BAD_FILE)
    for warning in warnings:
        click.echo(f"{file}: {warning}", err=True)
    click.echo(text, nl=False)
