"""``a2a-sup run FILE`` and ``a2a-sup check FILE``."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn

import attrs
import click

from a2a_sup.app.config import build, read_config
from a2a_sup.app.control_path import default_control_path
from a2a_sup.app.environment import with_own_scripts, without_own_secrets
from a2a_sup.app.guardian import guard
from a2a_sup.app.options import Options
from a2a_sup.app.problems import ConfigError
from a2a_sup.app.settings import Config, SupervisorConfig
from a2a_sup.app.token import BadToken, read_token
from a2a_sup.errors import A2ASupError, SpecError
from a2a_sup.serve.listen import OFF, Address, parse_address

EX_FAILED = 1
EX_BAD_FILE = 2

FILE = click.Path(path_type=Path)


@attrs.frozen
class ListenAt:
    """Where an option says to listen; None: nowhere."""

    address: Address | None


class Listen(click.ParamType["ListenAt"]):
    """``HOST:PORT``, or ``off``."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ListenAt:
        """Return what ``value`` names."""
        try:
            return ListenAt(parse_address(str(value)))
        except ValueError as error:
            self.fail(f"found {str(value)!r:.100}; allowed: {error}", param, ctx)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="A2A_SUP_STATE_DIR",
    show_envvar=True,
    help="Where state and the children's output are kept. "
    "Default: a directory of its own for each FILE, in the user's state directory.",
)
@click.option(
    "--http",
    type=Listen(),
    metavar="HOST:PORT|off",
    envvar="A2A_SUP_HTTP",
    show_envvar=True,
    help="Where the page, health, metrics and the API are served; port 0: any free one. "
    "Default: what FILE says, else 127.0.0.1:3000.",
)
@click.option(
    "--control",
    metavar="PATH|off",
    envvar="A2A_SUP_CONTROL",
    show_envvar=True,
    help="The unix socket for commands. Default: one of its own for each state directory, in the "
    "user's runtime directory.",
)
@click.option(
    "--dashboard",
    type=Listen(),
    metavar="HOST:PORT|off",
    envvar="A2A_SUP_DASHBOARD",
    show_envvar=True,
    help="Where the tree is watched by WebSocket; port 0: any free one. "
    "Default: what FILE says, else 127.0.0.1:9000.",
)
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default="console",
    envvar="A2A_SUP_LOG_FORMAT",
    show_envvar=True,
    show_default=True,
    help="Log lines for people, or JSON objects for machines; on standard error.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="info",
    envvar="LOG_LEVEL",
    show_envvar=True,
    show_default=True,
    help="The least level that is logged.",
)
@click.option(
    "--logs",
    "output",
    type=click.Choice(["files", "stdout", "both"]),
    default="files",
    envvar="A2A_SUP_LOGS",
    show_envvar=True,
    show_default=True,
    help="Where what the children print goes: into files in the state directory, or to standard "
    "output, each line with the child's name (for containers). What FILE says of forwarding "
    "holds besides.",
)
@click.option(
    "--watch", is_flag=True, help="Reload when FILE, or a file that it includes, changes."
)
@click.option(
    "--fresh", is_flag=True, help="Forget what was stopped and scaled in earlier runs by hand."
)
def run(
    *,
    file: Path,
    state_dir: Path | None,
    http: ListenAt | None,
    control: str | None,
    dashboard: ListenAt | None,
    log_format: str,
    log_level: str,
    output: Literal["files", "stdout", "both"],
    watch: bool,
    fresh: bool,
) -> NoReturn:
    """Run the tree in FILE until SIGTERM or SIGINT (Ctrl-C).

    The children are stopped in order; a second signal kills them at once. SIGHUP reloads FILE.

    Exit status: 0 after a requested stop, 1 when the tree gave up or could not start, 2 when FILE
    is bad, 70 when a last deadline had to end the program.

    Example: a2a-sup run examples/demo.toml
    """
    # Structured logs and what else it takes to run a tree: `check` and `--help` do without.
    from a2a_sup.app import host  # noqa: PLC0415

    _fill_standard_streams()
    # The servers that a FILE names are often installed beside this program.
    environ = with_own_scripts(os.environ)
    addresses = _told(http=http, dashboard=dashboard)
    config = _read(file, environ).served_at(addresses)
    try:
        token = read_token(environ, config.serve.token_file)
    except BadToken as error:
        _fail(str(error), EX_BAD_FILE)
    os.environ.clear()
    os.environ.update(without_own_secrets(environ))
    state_dir = (state_dir or _default_state_dir(file)).absolute()
    options = Options(
        file=file,
        state_dir=state_dir,
        control=_control_path(control, state_dir),
        default_control=control is None,
        log_format="json" if log_format == "json" else "console",
        log_level=log_level.lower(),
        output=output,
        environ=environ,
        addresses=addresses,
        token=token,
        watch=watch,
        fresh=fresh,
    )
    try:
        sys.exit(guard(lambda: host.supervise(config, options)))
    except (A2ASupError, OSError, RuntimeError) as exc:
        _fail(f"a2a-sup: {exc}", EX_FAILED)


@click.command(short_help="Say what is wrong with FILE; start nothing.")
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Say what is wrong with FILE, every mistake on a line of its own; start nothing.

    Exit status: 0 if FILE can be run, 2 if not.

    Example: a2a-sup check .mcp.json
    """
    config = _read(file, with_own_scripts(os.environ))
    for skipped in config.skipped:
        click.echo(f"{file}: {skipped.path}: not run: {skipped.reason}")
    workers, supervisors = _count(config.root)
    click.echo(f"{file}: good: {workers} to run, under {supervisors} supervisor(s)")


def _told(**addresses: ListenAt | None) -> dict[str, Address | None]:
    """Return the addresses that options or the environment gave; they come before the file's."""
    return {name: listen.address for name, listen in addresses.items() if listen is not None}


def _control_path(told: str | None, state_dir: Path) -> Path | None:
    if told == OFF:
        return None
    return default_control_path(state_dir) if told is None else Path(told).absolute()


def _fill_standard_streams() -> None:
    """Open what the caller had closed, or the next file or pipe would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)  # noqa: FBT003 - the only form
    os.close(number)
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _count(supervisor: SupervisorConfig) -> tuple[int, int]:
    workers, supervisors = 0, 1
    for child in supervisor.children:
        below = _count(child) if isinstance(child, SupervisorConfig) else (1, 0)
        workers += below[0]
        supervisors += below[1]
    return workers, supervisors


def _read(file: Path, environ: Mapping[str, str]) -> Config:
    """Return what ``file`` says; end the program with its mistakes if it has any."""
    try:
        config = read_config(file, environ)
        build(config, logs_dir=None)
    except ConfigError as exc:
        _fail(str(exc), EX_BAD_FILE)
    except SpecError as exc:
        _fail("\n".join(f"{file}: {problem}" for problem in exc.problems), EX_BAD_FILE)
    return config


def _fail(message: str, status: int) -> NoReturn:
    for line in message.splitlines():
        click.echo(line, err=True)
    sys.exit(status)


def _default_state_dir(file: Path) -> Path:
    """Return where the state of ``file`` is kept (XDG Base Directory: the user's state).

    Readable by its name, and of its own by a digest of the whole path.
    """
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    whole = str(file.absolute())
    digest = hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", file.name)[:40]
    return base / "a2a-sup" / f"{name}-{digest}"
