"""From configuration files to the specification of a tree."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from a2a_sup.app.config import Config, build, build_child, read_config
from a2a_sup.app.settings import ProcessConfig
from a2a_sup.errors import SpecError
from a2a_sup.model.restarts import Backoff
from a2a_sup.model.spec import SupervisorSpec
from a2a_sup.model.strategy import AutoShutdown, Strategy

TREE = """
[supervisor]
name = "shop"
intensity = 3
period = "10s"
auto_shutdown = "any_significant"
[defaults]
tags = ["t"]
[children.api]
command = ["serve", "--port", "80"]
restart = "transient"
significant = true
start_timeout = "9s"

[children.time]
mcp = ["mcp-server-time"]
[children.group]
strategy = "rest_for_one"
[children.group.children.a]
mcp = ["x"]
restart.backoff = ["1s"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "tree.toml").write_text(TREE)
    return read_config(tmp_path / "tree.toml", {})


def test_the_root(config: Config) -> None:
    root = build(config, logs_dir=None)
    assert (root.name, root.kind) == ("shop", "supervisor")
    spec = root.run
    assert isinstance(spec, SupervisorSpec)
    assert (spec.strategy, spec.intensity, spec.period) == (Strategy.ONE_FOR_ONE, 3, 10)
    assert spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
    assert spec.stop_order == "parallel"
    assert [child.name for child in spec.children] == ["api", "time", "group"]


def test_children(config: Config, tmp_path: Path) -> None:
    root: Any = build(config, logs_dir=tmp_path / "logs")
    api, time, group = root.run.children
    assert (api.kind, time.kind, group.kind) == ("process", "mcp", "supervisor")
    assert api.info == {"command": ["serve", "--port", "80"], "cwd": str(tmp_path)}
    assert api.significant

    assert api.start_timeout == 9
    assert api.tags == ("t",)
    assert time.restart.when_exhausted == "isolate"
    (a,) = group.run.children
    assert a.restart.backoff == Backoff((1,))
    assert a.restart.when_exhausted == "escalate"


def test_one_child_alone(config: Config) -> None:
    for child in config.root.children:
        assert build_child(child, logs_dir=None).name == child.name


def test_every_child_that_this_installation_cannot_run_is_named(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError) as caught:
        build(config, logs_dir=None)
    assert [problem[:20] for problem in caught.value.problems] == [
        "child 'time': it nee",
        "child 'a': it needs ",
    ]


def test_a_secret_in_a_command_is_run_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("[children.a]\ncommand = 'serve --key ${KEY}'")
    config = read_config(file, {"KEY": "hidden"})
    (child,) = config.root.children
    assert isinstance(child, ProcessConfig)
    assert child.argv == ("serve", "--key", "hidden")
    spec: Any = build(config, logs_dir=None)
    assert spec.run.children[0].info["command"] == ["serve", "--key", "${KEY}"]
    assert "hidden" not in repr(config)


def test_a_secret_in_the_arguments_of_a_client_file_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text('{"mcpServers": {"a": {"command": "serve", "args": ["${KEY}"]}}}')
    config = read_config(file, {"KEY": "hidden"})
    spec: Any = build(config, logs_dir=None)
    assert spec.run.children[0].info["command"] == ["serve", "${KEY}"]
    assert "hidden" not in repr(config)
