"""Children that are restarted when files change."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import structlog
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import Backoff, ChildContext, ChildSpec, State, TreeHandle, open_tree, supervisor, task
from a2a_sup.app import watching
from a2a_sup.app.config import Config, ConfigError, read_config
from a2a_sup.app.reload import Reloader
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.settings import ChildConfig, SupervisorConfig
from a2a_sup.app.watch_patterns import Scope, pattern_of, watched_of
from a2a_sup.app.watching import BURST, CALM, Pace, Watching
from a2a_sup.serve.api_commands import Commands
from tests.app.conftest import Start

TREE = """
[children.web]
command = ["web"]
watch = ["src/**/*.py", "config.toml"]
[children.db]
command = ["db"]
watch = "db.toml"
[children.quiet]
command = ["quiet"]
"""


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


async def eventually(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


# --- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant", "others"),
    [
        ("config.toml", ["config.toml"], ["src/config.toml", "config.toml.new", "xconfig.toml"]),
        ("*.py", ["a.py"], ["src/a.py", ".a.py", "a.pyc"]),
        ("src/**/*.py", ["src/a.py", "src/b/c/a.py"], ["a.py", "src/.git/a.py", "src/a.py~"]),
        ("src/**", ["src/a", "src/b/c"], ["src/b/__pycache__/c.pyc", "src", "srcs/a"]),
        ("src/*/x.?", ["src/a/x.c"], ["src/x.c", "src/a/b/x.c", "src/a/x.cc"]),
        (".env", [".env"], ["env"]),
        ("**/.env", [".env", "a/.env"], [".a/.env"]),
        ("../shared/[ab].c", ["../shared/a.c"], ["../shared/c.c"]),
        ("**/**/x", ["x", "a/b/x"], ["xx"]),
    ],
)
def test_what_a_pattern_means(written: str, meant: list[str], others: list[str]) -> None:
    pattern = pattern_of("/app", written)
    assert [name for name in meant if not pattern.matches(os.path.normpath(f"/app/{name}"))] == []
    assert [name for name in others if pattern.matches(os.path.normpath(f"/app/{name}"))] == []


NAMES = st.sampled_from(["a", "b", "ab", ".h", "a.py"])
PARTS = st.sampled_from(["a", "*", "**", "?", "a*", ".*", "*.py"])


@given(
    st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12),
    st.lists(PARTS, min_size=1, max_size=4).map("/".join),
)
def test_patterns_mean_what_they_mean_to_a_shell(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], written: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    try:
        for file in files:
            parents = [str(parent) for parent in Path(file).parents]
            below = any(other.startswith(f"{file}/") for other in files)
            if not below and not files.intersection(parents):
                write(root / file, "")
        found = glob.glob(written, root_dir=root, recursive=True)  # noqa: PTH207 - hides what is hidden
        # Of a file "a", glob says that "a/**" means "a/".
        names = [name for name in found if not name.endswith("/")]
        wanted = {str(root / name) for name in names if (root / name).is_file()}
        assert Scope(frozenset([pattern_of(str(root), written)]), "/state").scan().keys() == wanted
    finally:
        shutil.rmtree(root)


def test_the_directory_of_the_state_does_not_count(tmp_path: Path) -> None:
    write(tmp_path / "state/logs/a.log", "x")
    write(tmp_path / "a.log", "x")
    scope = Scope(frozenset([pattern_of(str(tmp_path), "**/*.log")]), str(tmp_path / "state"))
    assert list(scope.scan()) == [str(tmp_path / "a.log")]
    assert not scope.means(str(tmp_path / "state/logs/a.log"))


# --- files ----------------------------------------------------------------------------------------


def read(folder: Path, text: str = TREE) -> Config:
    write(folder / "tree.toml", text)
    return read_config(folder / "tree.toml", {})


def test_other_patterns_restart_nothing(tmp_path: Path) -> None:
    old, new = read(tmp_path), read(tmp_path, TREE.replace("db.toml", "db.json"))
    assert [str(step) for step in plan(old, new).steps] == ["update   db  (watch)"]


@pytest.mark.parametrize("line", ["watch = 3", "watch = ['']", "watch = 'src/'", "wach = 'a'"])
def test_mistakes(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"children.quiet.wa"):
        read(tmp_path, f"{TREE}{line}")


# --- changes --------------------------------------------------------------------------------------


def build(config: Config) -> ChildSpec:
    def child(what: ChildConfig) -> ChildSpec:
        if isinstance(what, SupervisorConfig):
            return supervisor(what.name, map(child, what.children))
        if what.argv[0] == "scribble":
            return task(what.name, partial(scribble, Path(what.cwd, "written")))
        return task(what.name, trio.sleep_forever)

    return child(config.root)


async def scribble(file: Path, task_status: ChildContext) -> None:
    """Stand in for a process that writes into a file whenever it is started."""
    task_status.started()
    write(file, "x" * task_status.number)
    await trio.sleep_forever()


class Bench:
    """A tree whose files are watched."""

    def __init__(self, tree: TreeHandle, reloader: Reloader) -> None:
        self.tree = tree
        self.reloader = reloader
        self.stopped: set[str] = set()
        self.watching: Watching | None = None

    async def until_watched(self) -> None:
        assert self.watching is not None
        await eventually(
            lambda: (
                self.watching is not None
                and self.watching.watched == watched_of(self.reloader.config)
            )
        )

    def starts(self, name: str = "web") -> int:
        child = self.tree.child(name)
        assert child is not None
        return child.incarnation

    async def until_started(self, times: int, name: str = "web") -> None:
        with trio.fail_after(10):
            await self.tree.wait_until(lambda _: self.starts(name) >= times)
        assert self.starts(name) == times


@asynccontextmanager
async def bench(folder: Path, text: str = TREE) -> AsyncIterator[Bench]:
    config = read(folder, text)
    async with open_tree(build(config)) as tree, trio.open_nursery() as nursery:
        reloader = Reloader(tree, config, build)
        commands = Commands(tree, lambda _verb, _path: None)
        made = Bench(tree, reloader)
        watching = Watching(
            tree,
            reloader,
            lambda path: commands.run("restart", path, "watch"),
            is_stopped=lambda path: path in made.stopped,
            ignored=str(folder / "state"),
        )
        await nursery.start(watching.run)
        made.watching = watching
        await made.until_watched()
        yield made
        nursery.cancel_scope.cancel()


def change(file: Path) -> None:
    write(file, f"{file.stat().st_size if file.exists() else ''} and more\n" * 3)


async def test_only_those_whose_files_changed_are_restarted(tmp_path: Path) -> None:
    write(tmp_path / "src/a.py", "")
    async with bench(tmp_path) as it:
        change(tmp_path / "src/a.py")
        await it.until_started(2)
        change(tmp_path / "config.toml")
        await it.until_started(3)
        change(tmp_path / "src/unrelated.txt")
        change(tmp_path / "db.toml")
        await it.until_started(2, "db")
        assert (it.starts(), it.starts("quiet")) == (3, 1)


async def test_directories_may_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BURST", 100)
    async with bench(tmp_path) as it:  # there is no src yet
        write(tmp_path / "src/deep/a.py", "1")
        await it.until_started(2)
        write(tmp_path / "src/other/b.py", "1")
        await it.until_started(3)
        (tmp_path / "src/other").rename(tmp_path / "elsewhere")
        await it.until_started(4)
        shutil.rmtree(tmp_path / "src")
        await it.until_started(5)
        write(tmp_path / "src/deep/a.py", "2")
        await it.until_started(6)
        change(tmp_path / "src/deep/a.py")
        await it.until_started(7)


async def test_who_was_stopped_by_an_operator_stays_down(tmp_path: Path) -> None:
    async with bench(tmp_path, TREE.replace('"db.toml"', '"config.toml"')) as it:
        await it.tree.terminate_child("web")
        change(tmp_path / "config.toml")
        await it.until_started(2, "db")
        await it.tree.restart_child("web")
        it.stopped.add("web")
        change(tmp_path / "config.toml")
        await it.until_started(3, "db")
        web = it.tree.child("web")
        assert web is not None
        assert (web.state, web.incarnation) == (State.RUNNING, 2)


async def test_other_patterns_hold_from_their_reload_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.reloader.apply(read(tmp_path, TREE + 'watch = "quiet/*"\n'))
        await it.until_watched()
        change(tmp_path / "quiet/a")
        await it.until_started(2, "quiet")
        change(tmp_path / "db.toml")
        await it.until_started(2, "db")
        await it.reloader.apply(read(tmp_path, TREE.replace('watch = "db.toml"', "")))
        await it.until_watched()
        change(tmp_path / "db.toml")
        change(tmp_path / "config.toml")
        await it.until_started(2)
        assert it.starts("db") == 2


# --- too often ------------------------------------------------------------------------------------


def test_a_few_restarts_are_free_then_each_waits_longer_until_it_is_calm() -> None:
    pace = Pace()

    def changed_at(now: float) -> float:
        wait = pace.wait(now)
        pace.restarted(now + wait)
        return now + wait

    now = 0.0
    for _ in range(BURST):
        assert changed_at(now) == now
        now += 5
    waits = []
    for _ in range(8):
        waits.append(changed_at(now) - now)
        now += waits[-1] + 5
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    now += CALM
    assert [changed_at(now + number) - now - number for number in range(BURST + 1)] == [0, 0, 0, 1]


def test_restarts_that_are_far_enough_apart_never_wait() -> None:
    pace = Pace()
    for number in range(100):
        assert pace.wait(number * CALM / (BURST - 1)) == 0
        pace.restarted(number * CALM / (BURST - 1))


async def test_a_child_that_writes_what_it_watches_is_slowed_down_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WAITS", Backoff((0.01,)))
    text = '[children.web]\ncommand = ["scribble"]\nwatch = "writ*"\n'
    with structlog.testing.capture_logs() as log:
        async with bench(tmp_path, text) as it:
            change(tmp_path / "written")
            # Every start after this one is the child's own doing.
            await eventually(lambda: it.starts() >= BURST + 3)
    (told,) = [line for line in log if line["event"] == "watch.slowed"]
    assert (told["child"], told["files"]) == ("web", [str(tmp_path / "written")])
    assert (told["log_level"], told["restarts"]) == ("warning", BURST)


async def test_a_reload_ends_the_wait_and_forgets_whoever_watches_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WAITS", Backoff((1000.0,)))
    both = TREE.replace('"config.toml"]', '"db.toml"]')
    with structlog.testing.capture_logs() as log:
        async with bench(tmp_path, both) as it:

            def slowed() -> set[str]:
                return {line["child"] for line in log if line["event"] == "watch.slowed"}

            for times in range(2, BURST + 2):
                change(tmp_path / "db.toml")
                await it.until_started(times)
                await it.until_started(times, "db")
            change(tmp_path / "db.toml")
            await eventually(lambda: slowed() == {"web", "db"})
            await it.reloader.apply(read(tmp_path, both.replace('watch = "db.toml"', "")))
            await it.until_started(BURST + 2)
            assert it.starts("db") == BURST + 1
            await it.until_watched()
            change(tmp_path / "src/a.py")  # another file list, another beginning
            await it.until_started(BURST + 3)
            assert it.starts("db") == BURST + 1


async def test_in_the_real_program(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        f"""
        [defaults]
        restart = {{ backoff = [], intensity = 0 }}
        [children.web]
        command = ["{sys.executable}", "src/web.py"]
        watch = ["src/**/*.py"]
        """
    )
    web = "import pathlib, time; pathlib.Path('up{}').touch(); time.sleep(1000)"
    write(tmp_path / "src/web.py", web.format(1))
    program = await start("run", file)
    await program.until("tree.started")
    await program.until("watch.started")
    await eventually((tmp_path / "up1").exists)
    for times in (2, 3):  # more often than its budget would allow
        write(tmp_path / "src/web.py", web.format(times))
        told = await program.until("watch.changed", child="web", times=times - 1)
        assert told["files"] == [str(tmp_path / "src/web.py")]
        await program.until("child.started", child="web", times=times)
        await eventually((tmp_path / f"up{times}").exists)
    write(tmp_path / "src/web.py", "raise SystemExit('a mistake')")
    await program.until("child.failed", child="web")
    write(tmp_path / "src/web.py", web.format(5))
    await program.until("child.started", child="web", times=5)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
