"""The files of MCP clients, in the shapes that Claude, Cursor and VS Code write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from a2a_sup.app.config import read_config
from a2a_sup.app.problems import ConfigError
from a2a_sup.app.settings import McpConfig, Skipped
from a2a_sup.children.mcp import ENVIRONMENT
from a2a_sup.model.restarts import Restart

Read: TypeAlias = Callable[..., Any]
"""Returns a Config, as Any: each test knows that its children are MCP servers."""
Problems: TypeAlias = Callable[[str], list[str]]

ENVIRON = {"HOME": "/home/of", "TOKEN": "t0p", "EMPTY": ""}

CLAUDE_DESKTOP = r"""
{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "${HOME}/Documents"]
    },
    "time": {"command": "mcp-server-time", "args": [], "env": {"TZ": "UTC"}}
  }
}
"""

CLAUDE_CODE = """
{
  "mcpServers": {
    "git": {
      "type": "stdio",
      "command": "${PYTHON:-python3}",
      "args": ["-m", "mcp_server_git"],
      "env": {"TOKEN": "${TOKEN}", "CACHE": "${CACHE:-/tmp}"}
    },
    "api": {
      "type": "http",
      "url": "https://user:secret@api.example:8443/mcp?key=secret",
      "headers": {"Authorization": "Bearer ${NOT_SET}"}
    }
  }
}
"""

CURSOR = """
{
  // Cursor reads this file from .cursor/mcp.json
  "mcpServers": {
    "local": {
      "command": "${workspaceFolder}/bin/server",
      "args": ["--home=${userHome}", "a${/}b"],
      "envFile": "${workspaceFolder}/.env",
      "env": {"KEY": "${env:TOKEN}"},
    },
    "remote": {"url": "http://127.0.0.1:9/sse", /* no type */ },
  },
}
"""

VS_CODE = """
{
  "inputs": [
    {"type": "promptString", "id": "api-key", "description": "A key", "password": true},
    {"type": "pickString", "id": "region", "options": ["n", "s"], "default": "n"},
  ],
  "servers": {
    "search": {
      "type": "stdio",
      "command": "search",
      "args": ["--region", "${input:region}"],
      "env": {"API_KEY": "${input:api-key}"},
      "dev": {"watch": "src/**"},
    },
    "old": {"type": "sse", "url": "http://host.example/sse"},
  },
}
"""

CLINE = """
{"mcpServers": {
  "on": {"command": "a", "disabled": false, "autoApprove": ["read"], "timeout": 60},
  "off": {"command": "a", "disabled": true},
  "also-off": {"command": "a", "enabled": false},
  "remote-off": {"url": "http://host.example/", "disabled": true}
}}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_file(name: str, text: str, environ: Mapping[str, str] = ENVIRON) -> Any:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return read_config(path, environ)

    return read_file


@pytest.fixture
def problems(read: Read) -> Problems:
    """Return the messages about one server, without its place."""

    def problems_of(server: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read("mcp.json", '{"mcpServers": {"s": ' + server + "}}")
        return [f"{each.key}: {each.message}" for each in caught.value.problems]

    return problems_of


def test_claude_desktop(read: Read, tmp_path: Path) -> None:
    config = read("claude_desktop_config.json", CLAUDE_DESKTOP)
    files, time = config.root.children
    assert files == McpConfig(
        name="filesystem",
        argv=("npx", "-y", "@modelcontextprotocol/server-filesystem", "/home/of/Documents"),
        cwd=str(tmp_path),
        inherit_env=ENVIRONMENT,
        restart=Restart(when_exhausted="isolate"),
    )
    assert time.argv == ("mcp-server-time",)
    assert time.env == {"TZ": "UTC"}
    assert config.root.stop_order == "parallel"


def test_claude_code(read: Read) -> None:
    config = read(".mcp.json", CLAUDE_CODE)
    (git,) = config.root.children
    assert git.argv == ("python3", "-m", "mcp_server_git")
    assert git.env == {"TOKEN": "t0p", "CACHE": "/tmp"}
    reason = "remote server (https://api.example:8443/mcp), nothing to run"
    assert config.skipped == (Skipped("api", reason),)


def test_cursor(read: Read, tmp_path: Path) -> None:
    config = read(".cursor/mcp.json", CURSOR)
    (local,) = config.root.children
    assert local.argv == (f"{tmp_path}/bin/server", "--home=/home/of", "a/b")
    assert local.env_file == f"{tmp_path}/.env"
    assert local.env == {"KEY": "t0p"}
    assert local.cwd == str(tmp_path)
    assert [each.path for each in config.skipped] == ["remote"]


def test_vs_code(read: Read, tmp_path: Path) -> None:
    environ = {"A2A_SUP_INPUT_API_KEY": "k3y"}
    config = read(".vscode/mcp.json", VS_CODE, environ)
    (search,) = config.root.children
    assert search.argv == ("search", "--region", "n")
    assert search.env == {"API_KEY": "k3y"}
    assert search.cwd == str(tmp_path)
    assert search.extra == {"dev": {"watch": "src/**"}}


def test_an_input_without_a_value_names_its_variable(read: Read) -> None:
    with pytest.raises(ConfigError, match="set the variable A2A_SUP_INPUT_API_KEY"):
        read(".vscode/mcp.json", VS_CODE)


def test_cline(read: Read) -> None:
    config = read("cline_mcp_settings.json", CLINE)
    assert [child.name for child in config.root.children] == ["on"]
    assert config.root.children[0].extra == {"autoApprove": ["read"], "timeout": 60}
    assert config.skipped == (
        Skipped("off", "disabled"),
        Skipped("also-off", "disabled"),
        Skipped("remote-off", "disabled"),
    )


def test_a_change_of_the_clients_own_keys_is_no_change(read: Read) -> None:
    assert read("a.json", CLINE) == read("a.json", CLINE.replace('"read"', '"write"'))


def test_null_and_empty_variables_are_taken_from_the_environment(read: Read) -> None:
    text = '{"mcpServers": {"a": {"command": "a", "env": {"TOKEN": null, "HOME": "", "N": ""}}}}'
    (child,) = read("mcp.json", text).root.children
    assert child.env == {"TOKEN": "t0p", "HOME": "/home/of", "N": ""}


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("{}", ["mcpServers.s: found neither command nor url; allowed: one of them"]),
        (
            '{"command": "a", "url": "b"}',
            ["mcpServers.s: found command and url; allowed: one of them"],
        ),
        ('"a"', ['mcpServers.s: found "a"; allowed: a table']),
        (
            '{"command": ""}',
            ['mcpServers.s.command: found ""; allowed: the name of a program'],
        ),
        (
            '{"command": 1, "args": ["a", 2, null], "cwd": ""}',
            [
                "mcpServers.s.command: found 1; allowed: a text, in quotes",
                "mcpServers.s.args[1]: found 2; allowed: a text, in quotes",
                "mcpServers.s.args[2]: found null; allowed: a text, in quotes",
                'mcpServers.s.cwd: found ""; allowed: a path',
            ],
        ),
        (
            '{"command": "a", "env": {"A": 1, "B=": "", "NOT_SET": null, "C": "${cmd: ls}"}}',
            [
                "mcpServers.s.env.A: found a number; allowed: a text, in quotes",
                'mcpServers.s.env."B=": not a name of a variable; '
                "allowed: letters, digits, _ . - ( )",
                "mcpServers.s.env.NOT_SET: the variable NOT_SET is not set; set it, or give a "
                "default: ${NOT_SET:-...}",
                "mcpServers.s.env.C: '${cmd: ls}' would run a command, which is not offered",
            ],
        ),
        (
            '{"command": "a", "type": "stdo"}',
            ["mcpServers.s.type: found \"stdo\"; allowed: stdio; did you mean 'stdio'?"],
        ),
        (
            '{"url": "a", "type": "stdio"}',
            ['mcpServers.s.type: found "stdio"; allowed: http, sse, streamable-http, ws'],
        ),
        ('{"url": 3}', ["mcpServers.s.url: found 3; allowed: a text, in quotes"]),
        (
            '{"command": "a", "disabled": "yes"}',
            ['mcpServers.s.disabled: found "yes"; allowed: true or false'],
        ),
    ],
)
def test_mistakes(problems: Problems, server: str, expected: list[str]) -> None:
    assert problems(server) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "found neither; allowed: one of mcpServers, servers"),
        ('{"mcpServers": {}, "servers": {}}', "found mcpServers and servers; allowed: one of"),
        ('{"mcpServers": []}', "mcpServers: found an empty list; allowed: a table"),
        ("[]", "the file holds no JSON object; allowed: an object, {...}"),
        ("", "not JSON: Empty strings are not legal JSON5"),
        ('{\n "mcpServers": nul }', 'not JSON: line 2 Unexpected " " at column 19'),
        ("[" * 5_000, "nested too deeply"),
        ('{"servers": {}, "inputs": 3}', "inputs: found 3; allowed: a list"),
        (
            '{"mcpServers": {"a": {"command": "b"}, "a": {"command": "c"}}}',
            "mcpServers.a: this name is given twice; allowed: once",
        ),
        (
            '{"mcpServers": {}, "mcpServers": {}}',
            "mcpServers: this name is given twice; allowed: once",
        ),
    ],
)
def test_mistakes_of_whole_files(read: Read, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read("mcp.json", text)
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_mistake(read: Read) -> None:
    assert read("mcp.json", '\ufeff{"mcpServers": {}}').root.children == ()


def test_a_bad_address_does_not_disturb(read: Read) -> None:
    config = read("mcp.json", '{"mcpServers": {"a": {"url": "http://[bad"}}}')
    assert config.skipped == (Skipped("a", "remote server (url), nothing to run"),)
