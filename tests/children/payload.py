"""A program that leaves something behind in one of nine ways, then sleeps: ``KIND TAG``.

Two processes per run carry TAG in their command line: the one that was started, which becomes a
``sleep``, and the one that tries to outlive it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

MAIN_JS = """
const {spawn} = require('child_process')
spawn('sleep', [process.argv[2]], {detached: true, stdio: 'ignore'}).unref()
setInterval(() => {}, 1e6)
"""


def forked(then: Callable[[], None]) -> None:
    """Run ``then`` in a fork, which must end in an exec."""
    if os.fork() == 0:
        then()
        os._exit(1)


def sleep(tag: str) -> None:
    os.execvp("sleep", ["sleep", tag])


def background(tag: str) -> None:
    forked(lambda: sleep(tag))


def new_session(tag: str) -> None:
    def run() -> None:
        os.setsid()
        sleep(tag)

    forked(run)


def own_group(tag: str) -> None:
    def run() -> None:
        os.setpgid(0, 0)
        sleep(tag)

    forked(run)


def suspended(tag: str) -> None:
    def run() -> None:
        os.setsid()
        os.execvp("sh", ["sh", "-c", f"kill -STOP $$; exec sleep {tag}"])

    forked(run)


def double_fork(tag: str) -> None:
    def run() -> None:
        os.setsid()
        if os.fork():
            os._exit(0)
        sleep(tag)

    forked(run)


def clean(tag: str, prepare: Callable[[], None] = lambda: None) -> None:
    """Do it as daemons should: nothing is inherited."""

    def run() -> None:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 256)
        prepare()
        os.execve("/bin/sleep", ["sleep", tag], {})

    forked(run)


def clean_without_limit(tag: str) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    clean(tag, lambda: resource.setrlimit(10, unlimited))


def clean_as_nobody(tag: str) -> None:
    def become_nobody() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    clean(tag, become_nobody)


def npm(tag: str) -> None:
    """npm, a shell, node, and what that detached: npm itself stays."""
    folder = Path(gettempdir()) / "a2a-sup-payload"
    folder.mkdir(exist_ok=True)
    (folder / "main.js").write_text(MAIN_JS)
    (folder / "package.json").write_text(json.dumps({"scripts": {"start": "node main.js"}}))
    os.chdir(folder)
    os.execvp("npm", ["npm", "start", "--no-update-notifier", "--silent", "--", tag])


KINDS = {
    "background": background,
    "new_session": new_session,
    "own_group": own_group,
    "suspended": suspended,
    "double_fork": double_fork,
    "clean": clean,
    "clean_without_limit": clean_without_limit,
    "clean_as_nobody": clean_as_nobody,
    "npm": npm,
}

if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    KINDS[sys.argv[1]](sys.argv[2])
    sleep(sys.argv[2])
