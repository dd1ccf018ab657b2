"""A real browser, looking at the page of the real program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright

BIN = Path(sys.executable).parent
SECONDS = 20.0
"""For whatever a program or a page has to do."""
HTTP = "127.0.0.1:0"


class Program:
    """One run of ``a2a-sup``, its log read by a thread: the browser has the main one."""

    def __init__(self, *words: object, folder: Path, **env: str) -> None:
        self.log: list[dict[str, Any]] = []
        self._said = threading.Condition()
        self._is_over = False
        self.process = subprocess.Popen(
            [str(BIN / "a2a-sup"), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "XDG_STATE_HOME": str(folder / "state"),
                "A2A_SUP_CONTROL": "off",
                "A2A_SUP_LOG_FORMAT": "json",
                **env,
            },
        )
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                try:
                    said = json.loads(line)
                except ValueError:
                    said = {"event": line}
                with self._said:
                    self.log.append(said)
                    self._said.notify_all()
        with self._said:
            self._is_over = True
            self._said.notify_all()

    def until(self, event: str, *, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until the log has said this so many times; return the last of them."""

        def told() -> list[dict[str, Any]]:
            return [x for x in self.log if x["event"] == event and fields.items() <= x.items()]

        with self._said:
            self._said.wait_for(lambda: len(told()) >= times or self._is_over, SECONDS)
            assert len(told()) >= times, (event, self.log)
            return told()[-1]

    def kill(self, child: str) -> None:
        """Kill the process of a child, as if it had crashed."""
        os.kill(int(self.until("child.started", child=child)["pid"]), signal.SIGKILL)

    @property
    def url(self) -> str:
        """Where its page is."""
        where = str(self.until("tree.started")["http"])
        return where if "://" in where else f"http://{where}/"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(SECONDS)


Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs a tree, given as TOML, with its page and dashboard."""
    programs: list[Program] = []

    def start(toml: str, *words: object, **env: str) -> Program:
        file = tmp_path / "tree.toml"
        file.write_text(toml, encoding="utf-8")
        given = [str(word) for word in words]
        if "--http" not in given:
            given += ["--http", HTTP]
        if "--dashboard" not in given:
            given += ["--dashboard", HTTP]
        program = Program("run", file, *given, folder=tmp_path, **env)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "chromium is not here: run tests/system-parts"
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        # Without its sandbox, since that does not work for root, who runs tests in containers.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


REMEMBER_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Watched:
    """What a page did that it must not: filled while it lives, looked at when the test is over."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts = set[str]()
        page.add_init_script(REMEMBER_VIOLATIONS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda opened: self._asked(opened.url))

    def _dialog(self, dialog: Dialog) -> None:
        self.errors.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        # A server that is away, or says no, is told on the console by the browser itself.
        is_network = "ERR_" in message.text or "Failed to load resource" in message.text
        if message.type == "error" and not is_network:
            self.errors.append(message.text)

    def _asked(self, url: str) -> None:
        self.hosts.add(urlsplit(url).hostname or url)

    def check(self) -> None:
        """Fail if it did anything of that."""
        assert not self.errors
        assert self.page.evaluate("window.violations ?? []") == []
        assert self.hosts <= {"127.0.0.1"}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a page that must ask no other host, break no policy and raise nothing."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    watched = Watched(page)
    yield page
    watched.check()
    context.close()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(holds: Callable[[], object]) -> None:
    """Wait until something of the page, which tells nobody when it changes, is so."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.02)
