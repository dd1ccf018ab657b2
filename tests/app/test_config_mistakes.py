"""Every mistake at once, each with its place, what was found and what is allowed."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.app.config import build, read_config
from a2a_sup.app.problems import ConfigError, Problem
from a2a_sup.model.spec import DEPTH_LIMIT

Mistakes: TypeAlias = Callable[..., list[str]]


@pytest.fixture
def mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mistakes:
    """Read a configuration in the current directory; return its mistakes as lines."""
    monkeypatch.chdir(tmp_path)

    def mistakes_of(toml: str, **others: str) -> list[str]:
        for name, text in {"tree.toml": toml, **others}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_config(Path("tree.toml"), {"SECRET": "s3cret"})
        return str(caught.value).splitlines()

    return mistakes_of


A_DURATION = "a duration such as '500ms', '30s', '1h30m', or a number of seconds"
A_SIZE = "a size such as '512KiB', '10MiB', '1GB', or a number of bytes"
A_SIGNAL = "a signal such as 'SIGTERM', 'INT', 15"
UMASK = "octal digits in quotes, such as '022'"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cwd = ''", 'cwd: found ""; allowed: a path'),
        ("cwd = 3", "cwd: found 3; allowed: a text, in quotes"),
        ("env = []", "env: found an empty list; allowed: a table"),
        ("env = { A = 1 }", "env.A: found a number; allowed: a text, in quotes"),
        (
            "env = { 'A B' = '' }",
            'env."A B": not a name of a variable; allowed: letters, digits, _ . - ( )',
        ),
        ("env = { A = \"\\u0000\" }", "env.A: found a text; allowed: a text without the character "
         "NUL"),
        (
            "env = { A = '${NOT_SET}' }",
            "env.A: the variable NOT_SET is not set; set it, or give a default: ${NOT_SET:-...}",
        ),
        (
            "inherit_env = 'all'",
            'inherit_env: found "all"; allowed: true, false, or a list of names of variables',
        ),
        ("env_file = true", "env_file: found true; allowed: a text, in quotes"),
        ("user = ''", 'user: found ""; allowed: a name or a number'),
        ("group = -1", "group: found -1; allowed: a whole number from 0 to 4294967294"),
        ("umask = 22", f"umask: found 22; allowed: {UMASK}"),
        ("umask = '028'", f'umask: found "028"; allowed: {UMASK}'),
        ("umask = '1000'", f'umask: found "1000"; allowed: {UMASK}'),
        ("nice = 20", "nice: found 20; allowed: a whole number from -20 to 19"),
        ("nice = true", "nice: found true; allowed: a whole number from -20 to 19"),
        (
            "limits = { nofiles = 3 }",
            "limits.nofiles: unknown key; did you mean 'nofile'? (allowed: nofile, core, as, cpu)",
        ),
        ("limits = { as = 'big' }", f'limits.as: found "big"; allowed: {A_SIZE}'),
        ("limits = { cpu = [] }", f"limits.cpu: found an empty list; allowed: {A_DURATION}"),
        ("stop_signal = 'TERMINATE'", f'stop_signal: found "TERMINATE"; allowed: {A_SIGNAL}'),
        ("stop_signal = 4000", f"stop_signal: found 4000; allowed: {A_SIGNAL}"),
        ("stop_timeout = '3 parsecs'", f'stop_timeout: found "3 parsecs"; allowed: {A_DURATION}'),
        ("stop_timeout = true", f"stop_timeout: found true; allowed: {A_DURATION}"),
        ("stop_timeout = inf", f"stop_timeout: found Infinity; allowed: {A_DURATION}"),
        (
            "stop_timeout = 2001-01-01",
            f'stop_timeout: found "2001-01-01"; allowed: {A_DURATION}',
        ),
        ("start_timeout = 0", "start_timeout: found 0; allowed: a duration above 0"),
        ("success_exit_codes = 0", "success_exit_codes: found 0; allowed: a list"),
        (
            "success_exit_codes = [256]",
            "success_exit_codes[0]: found 256; allowed: a whole number from 0 to 255",
        ),
        ("significant = 1", "significant: found 1; allowed: true or false"),
        ("tags = ['a', 2]", "tags[1]: found 2; allowed: a text, in quotes"),
        ("tags = ['a', ' ']", 'tags[1]: found " "; allowed: a text that can be printed'),
        ('tags = ["a\\nb"]', 'tags[0]: found "a\\nb"; allowed: a text that can be printed'),
        ("logs = 'big'", 'logs: found "big"; allowed: a table'),
        ("logs = { max_size = 0 }", "logs.max_size: found 0; allowed: a size above 0"),
        (
            "logs = { keep = -1 }",
            "logs.keep: found -1; allowed: a whole number from 0 to 2147483647",
        ),
        (
            "restart = 'always'",
            'restart: found "always"; allowed: permanent, transient, temporary',
        ),
        (
            "restart = 'permanant'",
            'restart: found "permanant"; allowed: permanent, transient, temporary; did you mean '
            "'permanent'?",
        ),
        ("restart = 3", "restart: found 3; allowed: permanent, transient, temporary, or a table"),
        (
            "restart.backof = []",
            "restart.backof: unknown key; did you mean 'backoff'? (allowed: type, backoff, "
            "intensity, period, when_exhausted, min_uptime)",
        ),
        (
            "restart.backoff = ['1s', '2x']",
            f'restart.backoff[1]: found "2x"; allowed: {A_DURATION}',
        ),
        (
            "restart.backoff = 1",
            "restart.backoff: found 1; allowed: a list of durations, or a table",
        ),
        (
            "restart.backoff = { first = '2m' }",
            "restart.backoff: first is above cap; allowed: first <= cap",
        ),
        (
            "restart.backoff = { factor = 1 }",
            "restart.backoff.factor: found 1; allowed: a number >= 1.01",
        ),
        (
            "restart.backoff = { factor = 1.01, cap = '10000000h' }",
            "restart.backoff: more than 1000 delays from first to cap; allowed: a larger factor",
        ),
        (
            "restart.backoff = { delays = [], jitter = 1.5 }",
            "restart.backoff.jitter: found 1.5; allowed: a number from 0 to 1",
        ),
        (
            "restart.backoff = { delays = [], first = 1 }",
            "restart.backoff.first: unknown key (allowed: delays, jitter)",
        ),
        (
            "restart.intensity = -1",
            "restart.intensity: found -1; allowed: a whole number >= 0, or 'unlimited'",
        ),
        ("restart.period = 0", "restart.period: found 0; allowed: a duration above 0"),
        (
            "restart.when_exhausted = 'isolated'",
            'restart.when_exhausted: found "isolated"; allowed: escalate, isolate; did you mean '
            "'isolate'?",
        ),
        ("enabled = 'yes'", 'enabled: found "yes"; allowed: true or false'),
        (
            "significant = true\nrestart = 'transient'",
            "significant: found true under a supervisor without auto_shutdown; allowed: true if "
            "its auto_shutdown is any_significant or all_significant",
        ),
    ],
)  # fmt: skip
def test_keys_of_a_process(mistakes: Mistakes, line: str, problem: str) -> None:
    assert mistakes(f'[children.api]\ncommand = ["x"]\n{line}') == [
        f"tree.toml: children.api.{problem}"
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("[]", ": found an empty list; allowed: a program and its arguments"),
        ("''", ': found ""; allowed: a program and its arguments'),
        ("['', 'a']", '[0]: found ""; allowed: the name of a program'),
        ("['${SECRET:-}${EMPTY:-}', 3]", "[1]: found 3; allowed: a text, in quotes"),
        ("['${NONE:-}']", '[0]: found "${NONE:-}"; allowed: the name of a program'),
        ("3", ": found 3; allowed: a list of texts, or one text"),
        (
            "'sh -c \"x'",
            ': found "sh -c \\"x"; allowed: a command with closed quotes (no closing quotation)',
        ),
        ('"a\\u0000"', ': found "a\\u0000"; allowed: a text without the character NUL'),
    ],
)
@pytest.mark.parametrize("key", ["command", "mcp"])
def test_commands(mistakes: Mistakes, key: str, written: str, problem: str) -> None:
    lines = mistakes(f"[children.api]\n{key} = {written}")
    assert lines == [f"tree.toml: children.api.{key}{problem}"]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "[child.api]\ncommand = ['x']",
            "child: unknown key; did you mean 'children'? (allowed: supervisor, serve, webhooks, "
            "agents, defaults, include, children)",
        ),
        ("supervisor = 3", "supervisor: found 3; allowed: a table"),
        ("children = []", "children: found an empty list; allowed: a table"),
        ("defaults = 'x'", 'defaults: found "x"; allowed: a table'),
        ("[defaults]\nsignificant = true", "defaults.significant: unknown key (allowed: restart"),
        (
            "[supervisor]\nstrategy = 'simple_one_for_one'",
            'supervisor.strategy: found "simple_one_for_one"; allowed: one_for_one, one_for_all, '
            "rest_for_one; did you mean 'one_for_one'?",
        ),
        (
            "[supervisor]\nstrategy = 'one_for_all'\nstop_order = 'parallel'",
            'supervisor.stop_order: found "parallel"; allowed: reverse, as the strategy is '
            "one_for_all",
        ),
        (
            "[supervisor]\nname = 'a/b'",
            "supervisor.name: found \"a/b\"; allowed: a name has no '/'",
        ),
        (
            "[children.a]",
            "children.a: found none of them; allowed: one of command, mcp, children",
        ),
        (
            "[children.a]\ncommand = ['x']\nmcp = ['x']",
            "children.a: found command and mcp; allowed: one of command, mcp, children",
        ),
        (
            "[children.a]\ncommand = ['x']\n[children.a.children.b]\ncommand = ['x']",
            "children.a: found command and children; allowed: one of command, mcp, children",
        ),
        (
            "[children.a]\ncommand = ['x']\nstrategy = 'one_for_all'",
            "children.a.strategy: unknown key",
        ),
        (
            "[children.a]\nstrategy = 'one_for_all'\nstop_order = 'parallel'",
            'children.a.stop_order: found "parallel"; allowed: reverse',
        ),
        (
            "[children.a]\ncommand = ['x']\nenabled = true\ndisabled = false",
            "children.a: found enabled and disabled; allowed: one of them",
        ),
        ("children.a = 3", "children.a: found 3; allowed: a table"),
        (
            "[supervisor]\nauto_shutdown = 'any_significant'\n"
            "[children.a]\ncommand = ['x']\nsignificant = true",
            "children.a.significant: found true for a permanent child; allowed: true if its "
            "restart is transient or temporary",
        ),
        ("include = 'x.toml'", 'include: found "x.toml"; allowed: a list'),
        (
            "include = ['x.toml']",
            'include[0]: found "x.toml"; allowed: the path of a file that exists',
        ),
        (
            f"include = ['{'x' * 5000}']",
            'include[0]: found "xxxxxxxxxx',
        ),
        (
            "include = ['tree.toml']",
            "include[0]: a cycle of includes, tree.toml -> tree.toml; allowed: files that do not "
            "include this one",
        ),
        ("a = 1\nb = ", "not TOML: Invalid value (at end of document)"),
        ("[children.a]\n[children.a]", "not TOML: Cannot declare ('children', 'a') twice (at line"),
        (f"a = {'[' * 5000}", "nested too deeply"),
        (f"a = {'1' * 5000}", "not TOML: Exceeds the limit"),
    ],
)
def test_tables_and_files(mistakes: Mistakes, toml: str, problem: str) -> None:
    (line,) = mistakes(toml)
    assert line.startswith(f"tree.toml: {problem}")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a/b", '"a/b": found the name "a/b"; allowed: a name has no \'/\', which separates'),
        ("", '"": found the name ""; allowed: a name is a text of 1 to 64 characters'),
        ("..", '"..": found the name ".."; allowed: a name is not'),
        ("x" * 65, f"{'x' * 65}: found the name"),
        ("a\\u001b[31m", '"a\\u001b[31m": found the name "a\\u001b[31m"; allowed: a name has only'),
        ("a\\nb", '"a\\nb": found the name "a\\nb"; allowed: a name has only printable characters'),
        (
            "a\\u202Eb",
            '"a\\u202eb": found the name "a\\u202eb"; allowed: a name has only printable',
        ),
    ],
)
def test_names(mistakes: Mistakes, name: str, problem: str) -> None:
    (line,) = mistakes(f'[children."{name}"]\ncommand = ["x"]')
    assert line.startswith(f"tree.toml: children.{problem}")


def test_a_name_of_64_characters_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"[children.{'x' * 64}]\ncommand = ['x']")
    assert read_config(tmp_path / "a.toml", {}).root.children


def test_all_mistakes_at_once_in_the_order_of_the_files(mistakes: Mistakes) -> None:
    lines = mistakes(
        """
        include = ["part.toml", ".mcp.json"]
        [supervisor]
        strategi = "one_for_one"
        [children.time]
        command = ["x"]
        nice = 99
        [children."a/b"]
        command = []
        restart.period = "x"
        [children.api]
        comand = ["x"]
        """,
        **{
            "part.toml": """
                include = ["tree.toml"]
                [supervisor]
                [children.time]
                command = ["${NOPE}"]
                significant = true
                """,
            ".mcp.json": '{"mcpServers": {"m": {"args": [1]}}}',
        },
    )
    assert [line.split(";")[0] for line in lines] == [
        "tree.toml: supervisor.strategi: unknown key",
        "part.toml: supervisor: unknown key (allowed: defaults, include, children)",
        "part.toml: include[0]: a cycle of includes, tree.toml -> part.toml -> tree.toml",
        "part.toml: children.time.command[0]: the variable NOPE is not set",
        "part.toml: children.time.significant: found true under a supervisor without auto_shutdown",
        "part.toml: children.time.significant: found true for a permanent child",
        ".mcp.json: mcpServers.m: found neither command nor url",
        "tree.toml: children.time: two children have this name, the other is part.toml: "
        "children.time",
        "tree.toml: children.time.nice: found 99",
        'tree.toml: children."a/b": found the name "a/b"',
        'tree.toml: children."a/b".command: found an empty list',
        'tree.toml: children."a/b".restart.period: found "x"',
        "tree.toml: children.api.comand: unknown key",
    ]
    assert "did you mean 'command'?" in lines[-1]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    for name, reason in [
        ("none.toml", "cannot be read: No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("bad.toml", "not UTF-8 text (at byte 0)"),
    ]:
        path = tmp_path / name
        with pytest.raises(ConfigError) as caught:
            read_config(path, {})
        assert caught.value.problems == (Problem(str(path), "", reason),)


def test_supervisors_too_deep_inside_each_other(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    for depth in (DEPTH_LIMIT - 1, DEPTH_LIMIT, 3_000):
        file.write_text(f"{'.'.join(['children', 'a'] * depth)}.children = {{}}")
        if depth < DEPTH_LIMIT:
            assert read_config(file, {}).root.children
        else:
            with pytest.raises(ConfigError, match="at most 64 supervisors inside each other"):
                read_config(file, {})


def test_a_long_chain_of_includes(mistakes: Mistakes) -> None:
    chain = {f"{n}.toml": f"include = ['{n + 1}.toml']" for n in range(70)}
    (line,) = mistakes("include = ['0.toml']", **chain)
    assert line.endswith("allowed: at most 64 files, each included by the one before")


def test_secrets_are_not_shown(mistakes: Mistakes) -> None:
    lines = mistakes("""
        [children.a]
        command = ["${SECRET}", "${NOT_SET}"]
        env = { A = ["s3cret"], B = "s3cret\\u0000" }
        """)
    assert len(lines) == 3
    assert not any("s3cret" in line for line in lines)


# --- any file gives a configuration or a list of mistakes ----------------------------------------

VALID = """
include = ["part.toml"]
[supervisor]
strategy = "one_for_one"
auto_shutdown = "any_significant"
[defaults]
restart = { backoff = ["1s", 2], intensity = 3 }
env = { A = "${B:-c}" }
[children.api]
command = ["serve", "--port", "80"]
stop_timeout = "5s"
limits = { nofile = 10, as = "1GiB" }
logs = { max_size = "1MiB", keep = 3 }
[children.group]
strategy = "rest_for_one"
restart = { type = "transient", backoff = { first = 1, factor = 2, cap = "1m" } }
significant = true
[children.group.children.mcp]
mcp = "server --flag"
inherit_env = ["PATH"]
umask = "022"
"""
CLIENTS = """
{"inputs": [{"id": "a", "default": "b"}],
 "servers": {"a": {"command": "x", "args": ["${input:a}"], "env": {"A": null}},
             "b": {"type": "sse", "url": "http://h/"}}}
"""
raw = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.sampled_from(["1s", "${A}", "transient", "x.toml", "one_for_all", 10**400, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def config_or_mistakes(path: Path) -> None:
    try:
        config = read_config(path, {"A": "a"})
    except ConfigError as error:
        problems = error.problems
    else:
        assert config == read_config(path, {"A": "a"})
        assert build(config, logs_dir=path.parent).name == config.root.name
        return
    assert problems
    assert all(str(problem).isprintable() for problem in problems)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mutated")
    (path / "part.toml").write_text('[children.part]\ncommand = ["x"]')
    return path


@given(st.data())
@pytest.mark.parametrize(("name", "text"), [("a.toml", VALID), ("a.json", CLIENTS)])
def test_changed_characters(folder: Path, name: str, text: str, data: st.DataObject) -> None:
    file = folder / name
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 8))
        text = text[:start] + data.draw(st.text(max_size=4)) + text[start + length :]
    file.write_bytes(text.encode(errors="surrogatepass"))
    config_or_mistakes(file)


def replaced(value: Any, new: object, chooser: random.Random) -> Any:
    """Return ``value`` with one of its parts, at any depth, replaced."""
    if isinstance(value, dict | list) and value and chooser.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chooser.choice(keys)
        copy = value.copy()
        copy[key] = replaced(value[key], new, chooser)
        return copy
    return new


@given(new=raw, seed=st.integers(0, 10_000))
def test_changed_values(folder: Path, new: object, seed: int) -> None:
    tree = replaced(tomllib.loads(VALID), new, random.Random(seed))
    document = tree if isinstance(tree, dict) else {"children": tree}
    # The values take the place of a parsed file: so they can be what TOML does not write.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2a_sup.app.tree_file.load", lambda path: document)
        config_or_mistakes(folder / "b.toml")


@given(st.binary(max_size=30))
@pytest.mark.parametrize("name", ["c.toml", "c.json"])
def test_any_bytes(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    config_or_mistakes(folder / name)


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("url = 'hooks.example'", ".url: found a text; allowed: an address such as"),
        ("url = 'ftp://hooks.example'", ".url: found a text; allowed: an address such as"),
        ("url = 'http://h:99999'", ".url: found a text; allowed: an address such as"),
        ("url = 'http://a..b/'", ".url: found a text; allowed: an address such as"),
        (f"url = 'http://{'a' * 64}.example/'", ".url: found a text; allowed: an address such as"),
        (r'url = "http://h/\u0001"', ".url: found a text; allowed: an address such as"),
        ("events = ['child.*']", ": found no url; allowed: a url, and any of url, events"),
        ("url = 'http://h'\nevents = ['child.faild']", ".events[0]: no event is like"),
        ("url = 'http://h'\nsecret = ''", ".secret: found an empty text; allowed: a key"),
        ("url = 'http://h'\nretries = -1", ".retries: found -1; allowed: a whole number"),
        ("url = 'http://h'\nretry = 1", ".retry: unknown key; did you mean 'retries'?"),
        ("url = 'http://h/${NONE}'", ".url: the variable NONE is not set"),
    ],
)
def test_webhooks(mistakes: Mistakes, toml: str, problem: str) -> None:
    (line,) = mistakes(f"[[webhooks]]\n{toml}")
    assert line.startswith(f"tree.toml: webhooks[0]{problem}")
