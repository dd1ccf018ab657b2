"""The key ``probes``: what it may say, what it comes to, and every mistake by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from a2a_sup.app.config import build, read_config
from a2a_sup.app.problems import ConfigError
from a2a_sup.app.reload_plan import plan
from a2a_sup.app.settings import MCP_PROBES, ProbeConfig, ProcessConfig
from a2a_sup.checks import A2AAgent, CommandCheck, Heartbeat, HTTPCheck, MCPPing, TCPCheck
from a2a_sup.model.health import Probe, Purpose

ENVIRON = {"PORT": "8080", "SECRET": "hush", "HOME": "/home/me", "PATH": "/bin"}


@pytest.fixture
def child(tmp_path: Path) -> Any:
    """Return a function that reads one child from TOML."""

    def read(text: str, kind: str = 'command = ["x"]', defaults: str = "") -> ProcessConfig:
        file = tmp_path / "tree.toml"
        file.write_text(f"{defaults}\n[children.c]\n{kind}\n{text}\n")
        (found,) = read_config(file, ENVIRON).root.children
        assert isinstance(found, ProcessConfig)
        return found

    return read


@pytest.fixture
def probes(child: Any, tmp_path: Path) -> Any:
    """Return a function that reads the probes of one child and makes them."""

    def read(text: str, kind: str = 'command = ["x"]', defaults: str = "") -> tuple[Probe, ...]:
        child(text, kind, defaults)
        root: Any = build(read_config(tmp_path / "tree.toml", ENVIRON), logs_dir=None)
        found: tuple[Probe, ...] = root.run.children[0].probes
        return found

    return read


@pytest.fixture
def mistakes(child: Any, tmp_path: Path) -> Any:
    """Return a function that reads a wrong child and returns the messages about it."""

    def read(text: str, kind: str = 'command = ["x"]', defaults: str = "") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            child(text, kind, defaults)
        return [str(each).removeprefix(f"{tmp_path}/tree.toml: ") for each in caught.value.problems]

    return read


# --- what they come to ----------------------------------------------------------------------------


def test_all_of_http(probes: Any, tmp_path: Path) -> None:
    (probe,) = probes(
        """
        [[children.c.probes]]
        http = "http://me:${SECRET}@127.0.0.1:${PORT}/live?key=${SECRET}"
        purpose = "readiness"
        interval = "10s"
        timeout = "500ms"
        initial_delay = 1
        failure_threshold = 4
        success_threshold = 2
        jitter = 0.5
        method = "HEAD"
        status = [200, 204]
        headers = { Authorization = "Bearer ${SECRET}" }
        expect_headers = { Content-Type = "json" }
        body = "${SECRET}"
        ca_file = "ca.pem"
        """
    )
    assert probe.name == "http http://127.0.0.1:${PORT}/live"
    assert probe.purpose is Purpose.READINESS
    assert (probe.interval, probe.timeout, probe.initial_delay, probe.jitter) == (10, 0.5, 1, 0.5)
    assert (probe.failure_threshold, probe.success_threshold) == (4, 2)
    check = probe.check
    assert isinstance(check, HTTPCheck)
    assert check.request.url.target == "/live?key=hush"
    assert check.request.headers == {"Authorization": "Bearer hush"}
    assert check.request.ca_file == str(tmp_path / "ca.pem")
    assert check.statuses == ((200, 200), (204, 204))
    assert check.expect_headers == {"content-type": "json"}
    assert check.body is not None
    assert check.body.search(b"...hush...")


def test_every_other_kind(probes: Any, tmp_path: Path) -> None:
    tcp, command, heartbeat, a2a = probes(
        """
        cwd = "work"
        env = { A = "b" }
        probes = [
          { tcp = "[::1]:${PORT}" },
          { command = "pg_isready -p ${PORT}", purpose = "startup" },
          { heartbeat = "20s" },
          { a2a = "http://127.0.0.1:9999", headers = { X = "y" }, name = "agent" },
        ]
        """
    )
    assert tcp.name == "tcp [::1]:${PORT}"
    assert tcp.check == TCPCheck("::1", 8080)
    assert (tcp.interval, tcp.timeout, tcp.failure_threshold) == (30, 5, 3)
    assert (command.name, command.purpose) == ("command pg_isready -p ${PORT}", Purpose.STARTUP)
    assert isinstance(command.check, CommandCheck)
    run = command.check.command
    assert (run.argv, run.cwd) == (("pg_isready", "-p", "8080"), str(tmp_path / "work"))
    assert run.env == {"A": "b"}
    assert heartbeat.check == Heartbeat(20)
    assert (heartbeat.interval, heartbeat.failure_threshold) == (10, 1)
    assert a2a.name == "agent"
    assert isinstance(a2a.check, A2AAgent)
    assert a2a.check.headers == {"X": "y"}


def test_an_mcp_server_is_asked_unless_it_says_otherwise(probes: Any, tmp_path: Path) -> None:
    (probe,) = probes("", 'mcp = ["x"]')
    assert probe.check == MCPPing()
    assert (probe.name, probe.purpose) == ("mcp ping", Purpose.LIVENESS)
    assert (probe.interval, probe.timeout, probe.failure_threshold) == (30, 10, 3)
    assert probes("probes = []", 'mcp = ["x"]') == ()
    assert probes("", 'mcp = ["x"]', "[defaults]\nprobes = []") == ()
    (probe,) = probes('probes = [{ mcp = true, interval = "5s" }]', 'mcp = ["x"]')
    assert (probe.check, probe.interval) == (MCPPing(), 5)
    assert probes("") == ()

    (tmp_path / "mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    (server,) = read_config(tmp_path / "mcp.json", {}).root.children
    assert isinstance(server, ProcessConfig)
    assert server.probes == MCP_PROBES


def test_probes_of_defaults_are_replaced_not_merged(child: Any) -> None:
    defaults = '[defaults]\nprobes = [{ tcp = "h:1" }, { tcp = "h:2" }]'
    assert [each.name for each in child("", defaults=defaults).probes] == ["tcp h:1", "tcp h:2"]
    own = child('probes = [{ tcp = "h:3" }]', defaults=defaults)
    assert [each.name for each in own.probes] == ["tcp h:3"]


def test_settings_are_compared_by_value(child: Any) -> None:
    text = 'probes = [{ http = "http://h/${PORT}", headers = { A = "b" } }, { heartbeat = "9s" }]'
    first, again = child(text), child(text)
    assert first == again
    assert hash(repr(first)) == hash(repr(again))
    assert first != child(text.replace('"b"', '"c"'))
    assert first.heartbeat == 9
    assert "hush" not in repr(child(text.replace("/${PORT}", "/?${SECRET}")))


def test_wait_ready_and_notify(child: Any, probes: Any, tmp_path: Path) -> None:
    for text in (
        "notify = true",
        'probes = [{ tcp = "h:1", purpose = "readiness" }]',
        'probes = [{ tcp = "h:1", purpose = "startup" }]',
        'probes = [{ heartbeat = "5s" }]',
    ):
        assert child(f"wait_ready = true\n{text}").wait_ready
    probes("wait_ready = true\nnotify = true")
    root: Any = build(read_config(tmp_path / "tree.toml", ENVIRON), logs_dir=None)
    assert root.run.children[0].wait_ready


def test_a_long_name_is_cut(probes: Any) -> None:
    (probe,) = probes(f'probes = [{{ command = ["x", "{"y" * 200}"] }}]')
    assert len(probe.name) == 80


def test_a_new_heartbeat_needs_a_restart_and_other_probes_do_not(
    child: Any, tmp_path: Path
) -> None:
    def plan_of(before: str, after: str) -> list[str]:
        child(before)
        old = read_config(tmp_path / "tree.toml", ENVIRON)
        child(after)
        return [step.act for step in plan(old, read_config(tmp_path / "tree.toml", ENVIRON)).steps]

    one, two = 'probes = [{ tcp = "h:1" }]', 'probes = [{ tcp = "h:2" }]'
    assert plan_of(one, one) == []
    assert plan_of(one, two) == ["update"]
    # Only a process that is started anew finds its NOTIFY_SOCKET.
    assert plan_of(one, 'probes = [{ heartbeat = "9s" }]') == ["restart"]
    assert plan_of(one, f"{one}\nnotify = true") == ["restart"]


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probes = 1", ["children.c.probes: found 1; allowed: a list of tables"]),
        (
            'probes = [{ interval = "1s" }, { tcp = "h:1", http = "http://h" }]',
            [
                "children.c.probes[0]: found none of them; allowed: one of http, tcp, command, "
                "heartbeat, mcp, a2a",
                "children.c.probes[1]: found http and tcp; allowed: one of http, tcp, command, "
                "heartbeat, mcp, a2a",
            ],
        ),
        (
            'probes = [{ tcp = "h:1", intervall = "1s", body = "x" }]',
            [
                "children.c.probes[0].intervall: unknown key; did you mean 'interval'? (allowed: "
                "purpose, name, tcp, interval, timeout, initial_delay, failure_threshold, "
                "success_threshold, jitter)",
                "children.c.probes[0].body: unknown key (allowed: purpose, name, tcp, interval, "
                "timeout, initial_delay, failure_threshold, success_threshold, jitter)",
            ],
        ),
        (
            'probes = [{ tcp = "h", interval = 0, jitter = 2, purpose = "lifeness" }]',
            [
                'children.c.probes[0].purpose: found "lifeness"; allowed: liveness, readiness, '
                "startup; did you mean 'liveness'?",
                "children.c.probes[0].interval: found 0; allowed: a duration above 0",
                "children.c.probes[0].jitter: found 2; allowed: a number from 0 to 1",
                'children.c.probes[0].tcp: found "h"; allowed: a host and a port, such as '
                "'127.0.0.1:5432' or '[::1]:80'",
            ],
        ),
        (
            'probes = [{ http = "ftp://me:secret@h", status = "2xx", method = "a b" }]',
            [
                "children.c.probes[0].status: found \"2xx\"; allowed: statuses such as '200-399' "
                "or '200,204', or a list of numbers",
                "children.c.probes[0].method: found \"a b\"; allowed: a method such as 'GET'",
                'children.c.probes[0].http: found "ftp://h"; allowed: a URL that begins with '
                "http://, https:// or http+unix://",
            ],
        ),
        (
            'probes = [{ http = "http://h", headers = { "a:b" = "x", A = "${SECRET}\\n" } }]',
            [
                'children.c.probes[0].headers."a:b": not a header; allowed: a name of letters, '
                "digits and '-', one line of text",
                "children.c.probes[0].headers.A: not a header; allowed: a name of letters, digits "
                "and '-', one line of text",
            ],
        ),
        (
            'probes = [{ http = "http://h", body = "x", body_regex = "(" }]',
            [
                "children.c.probes[0].body_regex: found a text; allowed: a regular expression "
                "(missing ), unterminated subpattern at position 0)",
                "children.c.probes[0]: found body and body_regex; allowed: one of them",
            ],
        ),
        (
            'probes = [{ http = "http://${NONE}/" }]',
            [
                "children.c.probes[0].http: the variable NONE is not set; set it, or give a "
                "default: ${NONE:-...}"
            ],
        ),
        (
            'probes = [{ tcp = "h:1" }, { tcp = "h:1" }]',
            ['children.c.probes[1]: two probes are called "tcp h:1"; allowed: a name of its own'],
        ),
        (
            "probes = [{ mcp = true }]",
            [
                "children.c.probes[0]: found a probe of the kind mcp for a process; allowed: http, "
                "tcp, command, heartbeat, a2a"
            ],
        ),
        (
            'wait_ready = true\nprobes = [{ tcp = "h:1" }]',
            [
                "children.c.wait_ready: found true, and nobody says when it is ready; allowed: "
                "true with a readiness or startup probe, or with notify = true"
            ],
        ),
    ],
)
def test_mistakes(mistakes: Any, text: str, expected: list[str]) -> None:
    assert mistakes(text) == expected


def test_what_does_not_fit_an_mcp_server(mistakes: Any) -> None:
    assert mistakes('probes = [{ heartbeat = "1s" }]\nnotify = true', 'mcp = ["x"]')[-1] == (
        "children.c.probes[0]: found a probe of the kind heartbeat for an MCP server; allowed: "
        "http, tcp, command, mcp, a2a"
    )
    assert mistakes("notify = true", 'mcp = ["x"]')[0].startswith("children.c.notify: unknown key")
    assert mistakes("probes = [{ mcp = false }]", 'mcp = ["x"]') == [
        "children.c.probes[0].mcp: found false; allowed: true"
    ]


def test_what_defaults_have_and_a_child_cannot_is_told_at_the_child(mistakes: Any) -> None:
    assert mistakes("", defaults="[defaults]\nprobes = [{ mcp = true }]") == [
        "children.c: found a probe of the kind mcp for a process; allowed: http, tcp, command, "
        "heartbeat, a2a"
    ]


def test_a_probe_is_data() -> None:
    probe = ProbeConfig(kind="tcp", target=("h", 1), name="x", timing={"interval": 1.0})
    assert probe == ProbeConfig(kind="tcp", target=("h", 1), name="x", timing={"interval": 1.0})
