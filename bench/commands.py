"""Commands on many children, and the API while children die all the time; the real program."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from contextlib import closing
from typing import Any

from bench.processes import BIN, running, sleepers

STORM = """
[defaults]
restart = {{ backoff = ["{backoff}"], intensity = 1000000, period = "1s" }}
"""


def status(count: int, repeats: int) -> tuple[float, list[float]]:
    """Have the table of ``count`` processes printed, by a new interpreter each time.

    Returns:
        The seconds of the first time, for which the server imports what it serves with, and
        those of the others.
    """
    with running(sleepers(count)) as program:
        control = str(program.until("tree.started")[0]["control"])
        taken = [_status(control, count) for _ in range(repeats + 1)]
    return taken[0], taken[1:]


def _status(control: str, count: int) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        [BIN, "status", "--control", control], capture_output=True, check=True, text=True
    )
    taken = time.perf_counter() - begin
    if len(done.stdout.splitlines()) != count + 1:
        raise RuntimeError(f"a table of {count} children has {done.stdout[:200]!r}")
    return taken


def interpreter() -> float:
    """Return the seconds of a Python that does nothing but to import click: the floor."""
    begin = time.perf_counter()
    subprocess.run([BIN.parent / "python", "-c", "import click"], check=True)
    return time.perf_counter() - begin


def in_a_storm(children: int, backoff: str, requests: int) -> tuple[list[float], float]:
    """Ask for the whole tree while so many children exit at once, again and again.

    Returns:
        The seconds of each answer, sorted, and how many starts there were in each second.
    """
    tree = STORM.format(backoff=backoff) + "".join(
        f"[children.c{number}]\ncommand = ['false']\n" for number in range(children)
    )
    with running(tree) as program:
        control = str(program.until("tree.started")[0]["control"])
        with closing(_connected(control)) as connection:
            before, began = _starts(connection), time.perf_counter()
            taken = sorted(_timed(connection) for _ in range(requests))
            passed = time.perf_counter() - began
            return taken, (_starts(connection) - before) / passed


def _connected(control: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(control)
    return connection


def _ask(connection: http.client.HTTPConnection) -> Any:
    connection.request("GET", "/api/v1/tree")
    return json.load(connection.getresponse())


def _starts(connection: http.client.HTTPConnection) -> int:
    return sum(child["incarnation"] for child in _ask(connection)["root"]["children"])


def _timed(connection: http.client.HTTPConnection) -> float:
    # As somebody who looks at intervals: not in step with the answers.
    time.sleep(0.01)
    begin = time.perf_counter()
    _ask(connection)
    return time.perf_counter() - begin
