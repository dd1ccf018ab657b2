"""Files that hold what they should not: each is a tree that can be run, or one line why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2a_sup.app.config import build, read_config
from a2a_sup.app.importing import ImportRefused, import_file

BOMB = "\n".join(
    f"{name}: &{name} [{', '.join([below] * 9)}]"
    for name, below in zip("abcdefghi", ["x", *(f"*{each}" for each in "abcdefgh")], strict=True)
)
"""A few lines that YAML's aliases make a list of 9**9 words."""


def imported(folder: Path, name: str, content: str) -> tuple[str, list[str]]:
    """Import a file, and see that what is made of it can be run."""
    file = folder / name
    file.write_text(content, encoding="utf-8", errors="surrogatepass")
    text, warnings = import_file(file)
    (folder / "tree.toml").write_text(text)
    build(read_config(folder / "tree.toml", {"X": "1"}), logs_dir=None)
    return text, warnings


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("supervisord.conf", "stopsignal=USR9", "stop_signal"),
        ("supervisord.conf", "umask=999", "umask"),
        ("supervisord.conf", "stopwaitsecs=inf", "stop_timeout"),
        ("supervisord.conf", "startsecs=nan", "restart.min_uptime"),
        ("supervisord.conf", "stdout_logfile_backups=-3", "logs.keep"),
        ("supervisord.conf", "exitcodes=0,300", "success_exit_codes[1]"),
        ("circus.ini", "stop_signal=99", "stop_signal"),
        ("circus.ini", "uid=99999999999", "user"),
        ("circus.ini", "stdout_stream.max_bytes=-5", "logs.max_size"),
    ],
)
def test_a_value_that_is_not_allowed_here_is_told_and_left_out(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    section = "program" if name.startswith("supervisord") else "watcher"
    command = "command" if section == "program" else "cmd"
    text, warnings = imported(tmp_path, name, f"[{section}:a]\n{command}=x\n{content}\n")
    assert any(f"a: {words}: found " in each for each in warnings)
    assert f"{words}: found " in text
    assert "[children.a]" in text


def test_of_a_table_only_what_is_refused_is_left_out(tmp_path: Path) -> None:
    content = '{apps: [{script: "x", env: {GOOD: 1, "NOT GOOD": 2}, stop_exit_codes: [3, 999]}]}'
    text, _ = imported(tmp_path, "ecosystem.json", content)
    assert 'env = { GOOD = "1" }' in text
    assert "success_exit_codes = [3]" in text


@pytest.mark.parametrize("script", [r"a\u0000b", r"b\ud800"])
def test_a_command_that_cannot_be_is_left_out_as_a_whole(tmp_path: Path, script: str) -> None:
    content = f'{{apps: [{{name: "a", script: "{script}", args: ["rest"]}}, {{script: "b"}}]}}'
    text, warnings = imported(tmp_path, "ecosystem.json", content)
    assert "[children.b]" in text
    assert "\n[children.a]" not in text
    assert any("there is nothing to run" in each for each in warnings)


@pytest.mark.parametrize(
    "process",
    [
        "5",
        "{command: x, availability: always}",
        "{command: x, shutdown: 3}",
        "{command: x, vars: [1]}",
        "{command: x, depends_on: [b]}",
        "{command: x, depends_on: {b: 5}}",
        "{command: x, readiness_probe: {http_get: {port: 80, headers: [1]}}}",
        "{command: x, shutdown: {signal: 99}}",
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, process: str) -> None:
    content = f"processes:\n  a: {process}\n  b: {{entrypoint: sh}}\n"
    _, warnings = imported(tmp_path, "process-compose.yaml", content)
    assert warnings


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("supervisord.conf", "[program:a]\ncommand=x\nnumprocs=100000000", "100000000 copies"),
        ("circus.ini", "[watcher:a]\ncmd=x\nnumprocesses=100000000", "100000000 copies"),
        ("ecosystem.json", '{"script": "a", "instances": 100000000}', "100000000 copies"),
        ("process-compose.yaml", "processes: {a: {replicas: 100000000}}", "100000000 copies"),
        ("ecosystem.json", "[" * 100_000, "nested too deeply"),
        ("process-compose.yaml", "[" * 3_000, "nested too deeply"),
    ],
)
def test_what_is_too_much_is_refused(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(ImportRefused, match=reason):
        imported(tmp_path, name, content)


def test_a_file_that_grows_when_it_is_read_is_not_written_out(tmp_path: Path) -> None:
    content = f"{BOMB}\nprocesses: {{a: {{command: x}}}}\n"
    text, _ = imported(tmp_path, "process-compose.yaml", content)
    assert len(text) < 10_000


def test_a_format_of_a_number_is_no_way_to_fill_the_memory(tmp_path: Path) -> None:
    content = "[program:a]\ncommand=x %(process_num)99999999999d %(process_num)02d\n"
    text, _ = imported(tmp_path, "supervisord.conf", content)
    assert '"%(process_num)99999999999d", "00"' in text


def test_notes_repeat_no_secrets(tmp_path: Path) -> None:
    content = """{apps: [{script: "x", env_production: {DB: "hunter2"}, dbPasswd: "hunter2",
        repo: "https://me:hunter2@git.example/x"}]}"""
    text, warnings = imported(tmp_path, "ecosystem.json", content)
    assert "hunter2" not in text + "".join(warnings)
    assert "git.example" in text
