"""The image: PID 1 of a read-only container without privileges, in every bed that runs here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.image.beds import BEDS, IMAGE, Box, beds, inspected, output_of, until

Start = Callable[..., Box]

QUICK = '[defaults]\nrestart = { backoff = ["50ms"], intensity = 3, period = "60s" }\n'
TREE = QUICK + (
    '[children.first]\ncommand = ["sleep", "1000"]\n'
    '[children.second]\ncommand = ["sleep", "1001"]\n'
)
GRACE = 10
"""Seconds that docker and podman give a container to stop."""


@pytest.fixture(params=beds())
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Return a function that runs the image with a tree."""
    boxes: list[Box] = []

    def start_box(
        tree: str | None = TREE,
        *words: str,
        memory: int | None = None,
        state_mode: int = 0o700,
        **env: str,
    ) -> Box:
        etc = tmp_path / "etc"
        etc.mkdir()
        etc.chmod(0o755)
        if tree is not None:
            (etc / "tree.toml").write_text(tree, encoding="utf-8")
        box = BEDS[request.param](
            etc,
            *words,
            env={"A2A_SUP_LOG_FORMAT": "json", **env},
            memory=memory,
            state_mode=state_mode,
            place=tmp_path,
        )
        boxes.append(box)
        return box

    yield start_box
    for box in boxes:
        box.remove()


def test_it_is_pid_1_of_an_ordinary_user_and_nothing_else_is_writable(start: Start) -> None:
    box = start()
    box.until("tree.started")
    said = box.python(
        "import os\n"
        "status = open('/proc/1/status').read().split()\n"
        "print(open('/proc/1/cmdline').read().split(chr(0))[1:3])\n"
        "keys = ('Uid:', 'Gid:', 'CapEff:', 'NoNewPrivs:')\n"
        "print([status[status.index(key) + 1] for key in keys])\n"
        "print(sorted(p for p in ('/', '/etc', '/opt/a2a-sup', '/var/lib/a2a-sup', '/tmp')\n"
        "             if os.access(p, os.W_OK)))\n"
    ).splitlines()
    assert said == [
        "['/opt/a2a-sup/bin/a2a-sup', 'run']",
        "['10001', '10001', '0000000000000000', '1']",
        "['/tmp', '/var/lib/a2a-sup']",
    ]


def test_sigterm_stops_in_order_and_the_status_is_0_inside_the_grace_period(start: Start) -> None:
    box = start('[supervisor]\nstop_order = "reverse"\n' + TREE)
    box.until("tree.started")
    began = time.monotonic()
    box.stop()
    status, _ = box.ended()
    assert status == 0
    assert time.monotonic() - began < GRACE
    assert [line["child"] for line in box.told("child.stopped")] == ["second", "first"]


def test_a_killed_child_comes_back_and_its_sibling_does_not_notice(start: Start) -> None:
    box = start()
    pid = box.until("child.started", child="first")["pid"]
    box.run("sh", "-c", f"kill -KILL {pid}")
    assert box.until("child.started", child="first", times=2)["pid"] != pid
    assert box.told("child.ended")[0]["reason"] == "killed: killed by SIGKILL"
    assert len(box.told("child.started", child="second")) == 1


def test_orphans_are_reaped(start: Start) -> None:
    """In their own session, ended by themselves, and nobody's but PID 1's to wait for."""
    tree = QUICK + (
        '[children.careless]\ncommand = ["sh", "-c", '
        '"for i in 1 2 3; do (setsid sleep 0.3 &); done; exec sleep 1000"]\n'
    )
    box = start(tree)
    box.until("tree.started")
    look = (
        "import os\n"
        "for pid in filter(str.isdecimal, os.listdir('/proc')):\n"
        "    try: fields = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()\n"
        "    except OSError: continue\n"
        "    if int(pid) != os.getpid(): print(pid, fields[0], fields[1])\n"
    )
    until(lambda: len(box.python(look).splitlines()) == 2)
    assert "Z" not in box.python(look)


def test_the_status_is_1_when_the_root_gives_up(start: Start) -> None:
    box = start(
        '[supervisor]\nintensity = 1\nperiod = "60s"\n[children.bad]\ncommand = ["false"]\n'
    )
    assert box.ended()[0] == 1
    assert "bad" in box.told("tree.failed")[0]["because"]


@pytest.mark.parametrize(("end", "status"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_status_is_that_of_an_essential_child(start: Start, end: str, status: int) -> None:
    job = f'command = ["sh", "-c", "{end}"]\nrestart = "temporary"\nessential = true\n'
    assert start(TREE + "[children.job]\n" + job).ended()[0] == status


def test_out_of_memory_is_told_apart_from_a_kill(start: Start) -> None:
    hog = "x = []\nwhile True: x.append(bytearray(b'x' * 2**20))"
    tree = TREE + f'[children.hog]\ncommand = ["python3", "-c", """{hog}"""]\n'
    box = start(tree.replace('"50ms"', '"600s"'), memory=128 * 2**20)
    ended = box.until("child.ended", child="hog")
    assert ended["reason"] == "out_of_memory: killed by the kernel: out of memory"
    # A tick after which the kernel's count explains nothing any more.
    until(lambda: time.time() - _epoch(ended) > 3)
    box.run("sh", "-c", f"kill -KILL {box.told('child.started', child='first')[0]['pid']}")
    assert box.until("child.ended", child="first")["reason"] == "killed: killed by SIGKILL"
    assert len(box.told("child.started", child="second")) == 1
    box.stop()
    assert box.ended()[0] == 0


def _epoch(line: dict[str, str]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def test_the_output_of_children_leaves_by_standard_output(start: Start) -> None:
    tree = QUICK + '[children.talks]\ncommand = ["sh", "-c", "echo hello; exec sleep 1000"]\n'
    box = start(tree, A2A_SUP_LOGS="stdout")
    until(lambda: "hello" in box.output)
    assert box.output.startswith("talks")


def test_it_answers_its_health_check(start: Start) -> None:
    box = start()
    box.until("tree.started")
    _, *command = inspected("{{json .Config.Healthcheck.Test}}")
    done = box.run(*command)
    assert done.returncode == 0, done.stderr
    box.python(
        "import socket, urllib.request\n"
        "assert urllib.request.urlopen('http://127.0.0.1:3000/readyz').status == 200\n"
    )


def test_a_health_check_of_nothing_fails(start: Start) -> None:
    box = start(TREE, A2A_SUP_HTTP="off")
    box.until("tree.started")
    _, *command = inspected("{{json .Config.Healthcheck.Test}}")
    assert box.run(*command).returncode == 1


# --- bad starts: one clear line, the documented status, at once -----------------------------------


def lines(box: Box) -> list[str]:
    return [line for line in box.errors.splitlines() if not line.startswith("time=")]


def test_no_configuration(start: Start) -> None:
    box = start(None)
    status, seconds = box.ended()
    (line,) = lines(box)
    assert status == 2
    assert "/etc/a2a-sup/tree.toml" in line
    assert seconds < 2 + STARTING


def test_a_state_volume_that_cannot_be_written(start: Start) -> None:
    box = start(TREE, state_mode=0o500)
    status, seconds = box.ended()
    (line,) = lines(box)
    assert status == 1
    assert "/var/lib/a2a-sup" in line
    assert "Permission denied" in line
    assert seconds < 2 + STARTING


def test_a_bad_token_file(start: Start) -> None:
    box = start('[serve]\ntoken_file = "/etc/a2a-sup/token"\n' + TREE)
    status, seconds = box.ended()
    (line,) = lines(box)
    assert status == 2
    assert "/etc/a2a-sup/token" in line
    assert seconds < 2 + STARTING


def test_a_taken_port(start: Start) -> None:
    """Taken by a second supervisor inside, with a state of its own: the first has the port."""
    box = start(TREE, A2A_SUP_CONTROL="off")
    box.until("tree.started")
    began = time.monotonic()
    second = box.run("a2a-sup", "run", "--state-dir", "/tmp/second", "/etc/a2a-sup/tree.toml")
    assert time.monotonic() - began < 2 + STARTING
    said = [json.loads(line) for line in second.stderr.splitlines()]
    (line,) = [line for line in said if line["event"] != "tree.stopped"]
    assert second.returncode == 1
    # Whichever of the two it tried first.
    assert re.search(r"0\.0\.0\.0:(3000|9000): address already in use", line["because"])


STARTING = 4
"""Seconds that a busy machine's engine may take to make the container; the program has 2."""


# --- the files ------------------------------------------------------------------------------------


def test_the_image_says_what_it_is_and_runs_as() -> None:
    assert inspected("{{json .Config.User}}") == "10001:10001"
    assert inspected("{{json .Config.Volumes}}") == {"/var/lib/a2a-sup": {}}
    assert inspected("{{json .Config.ExposedPorts}}") == {"3000/tcp": {}, "9000/tcp": {}}
    assert inspected("{{json .Config.Entrypoint}}") == ["a2a-sup", "run"]
    labels = inspected("{{json .Config.Labels}}")
    kinds = ("title", "description", "licenses", "version", "revision")
    assert {f"org.opencontainers.image.{kind}" for kind in kinds} <= labels.keys()


def test_no_build_tools_are_in_it() -> None:
    files = Path(output_of("podman", "image", "mount", IMAGE))
    tools = ("gcc", "cc", "make", "git", "curl", "wget", "uv")
    assert not [tool for tool in tools if (files / "usr/bin" / tool).exists()]
    installed = (files / "opt/a2a-sup/lib").glob("python3*/site-packages/*")
    packages = {path.name for path in installed}
    assert not packages & {"pip", "setuptools", "wheel", "hatchling", "pytest", "mypy"}
    assert "a2a_sup" in packages
    assert not list(files.glob("src*"))
