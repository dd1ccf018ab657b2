"""``start``, ``stop``, ``restart``, ``reload``, ``scale``: 0 is their status only if it is so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

import click

from a2a_sup.app.client import Client, Refused, find
from a2a_sup.app.commands.common import (
    CONTROL,
    JSON,
    ControlCommand,
    child_of,
    complete_child,
    print_json,
    tell,
)

EX_FAILED = 1
QUIET_SECONDS = 0.5
"""What is done sooner shows no progress."""
DOING = {"start": "starting", "stop": "stopping", "restart": "restarting", "reload": "reloading"}
DONE = {"start": "started", "stop": "stopped", "restart": "restarted"}
ALREADY = {"start": "is running already", "stop": "is stopped already"}
T = TypeVar("T")


def _command(verb: str, text: str) -> click.Command:
    @click.pass_context
    def run(
        ctx: click.Context,
        children: tuple[str, ...],
        control: str | None,
        timeout: float | None,
        *,
        as_json: bool,
    ) -> None:
        client = find(control)
        results = [_one(client, verb, path, timeout, is_quiet=as_json) for path in children]
        if as_json:
            print_json({"results": results})
        ctx.exit(max(map(_exit, results)))

    limit = "Seconds to wait for each child; what takes longer goes on, and the exit status is 4."
    short = text.partition("\n\n")[0]
    made = click.command(verb, cls=ControlCommand, help=text, short_help=short)(run)
    for decorate in (
        JSON,
        click.option(
            "--timeout",
            type=click.FloatRange(0, 86400, min_open=True),
            metavar="SECONDS",
            help=limit,
        ),
        CONTROL,
        click.argument(
            "children", nargs=-1, required=True, metavar="CHILD...", shell_complete=complete_child
        ),
    ):
        made = decorate(made)
    return made


def _exit(result: dict[str, Any]) -> int:
    if result["ok"]:
        return 0
    return 4 if result["problem"] == "timed-out" else EX_FAILED


def _one(
    client: Client, verb: str, path: str, timeout: float | None, *, is_quiet: bool
) -> dict[str, Any]:
    body = None if timeout is None else {"timeout": timeout}
    result: dict[str, Any] = {"child": path, "command": verb}
    try:
        answer = with_progress(
            f"{DOING[verb]} {path}", lambda: client.post(f"children/{path}/{verb}", body)
        )
    except Refused as exc:
        if not is_quiet:
            tell(path, exc)
        result |= {"ok": False, "problem": exc.kind, "detail": exc.detail}
    else:
        state = None if answer["child"] is None else answer["child"]["state"]
        result |= {"ok": True, "already": answer["already"], "path": answer["path"], "state": state}
        if not is_quiet:
            click.echo(f"{path}: {ALREADY[verb] if answer['already'] else DONE[verb]}")
    return result


def with_progress(what: str, call: Callable[[], T]) -> T:
    """Return ``call()``; while it takes long, say so on a terminal."""
    if not sys.stderr.isatty():
        return call()
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as exc:  # noqa: BLE001 - raised again below
            errors.append(exc)

    began = time.monotonic()
    # A daemon: Ctrl-C leaves at once, and the supervisor goes on with it.
    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(QUIET_SECONDS)
    is_shown = thread.is_alive()
    while thread.is_alive():
        click.echo(f"\r{what} ... {time.monotonic() - began:.0f} s", nl=False, err=True)
        thread.join(0.25)
    if is_shown:
        click.echo("\r\x1b[K", nl=False, err=True)
    if errors:
        raise errors[0]
    return answers[0]


start = _command(
    "start",
    "Start each CHILD that is down, and wait until it has started.\n\n"
    "Example: a2a-sup start api pipeline/loader",
)
stop = _command(
    "stop",
    "Stop each CHILD, and wait until it is gone. It stays down.\n\n"
    "Example: a2a-sup stop --timeout 10 api",
)
restart = _command(
    "restart",
    "Stop each CHILD if it is up, start it, and wait until it has started.\n\n"
    "Example: a2a-sup restart api",
)


@click.command(cls=ControlCommand)
@click.option("--plan", is_flag=True, help="Only say what would be done.")
@CONTROL
@JSON
@click.pass_context
def reload(ctx: click.Context, control: str | None, *, plan: bool, as_json: bool) -> None:
    """Apply the changed file with the smallest plan, and wait until it is applied.

    A file with mistakes changes nothing.

    Example: a2a-sup reload --plan
    """
    client = find(control)
    found = with_progress("reloading", lambda: client.post("reload", plan=int(plan)))
    if as_json:
        print_json(found)
    else:
        (_tell_plan if plan else _tell_outcome)(found)
    if found.get("ok") is False:
        ctx.exit(EX_FAILED)


@click.command(cls=ControlCommand)
@click.argument("child", shell_complete=complete_child)
@click.argument("number", type=click.IntRange(0), metavar="NUMBER")
@CONTROL
@JSON
@click.pass_context
def scale(
    ctx: click.Context, child: str, number: int, control: str | None, *, as_json: bool
) -> None:
    """Have NUMBER copies of CHILD, which has `replicas` in the file; wait until it is so.

    The last copies go first. The number holds for later reloads and runs, until the next `scale`
    or a run that is --fresh.

    Example: a2a-sup scale workers 4
    """
    client = find(control)
    body = {"replicas": number}
    found = with_progress(f"scaling {child}", lambda: client.post(f"children/{child}/scale", body))
    if as_json:
        print_json(found)
    elif found["ok"]:
        is_down = child_of(client, child)["supervisor"] is None
        rest = " when it is started" if is_down else "" if found["applied"] else " already"
        click.echo(f"{child}: {number} of it{rest}")
    else:
        _tell_outcome(found)
    if not found["ok"]:
        ctx.exit(EX_FAILED)


def _tell_plan(plan: dict[str, Any]) -> None:
    _tell_steps(plan, plan["steps"])


def _tell_steps(plan: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    for step in steps:
        click.echo(_line_of(step))
    is_something = plan["steps"] or plan["webhooks"]
    if plan["webhooks"]:
        click.echo("update the webhooks")
    if not is_something:
        click.echo("nothing to do")
    if plan["next_start"]:
        click.echo(f"for the next start: {', '.join(plan['next_start'])}")
    if is_something:
        click.echo(f"{len(plan['untouched'])} untouched")


def _tell_outcome(found: dict[str, Any]) -> None:
    _tell_steps(found["plan"], found["applied"])
    if found["failed"]:
        failed = found["failed"]
        click.echo(f"a2a-sup: {_line_of(failed)}: {found['because']}", err=True)
        for step in found["not_applied"]:
            click.echo(f"a2a-sup: not applied: {_line_of(step)}", err=True)


def _line_of(step: dict[str, Any]) -> str:
    why = f" ({', '.join(step['why'])})" if step["why"] else ""
    return f"{step['act']} {step['child'] or 'the root'}{why}"
