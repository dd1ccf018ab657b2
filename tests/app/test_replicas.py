"""Copies of one process: in files, and more or fewer of them while they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup import ChildSpec, NoSuchChild, NotSupported, open_tree, supervisor, task
from a2a_sup.app.config import Config, ConfigError, read_config
from a2a_sup.app.operator import OperatorStops
from a2a_sup.app.reload import Reloader
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.reloading import Reloading
from a2a_sup.app.replicas import with_copies
from a2a_sup.app.settings import ChildConfig, ProcessConfig, SupervisorConfig
from a2a_sup.app.watch_patterns import watched_of

WEB = """
[children.web]
command = ["serve", "--port", "808{index}"]
env = { NAME = "web-{index}" }
replicas = 3
tags = ["t"]
[children.db]
command = ["db"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(WEB)
    return path


def copies_of(config: Config) -> tuple[ProcessConfig, ...]:
    web = config.root.children[0]
    assert isinstance(web, SupervisorConfig)
    return tuple(child for child in web.children if isinstance(child, ProcessConfig))


def build(config: Config) -> ChildSpec:
    def child(what: ChildConfig) -> ChildSpec:
        if isinstance(what, SupervisorConfig):
            return supervisor(what.name, map(child, what.children))
        return task(what.name, trio.sleep_forever)

    return child(config.root)


def names(tree: Any) -> list[str]:
    return [child.path for child in tree.snapshot().root.walk()]


def test_each_copy_knows_its_number(file: Path) -> None:
    found = copies_of(read_config(file, {}))
    assert [(copy.name, copy.argv[-1], copy.env["NAME"]) for copy in found] == [
        ("0", "8080", "web-0"),
        ("1", "8081", "web-1"),
        ("2", "8082", "web-2"),
    ]
    assert found[2].written == ("serve", "--port", "8082")
    assert {copy.restart.when_exhausted for copy in found} == {"isolate"}


def test_each_copy_watches_its_own_files(file: Path, tmp_path: Path) -> None:
    watch = 'watch = ["web-{index}.toml", "shared/*"]'
    file.write_text(WEB.replace("replicas = 3", f"replicas = 2\n{watch}"))
    config = with_copies(read_config(file, {}), {"web": 3})
    names = [f"{tmp_path}/{name}" for name in ("web-0.toml", "web-2.toml", "shared/a")]
    own = {
        one.path: [any(pattern.matches(name) for pattern in one.patterns) for name in names]
        for one in watched_of(config)
    }
    assert own == {
        "web/0": [True, False, True],
        "web/1": [False, False, True],
        "web/2": [False, True, True],
    }


def test_another_number_touches_only_the_last(file: Path) -> None:
    old = read_config(file, {})
    file.write_text(WEB.replace("replicas = 3", "replicas = 4"))
    new = read_config(file, {})
    assert [str(step) for step in plan(old, new).steps] == ["add      web/3"]
    assert [str(step) for step in plan(new, old).steps] == ["remove   web/3"]


@pytest.mark.parametrize(
    "line",
    ["replicas = -1", "replicas = 2000", "replicas = '3'", "replicas = 2\nsignificant = true"],
)
def test_mistakes(file: Path, line: str) -> None:
    file.write_text(WEB.replace("replicas = 3", line))
    with pytest.raises(ConfigError, match="allowed"):
        read_config(file, {})


def test_copies_for_what_has_none_are_ignored(file: Path) -> None:
    config = read_config(file, {})
    assert with_copies(config, {"db": 3, "gone": 2, "web/0": 1}) == config


async def test_scaled_up_and_down_and_kept_over_a_reload(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "operator.json"
    stops = OperatorStops(kept)
    config = read_config(file, {})
    async with open_tree(build(config)) as tree:
        reloading = Reloading(Reloader(tree, config, build), lambda: read_config(file, {}), stops)
        told = await reloading.scale("web", 5)
        assert [step["child"] for step in told["applied"]] == ["web/3", "web/4"]
        assert names(tree) == ["web", *(f"web/{number}" for number in range(5)), "db"]
        assert not (await reloading.reload(plan_only=False))["plan"]["steps"]
        await reloading.scale("web", 1)
        assert names(tree) == ["web", "web/0", "db"]
        assert tree.snapshot().root.children[0].incarnation == 1
    assert with_copies(config, OperatorStops(kept).copies) == with_copies(config, {"web": 1})


async def test_what_cannot_be_scaled_is_told(file: Path, tmp_path: Path) -> None:
    config = read_config(file, {})
    stops = OperatorStops(tmp_path / "operator.json")
    async with open_tree(build(config)) as tree:
        reloading = Reloading(Reloader(tree, config, build), lambda: config, stops)
        with pytest.raises(NotSupported, match="replicas"):
            await reloading.scale("db", 2)
        with pytest.raises(NoSuchChild):
            await reloading.scale("nobody", 2)
        with pytest.raises(NotSupported, match="0 to 1000"):
            await reloading.scale("web", -1)
        assert len(names(tree)) == 5
        assert stops.copies == {}
