"""Children that run at times, or once: in files, and in the real program."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from a2a_sup.app.assembly import build
from a2a_sup.app.config import Config, ConfigError, read_config
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.settings import ProcessConfig
from a2a_sup.model.restarts import RestartType
from tests.app.conftest import Start
from tests.app.operating import running


def read(folder: Path, text: str) -> Config:
    file = folder / "tree.toml"
    file.write_text(text)
    return read_config(file, {})


def only(config: Config) -> ProcessConfig:
    (child,) = config.root.children
    assert isinstance(child, ProcessConfig)
    return child


# --- at times -------------------------------------------------------------------------------------


def test_the_times_are_shown_with_their_zone(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [defaults]
        timezone = "Europe/Berlin"
        [children.nightly]
        command = ["true"]
        cron = "0 3 * * *"
        [children.often]
        command = ["true"]
        every = "5m"
        """,
    )
    nightly, often = build(config, logs_dir=None).run.children  # type: ignore[union-attr]
    assert nightly.info["cron"] == "0 3 * * *"
    assert nightly.info["timezone"] == "Europe/Berlin"
    assert nightly.info["command"] == ["true"]
    assert often.info["every"] == 300
    assert "timezone" not in often.info


def test_other_times_restart_the_schedule(tmp_path: Path) -> None:
    text = '[children.job]\ncommand = ["true"]\nevery = "5m"\n'
    old = read(tmp_path, text)
    new = read(tmp_path, text.replace("5m", "6m"))
    assert [str(step) for step in plan(old, new).steps] == ["restart  job  (every)"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('cron = "61 * * * *"', r"children.job.cron: .*61.*; allowed: minute, hour.*bad minute"),
        ('cron = "0 0 30 2 *"', r"children.job.cron: "),
        ("cron = 5", r"children.job.cron: found 5; allowed: a text"),
        ('crn = "* * * * *"', "did you mean 'cron'"),
        ('every = "0s"', "above 0"),
        ('every = "5m"\ncron = "* * * * *"', "found every and cron; allowed: one of them"),
        ('every = "5m"\ntimezone = "UTC"', "children.job.timezone: .*without cron"),
        ('cron = "* * * * *"\ntimezone = "Mars"', "children.job.timezone: found .Mars."),
        ('every = "5m"\nnotify = true', "children.job.notify: found notify beside every"),
        ('every = "5m"\nprobes = [{ tcp = "127.0.0.1:1" }]', "found probes beside every"),
        ('every = "5m"\nessential = true', "found essential beside every"),
        ('every = "5m"\noneshot = true', "found oneshot beside every"),
        ('oneshot = true\nrestart = "permanent"', "found permanent beside oneshot"),
        ("oneshot = 1", "true or false"),
        (
            'every = "5m"\n[children.late]\ncommand = "x"\nafter = { job = "finished" }',
            "job runs at times and never finishes",
        ),
    ],
)
def test_mistakes(lines: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, f'[children.job]\ncommand = ["true"]\n{lines}\n')


@pytest.mark.parametrize("line", ['every = "5m"', 'cron = "* * * * *"', "oneshot = true"])
def test_servers_are_there_all_the_time(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a server waits for its clients"):
        read(tmp_path, f'[children.s]\nmcp = ["true"]\n{line}\n')


async def test_a_schedule_in_the_real_program(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        """
        [children.job]
        command = ["sh", "-c", "echo run >> runs; exit 3"]
        every = "200ms"
        [children.long]
        command = ["sh", "-c", "trap 'touch asked; exit 0' TERM; sleep 1000 & wait"]
        every = "100ms"
        """
    )
    program = await start("run", file)
    told = await program.until("child.reported", child="job", failed=2)
    assert told["level"] == "warning"
    assert told["last_run"]["status"] == "crashed: exited with status 3"
    await program.until("child.reported", child="long", missed=2)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert (tmp_path / "runs").read_text().count("run") >= 2
    assert (tmp_path / "asked").exists()
    assert not program.told("child.ended")


# --- once -----------------------------------------------------------------------------------------


def test_once_is_transient_whatever_the_defaults_say(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [defaults]
        restart = { type = "permanent", intensity = 7 }
        [children.migrate]
        command = ["true"]
        oneshot = true
        """,
    )
    assert only(config).restart.type is RestartType.TRANSIENT
    assert only(config).restart.intensity == 7
    text = '[children.job]\ncommand = ["true"]\n'
    once, twice = (
        read(tmp_path, f"{text}oneshot = true"),
        read(tmp_path, f'{text}restart = "transient"'),
    )
    assert once == twice
    assert only(read(tmp_path, f"{text}oneshot = false")).restart.type is RestartType.PERMANENT


async def test_others_wait_for_what_is_tried_until_it_succeeds(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        """
        [defaults]
        restart.backoff = ["50ms"]
        [children.migrate]
        command = ["sh", "-c", "test -e tried || { touch tried; exit 1; }; touch done"]
        oneshot = true
        [children.api]
        command = ["sh", "-c", "test -e done && exec sleep 1000"]
        after = { migrate = "finished" }
        """
    )
    program = await start("run", file)
    await program.until("child.started", child="api")
    await program.until("tree.started")
    assert len(program.told("child.started", child="migrate")) == 2
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert not program.told("child.ended", child="api")


# --- below a limit of memory ----------------------------------------------------------------------


async def test_a_child_that_grows_is_restarted_and_the_limit_is_named(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        """
        [children.grows]
        command = ["python3", "-c", "import time; held = b'x' * (96 << 20); time.sleep(1000)"]
        memory_limit = "64MiB"
        restart.backoff = []
        """
    )
    program = await start("run", file)
    await program.until("child.started", child="grows", times=2, seconds=40)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert "of 64 MiB" in str(program.log)


async def test_the_next_run_is_shown_and_what_changes_in_place_holds_for_it(
    start: Start, tmp_path: Path
) -> None:
    text = """
        [children.job]
        command = ["sh", "-c", "exit 3"]
        cron = "0 3 * * *"
        timezone = "Asia/Tokyo"
        [children.often]
        command = ["sh", "-c", "exit 3"]
        every = "100ms"
        """
    operator = await running(start, tmp_path / "tree.toml", text)
    rows = (await operator("status", "--json")).json["children"]
    row = next(row for row in rows if row["path"] == "job")
    assert row["next_run"].endswith("T03:00:00+09:00")
    assert (row["state"], row["pid"]) == ("running", None)
    assert row["next_run"] in (await operator("status")).out
    await operator.program.until("child.reported", child="often", failed=1)
    (tmp_path / "tree.toml").write_text(f"{text}success_exit_codes = [3]\n")
    assert (await operator("reload")).status == 0
    with trio.fail_after(20):
        while not any(
            line["last_run"]["status"] == "success"
            for line in operator.program.log
            if "last_run" in line
        ):
            await trio.sleep(0.01)
    assert not operator.program.told("child.stopped", child="often")
