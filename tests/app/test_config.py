"""What correct configuration files mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from a2a_sup.app.config import read_config
from a2a_sup.app.settings import LogSettings, McpConfig, ProcessConfig, Skipped, SupervisorConfig
from a2a_sup.children.mcp import ENVIRONMENT
from a2a_sup.model.restarts import Backoff, Restart, RestartType
from a2a_sup.model.strategy import AutoShutdown, Strategy
from a2a_sup.serve.webhooks import Webhook

Read: TypeAlias = Callable[..., Any]
"""Returns a Config, as Any: each test knows what kinds of children it asks for."""

ENVIRON = {"HOME": "/home/of", "TOKEN": "t0p", "PATH": "/bin"}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a configuration given as the texts of its files; the first one is the root's."""

    def read_files(toml: str = "", name: str = "tree.toml", **others: str) -> Any:
        for file, text in {name: toml, **others}.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_config(tmp_path / name, ENVIRON)

    return read_files


def names(supervisor: SupervisorConfig) -> list[str]:
    return [child.name for child in supervisor.children]


def test_an_empty_file_is_an_empty_tree(read: Read) -> None:
    config = read()
    assert config.root == SupervisorConfig(name="root", stop_order="parallel")
    assert config.skipped == ()


def test_the_defaults_of_a_process(read: Read, tmp_path: Path) -> None:
    (child,) = read('[children.api]\ncommand = ["serve"]').root.children
    assert child == ProcessConfig(
        name="api",
        argv=("serve",),
        cwd=str(tmp_path),
        restart=Restart(when_exhausted="isolate"),
    )
    assert child.inherit_env == "all"


def test_webhooks(read: Read) -> None:
    config = read("""
        [[webhooks]]
        url = "https://hooks.example/${TOKEN}"
        events = ["child.*"]
        secret = "${TOKEN}"
        timeout = "3s"
        retries = 0
        [[webhooks]]
        url = "http://127.0.0.1:8080"
        """)
    assert config.webhooks == (
        Webhook("https://hooks.example/t0p", ("child.*",), "t0p", 3, 0),
        Webhook("http://127.0.0.1:8080"),
    )


def test_every_key_of_a_process(read: Read, tmp_path: Path) -> None:
    (child,) = read("""
        [supervisor]
        auto_shutdown = "any_significant"
        [children.api]
        command = ["serve", "--token", "${TOKEN}"]
        cwd = "data"
        env = { A = "${NONE:-x}", B = "" }
        inherit_env = ["PATH"]
        env_file = "${HOME}/.env"
        user = "nobody"
        group = 65534
        umask = "0027"
        nice = 5
        limits = { nofile = 1024, core = 0, as = "1GiB", cpu = "1m" }
        stop_signal = "int"
        stop_timeout = "500ms"
        success_exit_codes = [3, 0, 3]
        significant = true
        start_timeout = 10
        tags = ["web", "demo"]
        logs = { max_size = "1MiB", keep = 2, max_age = "1d", gzip = true, format = "json" }
        [children.api.restart]
        type = "transient"
        backoff = ["1s", 2, 0.5]
        intensity = 5
        period = "1m"
        when_exhausted = "escalate"
        min_uptime = "2s"
        """).root.children
    assert child == ProcessConfig(
        name="api",
        argv=("serve", "--token", "t0p"),
        cwd=str(tmp_path / "data"),
        env={"A": "x", "B": ""},
        inherit_env=("PATH",),
        env_file="/home/of/.env",
        user="nobody",
        group=65534,
        umask=0o027,
        nice=5,
        limits={"nofile": 1024, "core": 0, "as": 2**30, "cpu": 60},
        stop_signal="SIGINT",
        stop_timeout=0.5,
        success_exit_codes=(0, 3),
        significant=True,
        start_timeout=10,
        tags=("web", "demo"),
        logs=LogSettings(2**20, 2, max_age=86_400, gzip=True, format="json"),
        restart=Restart("transient", Backoff((1, 2, 0.5)), 5, 60, "escalate", 2),
    )


@pytest.mark.parametrize(
    ("written", "argv"),
    [
        ('"serve --port 80"', ("serve", "--port", "80")),
        ('''"sh -c 'exec serve \\"$X\\"'"''', ("sh", "-c", 'exec serve "$X"')),
        ('"say ${WORDS:-two}"', ("say", "two")),
        ('''"say '${NONE:-two words}'"''', ("say", "two words")),
        ('"say ${TOKEN}"', ("say", "t0p")),
        ('["a b", ""]', ("a b", "")),
    ],
)
def test_commands(read: Read, written: str, argv: tuple[str, ...]) -> None:
    (child,) = read(f"[children.a]\ncommand = {written}").root.children
    assert child.argv == argv


def test_a_variable_is_one_argument_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('children.a.command = "run ${WORDS}"')
    config: Any = read_config(tmp_path / "t.toml", {"WORDS": "two words; 'and"})
    assert config.root.children[0].argv == ("run", "two words; 'and")


@pytest.mark.parametrize(
    ("written", "restart"),
    [
        ('"temporary"', Restart("temporary")),
        ("{ intensity = 'unlimited' }", Restart(intensity=None)),
        ("{ backoff = [] }", Restart(backoff=Backoff(()))),
        ("{ backoff = { delays = ['1s'], jitter = 0.5 } }", Restart(backoff=Backoff((1,), 0.5))),
        (
            "{ backoff = { first = '1s', factor = 3, cap = '10s', jitter = 1 } }",
            Restart(backoff=Backoff((1, 3, 9, 10), 1)),
        ),
        ("{ backoff = {} }", Restart(backoff=Backoff.exponential())),
    ],
)
def test_restarts(read: Read, written: str, restart: Restart) -> None:
    toml = f"""
        [supervisor]
        strategy = "one_for_all"
        [children.a]
        command = ["x"]
        restart = {written}
        """
    assert read(toml).root.children[0].restart == restart


def test_mcp_servers(read: Read) -> None:
    given, default = read("""
        [children.given]
        mcp = ["mcp-server-time"]
        inherit_env = true
        stop_timeout = "1s"
        handshake = "legacy"
        handshake_timeout = "5s"
        [children.default]
        mcp = ["mcp-server-time"]
        """).root.children
    assert isinstance(given, McpConfig)
    assert given.inherit_env == "all"
    assert (given.stop_timeout, given.handshake, given.handshake_timeout) == (1, "legacy", 5)
    assert (default.stop_timeout, default.handshake, default.handshake_timeout) == (2, "auto", 30)
    assert default.inherit_env == ENVIRONMENT


NESTED = """
[supervisor]
name = "shop"
intensity = 10
period = "1m"
[defaults]
restart = { backoff = ["5s"], intensity = 2 }
tags = ["all"]
env = { A = "1", B = "1" }
[children.first]
command = ["x"]
[children.pipeline]
strategy = "rest_for_one"
restart = "transient"
[children.pipeline.defaults]
env = { B = "2" }
restart.period = "7s"
[children.pipeline.children.loader]
command = ["x"]
env = { C = "3" }
[children.pipeline.children.sender]
mcp = ["x"]
restart = { backoff = ["9s"] }
[children.last]
command = ["x"]
restart.when_exhausted = "escalate"
"""


def test_supervisors_nest_in_the_order_of_the_file(read: Read) -> None:
    root = read(NESTED).root
    assert (root.name, root.intensity, root.period) == ("shop", 10, 60)
    assert names(root) == ["first", "pipeline", "last"]
    assert names(root.children[1]) == ["loader", "sender"]


def test_stop_order_follows_the_strategy(read: Read) -> None:
    root = read(NESTED).root
    assert (root.stop_order, root.children[1].stop_order) == ("parallel", "reverse")
    reverse = read('supervisor.stop_order = "reverse"').root
    assert reverse.stop_order == "reverse"


def test_independent_siblings_are_isolated_and_groups_escalate(read: Read) -> None:
    first, pipeline, last = read(NESTED).root.children
    assert first.restart.when_exhausted == "isolate"
    assert pipeline.restart.when_exhausted == "isolate"
    assert {child.restart.when_exhausted for child in pipeline.children} == {"escalate"}
    assert last.restart.when_exhausted == "escalate"


def test_defaults_are_merged_from_the_outside_in(read: Read) -> None:
    first, pipeline, _ = read(NESTED).root.children
    loader, sender = pipeline.children
    assert first.env == {"A": "1", "B": "1"}
    assert loader.env == {"A": "1", "B": "2", "C": "3"}
    assert loader.restart.backoff == Backoff((5,))
    assert (loader.restart.intensity, loader.restart.period) == (2, 7)
    assert sender.restart.backoff == Backoff((9,))
    assert loader.tags == ("all",)


def test_a_nested_supervisor_takes_its_restart_from_the_defaults_and_no_more(read: Read) -> None:
    pipeline = read(NESTED).root.children[1]
    assert pipeline.restart.type is RestartType.TRANSIENT
    assert pipeline.restart.backoff == Backoff((5,))
    assert pipeline.restart.period == 30
    assert pipeline.tags == ()


def test_every_key_of_a_nested_supervisor(read: Read) -> None:
    (child,) = read("""
        [supervisor]
        auto_shutdown = "all_significant"
        [children.group]
        strategy = "one_for_all"
        intensity = 'unlimited'
        period = "3s"
        auto_shutdown = "any_significant"
        stop_order = "reverse"
        restart = "temporary"
        significant = true
        start_timeout = "1m"
        tags = ["t"]
        """).root.children
    assert child == SupervisorConfig(
        name="group",
        strategy=Strategy.ONE_FOR_ALL,
        period=3,
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        stop_order="reverse",
        restart=Restart("temporary", when_exhausted="isolate"),
        significant=True,
        start_timeout=60,
        tags=("t",),
    )


def test_disabled_children_are_skipped_unread(read: Read) -> None:
    config = read("""
        [children.a]
        enabled = false
        command = ["${NOT_SET}"]
        [children.b]
        disabled = true
        mcp = ["x"]
        [children.c]
        enabled = true
        command = ["x"]
        [children.group.children.d]
        disabled = true
        """)
    assert names(config.root) == ["c", "group"]
    assert config.skipped == (
        Skipped("a", "disabled"),
        Skipped("b", "disabled"),
        Skipped("group/d", "disabled"),
    )


# --- includes ------------------------------------------------------------------------------------


def test_includes_start_first_in_their_order_with_the_defaults_of_both(
    read: Read, tmp_path: Path
) -> None:
    files = {
        "more/one.toml": """
            include = ["../two.toml"]
            [defaults]
            env = { B = "one" }
            [children.one]
            command = ["x"]
            """,
        "two.toml": '[children.two]\ncommand = ["x"]',
        ".mcp.json": '{"mcpServers": {"three": {"command": "x"}}}',
    }
    config = read(
        """
        include = ["more/one.toml", ".mcp.json"]
        [defaults]
        env = { A = "root", B = "root" }
        [children.own]
        command = ["x"]
        """,
        **files,
    )
    two, one, three, own = config.root.children
    assert [two.name, one.name, three.name, own.name] == ["two", "one", "three", "own"]
    assert one.env == {"A": "root", "B": "one"}
    assert two.env == {"A": "root", "B": "one"}
    assert three.env == own.env == {"A": "root", "B": "root"}
    assert isinstance(three, McpConfig)
    assert one.cwd == str(tmp_path / "more")


def test_a_nested_supervisor_can_include(read: Read) -> None:
    config = read(
        '[children.group]\ninclude = ["part.toml"]\nstrategy = "one_for_all"',
        **{"part.toml": '[children.a]\ncommand = ["x"]'},
    )
    (group,) = config.root.children
    assert names(group) == ["a"]
    assert group.children[0].restart.when_exhausted == "escalate"


def test_one_file_can_be_included_in_two_places(read: Read) -> None:
    config = read(
        '[children.a]\ninclude = ["part.toml"]\n[children.b]\ninclude = ["part.toml"]',
        **{"part.toml": '[children.x]\ncommand = ["x"]'},
    )
    assert [names(group) for group in config.root.children] == [["x"], ["x"]]


# --- comparing -----------------------------------------------------------------------------------


def test_the_same_files_are_equal_and_a_change_is_not(read: Read) -> None:
    assert read(NESTED) == read(NESTED)
    changed = read(NESTED.replace('C = "3"', 'C = "4"'))
    assert changed != read(NESTED)
    assert changed.root.children[0] == read(NESTED).root.children[0]


def test_values_of_the_environment_are_not_in_the_repr(read: Read) -> None:
    assert "hidden" not in repr(read('[children.a]\ncommand = ["x"]\nenv = { A = "hidden" }'))


def test_a_relative_name_is_relative_to_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tree.toml").write_text('[children.a]\ncommand = ["x"]')
    config: Any = read_config(Path("tree.toml"), {})
    assert config.root.children[0].cwd == str(tmp_path)
