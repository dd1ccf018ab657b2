"""Copies of one process: in files, and more or fewer of them while they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup import (
    ChildSpec,
    NoSuchChild,
    NotSupported,
    SpecError,
    open_tree,
    supervisor,
    task,
)
from a2a_sup.app import assembly
from a2a_sup.app.assembly import check_child
from a2a_sup.app.config import Config, ConfigError, read_config
from a2a_sup.app.operator import OperatorStops
from a2a_sup.app.probes import probes_of
from a2a_sup.app.reload import CannotReload, Reloader
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.reloading import Reloading
from a2a_sup.app.replicas import with_copies
from a2a_sup.app.settings import ChildConfig, ProcessConfig, SupervisorConfig
from a2a_sup.app.watch_patterns import watched_of
from a2a_sup.checks.tcp import TCPCheck
from a2a_sup.model.health import Purpose

WEB = """
[children.web]
command = ["serve", "--port", "808{index}"]
env = { NAME = "web-{index}" }
replicas = 3
tags = ["t"]
[children.db]
command = ["db"]
"""

PROBED = """
[children.web]
command = ["serve", "--port", "6553{index}"]
cwd = "web-{index}"
env_file = "{index}.env"
probes = [
  { http = "http://127.0.0.1:6553{index}/health" },
  { tcp = "127.0.0.1:6553{index}", purpose = "readiness" },
  { command = ["look", "{index}"], name = "look at {index}", purpose = "startup" },
]
replicas = 3
"""


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(PROBED)
    return path


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


def test_each_copy_is_asked_at_its_own_place(probed: Path, tmp_path: Path) -> None:
    last = copies_of(read_config(probed, {}))[2]
    assert (last.cwd, last.env_file) == (f"{tmp_path}/web-2", f"{tmp_path}/2.env")
    assert [probe.target for probe in last.probes] == [
        "http://127.0.0.1:65532/health",
        "127.0.0.1:65532",
        ("look", "2"),
    ]
    http, tcp, look = probes_of(last)
    assert (http.name, tcp.check) == (
        "http http://127.0.0.1:65532/health",
        TCPCheck("127.0.0.1", 65532),
    )
    assert (look.name, look.purpose) == ("look at 2", Purpose.STARTUP)


def test_a_number_that_makes_no_port_is_told_with_its_place(file: Path) -> None:
    file.write_text(PROBED.replace("replicas = 3", "replicas = 7"))
    with pytest.raises(ConfigError) as raised:
        read_config(file, {})
    assert str(raised.value) == (
        f'{file}: children.web.probes[0]: found "http http://127.0.0.1:65536/health"; '
        "allowed: a URL that begins with http://, https:// or http+unix://"
    )


@pytest.mark.parametrize("defaults", [True, False])
def test_a_number_in_a_probe_needs_copies(file: Path, defaults: bool) -> None:
    probes = 'probes = [{ tcp = "127.0.0.1:808{index}" }]'
    tables = ["[defaults]", probes, "[children.web]", 'command = ["serve"]']
    file.write_text("\n".join(tables if defaults else [*tables[2:], probes]))
    with pytest.raises(ConfigError) as raised:
        read_config(file, {})
    place = "children.web" if defaults else "children.web.probes[0]"
    assert str(raised.value) == (
        f'{file}: {place}: found "tcp 127.0.0.1:808{{index}}"; '
        "allowed: {index} beside replicas only"
    )


async def test_scaling_to_a_number_that_makes_no_port_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    probes = 'probes = [{ tcp = "127.0.0.1:6553{index}" }]'
    file.write_text(f'[children.web]\ncommand = ["sh"]\n{probes}\nreplicas = 3')
    config = read_config(file, {})
    stops = OperatorStops(tmp_path / "operator.json")
    async with open_tree(build(config)) as tree:
        reloader = Reloader(tree, config, build, check_child)
        with pytest.raises(CannotReload) as raised:
            await Reloading(reloader, lambda: config, stops).scale("web", 100)
        [problem] = raised.value.problems
        assert problem.startswith('web/6: found "tcp 127.0.0.1:65536"; allowed: a host and a port')
        assert names(tree) == ["web", "web/0", "web/1", "web/2"]
    assert stops.copies == {}
    with pytest.raises(SpecError, match=r"child '6': found .* allowed: a host"):
        assembly.build(with_copies(config, {"web": 7}), logs_dir=None)


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
