"""Files of other process managers: what has an equal is there, what has none is told."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.app.config import build, read_config
from a2a_sup.app.importing import ImportRefused, import_file
from a2a_sup.app.importing.draft import Draft, Imported, literal
from a2a_sup.app.importing.toml import toml
from a2a_sup.app.importing.writing import written
from a2a_sup.model.restarts import RestartType
from tests.app.importing import samples

PROGRAM = str(Path(sys.executable).parent / "a2a-sup")
ENVIRON = {"HOME": "/home/of", "PATH": "/bin"}
SAMPLES = {
    "supervisord.conf": samples.SUPERVISORD,
    "circus.ini": samples.CIRCUS,
    "Procfile": samples.PROCFILE,
    "ecosystem.json": samples.PM2,
    "process-compose.yaml": samples.PROCESS_COMPOSE,
}
Import: TypeAlias = Callable[..., tuple[dict[str, Any], list[str]]]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import a file of this name and content; return its children as read, and the warnings."""

    def import_text(name: str, text: str | None = None) -> tuple[dict[str, Any], list[str]]:
        file = tmp_path / name
        file.write_text(SAMPLES[name] if text is None else text)
        out, warnings = import_file(file)
        (tmp_path / "tree.toml").write_text(out)
        config = read_config(tmp_path / "tree.toml", ENVIRON)
        build(config, logs_dir=None)
        children: dict[str, Any] = {child.name: child for child in config.root.children}
        children |= {skipped.path: skipped for skipped in config.skipped}
        return children, warnings

    return import_text


def told(warnings: list[str], *words: str) -> bool:
    return any(all(word in line for word in words) for line in warnings)


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_printed_can_be_run_and_says_what_has_no_equal(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(SAMPLES[name])
    words = [PROGRAM, "import", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (tmp_path / "tree.toml").write_text(done.stdout)
    checked = subprocess.run(
        [PROGRAM, "check", str(tmp_path / "tree.toml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    warnings = [line.removeprefix(f"{file}: ") for line in done.stderr.splitlines()]
    comments = [line[4:] for line in done.stdout.splitlines() if line.startswith("# ! ")]
    assert warnings
    assert len(warnings) == len(comments)
    for comment in comments:
        assert any(line.endswith(comment) for line in warnings)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("supervisord.conf", "no section", "no section headers"),
        ("circus.ini", "[a\n", "no section headers"),
        ("ecosystem.json", "{", "ecosystem.json"),
        ("ecosystem.json", '{"apps": 3}', "no list of apps"),
        ("ecosystem.config.js", "module.exports = {}", "JSON.stringify(require("),
        ("process-compose.yaml", "- a", "no table"),
        ("process-compose.yaml", "a: [", "process-compose.yaml"),
        ("process-compose.yaml", "processes: [1]", "no table of processes"),
        ("unit.service", "[Service]", "--format supervisord, circus"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ImportRefused) as caught:
        import_file(tmp_path / name)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    words = [PROGRAM, "import", str(tmp_path / "supervisord.conf")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(
    command=st.lists(texts.filter(len), min_size=1),
    env=st.dictionaries(st.from_regex(r"[A-Z_]+", fullmatch=True), texts),
)
def test_every_text_comes_through_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, command: list[str], env: dict[str, str]
) -> None:
    keys = {
        "command": [literal(word) for word in command],
        "env": {name: literal(value) for name, value in env.items()},
    }
    draft = Draft("a", keys)
    draft.note("key", "\n\r\x85\u2028evil", "with\nlines")
    out, _ = written(Imported("a tool", children=[draft]), "a\nfile")
    file = tmp_path_factory.mktemp("tree") / "tree.toml"
    file.write_text(out, newline="")
    (child,) = read_config(file, {}).root.children
    assert child.argv == tuple(command)  # type: ignore[union-attr]
    assert child.env == env  # type: ignore[union-attr]


@given(
    st.recursive(
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | texts
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    )
)
def test_values_are_written_as_toml(value: Any) -> None:
    assert tomllib.loads(f"key = {toml(value)}") == {"key": value}


@given(st.lists(st.text(max_size=80), max_size=5))
def test_any_names_become_names_that_are_allowed_and_differ(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    drafts = [Draft(name, {"command": ["true"]}) for name in names]
    out, _ = written(Imported("a tool", children=drafts), "file")
    file = tmp_path_factory.mktemp("tree") / "tree.toml"
    file.write_text(out, errors="replace")
    assert len(read_config(file, {}).root.children) == len(names)


# --- supervisord ----------------------------------------------------------------------------------


def test_programs_of_supervisord(imported: Import, tmp_path: Path) -> None:
    children, warnings = imported("supervisord.conf")
    assert list(children) == ["db", "tools", "web_00", "web_01", "once"]
    web = children["web_01"]
    assert web.argv == ("/usr/bin/env", "gunicorn", "-b", "0.0.0.0:8001", "my app:main")
    assert web.cwd == "/srv/web"
    assert web.umask == 0o022
    assert web.user == "nobody"
    assert (web.stop_signal, web.stop_timeout) == ("SIGQUIT", 30)
    assert web.restart.type is RestartType.TRANSIENT
    assert web.restart.intensity == 4
    assert web.restart.backoff.delays == (1, 2, 3, 4)
    assert web.restart.min_uptime == 5
    assert web.success_exit_codes == (0, 2)
    assert web.logs.forward
    assert web.env["HOME"] == "/home/of"
    assert web.env["COST"] == "${5}"
    assert web.env["P"] == "100%"
    assert web.env["SHARED"] == "one, two"
    db = children["db"]
    assert db.argv == ("postgres", "-D", f"{tmp_path}/data")
    assert db.restart.type is RestartType.PERMANENT
    assert (db.stop_timeout, db.logs.max_size, db.logs.keep) == (10, 2**20, 3)
    assert [child.name for child in children["tools"].children] == ["helper"]
    assert children["once"].reason == "disabled"
    assert told(warnings, "web_00", "stdout_syslog = true")
    assert told(warnings, "db", "stdout_logfile = /var/log/db.log")
    assert told(warnings, "tools", "missing", "no such program")
    assert told(warnings, "loglevel = info")
    assert told(warnings, "[eventlistener:memmon]")
    assert told(warnings, "events = TICK_60")
    assert not told(warnings, "stopasgroup")
    assert not any("hunter2" in line for line in warnings)


def test_includes_of_supervisord(imported: Import, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.ini").write_text("[program:a]\ncommand=true\n")
    text = "[supervisord]\n[include]\nfiles = conf.d/*.ini missing/*.ini\n"
    children, warnings = imported("supervisord.conf", text)
    assert list(children) == ["a"]
    assert told(warnings, "missing/*.ini", "no such file")


# --- circus ---------------------------------------------------------------------------------------


def test_watchers_of_circus(imported: Import) -> None:
    children, warnings = imported("circus.ini")
    assert list(children) == [
        "dbworker",
        "webworker-1",
        "webworker-2",
        "webworker-3",
        "shelled",
    ]
    db = children["dbworker"]
    assert db.argv == ("run", "--name", "/home/of/x", "--id", "1", "--verbose")
    assert (db.cwd, db.user, db.group) == ("/srv", "nobody", 65534)
    assert db.limits == {"nofile": 500}
    assert (db.stop_signal, db.stop_timeout) == ("SIGINT", 3)
    assert db.restart.intensity is None
    assert db.inherit_env == "all"
    assert db.env == {"CITY": "Paris", "DBNAME": "circus db", "COST": "${5}"}
    web = children["webworker-2"]
    assert (web.stop_timeout, web.inherit_env) == (30, ("PATH",))
    assert (web.logs.max_size, web.logs.keep) == (2**20, 4)
    assert children["shelled"].reason == "disabled"
    assert told(warnings, "webworker-1", "$(circus.sockets.webapp)")
    assert told(warnings, "webworker-1", "use_sockets = True")
    assert told(warnings, "dbworker", "rlimit_nproc = 5")
    assert told(warnings, "[socket:webapp]")
    assert told(warnings, "[plugin:flapping]")
    assert told(warnings, "check_delay = 5")


# --- Procfile -------------------------------------------------------------------------------------


def test_processes_of_a_procfile(imported: Import, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=b\n")
    children, warnings = imported("Procfile")
    assert list(children) == ["web", "worker", "clock-1"]
    assert children["web"].argv == ("sh", "-c", "bundle exec rails server -p $PORT")
    assert children["worker"].argv[2] == 'QUEUE="${QUEUE:-default}" bundle exec rake jobs:work'
    assert children["clock-1"].argv[2] == """clock --say 'it\\'s' "time\""""
    assert [child.env["PORT"] for child in children.values()] == ["5000", "5100", "5200"]
    assert all(child.logs.forward for child in children.values())
    assert children["web"].env_file == str(tmp_path / ".env")
    assert told(warnings, "not a process")


# --- pm2 ------------------------------------------------------------------------------------------


def test_apps_of_pm2(imported: Import) -> None:
    children, warnings = imported("ecosystem.json")
    assert list(children) == ["HTTP-API", "Worker-0", "Worker-1", "server"]
    api = children["HTTP-API"]
    node = ("node", "--max-old-space-size=200", "--trace", "http.js")
    assert api.argv == (*node, "--port", "80", "--name", "two words")
    assert api.env == {"NODE_ENV": "normal", "COST": "${5}", "N": "3", "ON": "true"}
    assert (api.stop_signal, api.stop_timeout) == ("SIGINT", 1.6)
    worker = children["Worker-1"]
    assert worker.argv == ("python3", "worker.py")
    assert (worker.cwd, worker.user, worker.stop_timeout) == ("/srv", "nobody", 3)
    assert worker.env == {"NODE_APP_INSTANCE": "1"}
    assert worker.restart.type is RestartType.TRANSIENT
    assert (worker.restart.intensity, worker.restart.min_uptime) == (10, 5)
    assert worker.restart.backoff.delays[:3] == pytest.approx((0.1, 0.15, 0.225))
    assert worker.restart.backoff.delays[-1] == 15
    assert worker.success_exit_codes == (0, 3)
    assert worker.logs.format == "json"
    server = children["server"]
    assert server.argv == ("./bin/server",)
    assert server.restart.type is RestartType.TEMPORARY
    assert server.restart.backoff.delays == (0.25,)
    assert api.memory_limit == 260 * 2**20
    for key in ("exec_mode", "instances", "watch", "env_production"):
        assert told(warnings, "HTTP-API", key), key
    assert told(warnings, "deploy")


def test_jobs_and_watches_of_pm2(imported: Import) -> None:
    children, warnings = imported(
        "ecosystem.json",
        """[
        { script: "tidy.js", autorestart: false, cron_restart: "0 3 * * *" },
        { script: "api.js", cron_restart: "0 3 * * *", watch: ["server", "conf.json", "a/*.js"] },
        { script: "odd.js", autorestart: false, cron: "sometimes", max_memory_restart: "much" }
        ]""",
    )
    assert children["tidy"].cron == "0 3 * * *"
    assert children["api"].cron is None
    assert children["api"].watch == ("server/**", "conf.json", "a/*.js")
    assert told(warnings, "api", "cron_restart")
    assert told(warnings, "odd", "cron", "sometimes")
    assert told(warnings, "odd", "max_memory_restart", "much")
    assert not told(warnings, "tidy", "cron")


# --- process-compose ------------------------------------------------------------------------------


def test_processes_of_process_compose(imported: Import) -> None:
    children, warnings = imported("process-compose.yaml")
    assert list(children) == ["server-0", "server-1", "_process2", "process1", "main", "kcalc"]
    first = children["process1"]
    assert first.argv == ("bash", "-c", "./test_loop.bash ${PROC4} | tee $HOME")
    assert first.env == {"ABC": "222", "HERE": "/home/of/x $5"}
    assert first.restart.type is RestartType.TRANSIENT
    assert (first.restart.intensity, first.restart.backoff.delays) == (4, (2,))
    assert (first.stop_signal, first.stop_timeout) == ("SIGTERM", 4)
    assert (first.logs.max_size, first.logs.keep, first.logs.gzip) == (2**20, 3, True)
    second = children["_process2"]
    assert second.restart.type is RestartType.TEMPORARY
    assert (second.cwd, second.env["EXIT_CODE"], second.env["ON"]) == ("/tmp", "2", "true")
    server = children["server-1"]
    assert server.argv[2] == "python3 -m http.server 4041"
    assert set(server.tags) == {"web", "server"}
    assert server.restart.intensity is None
    ready, live = server.probes
    assert (ready.kind, ready.target) == ("http", "http://127.0.0.1:4041/health")
    assert (live.kind, live.target) == ("command", ("bash", "-c", "ps -ef | grep $HOME"))
    main = children["main"]
    assert main.significant
    assert (main.restart.intensity, main.restart.when_exhausted) == (0, "escalate")
    assert children["kcalc"].reason == "disabled"
    for words in (("process1", "command = sleep 2"), ("server-0", "is_tty"), ("process1", "nginx")):
        assert told(warnings, *words), words
    assert told(warnings, "max_age_days = 3")
    assert told(warnings, "disable_json")


def test_health_and_needs_of_process_compose_are_there_or_told(
    imported: Import, tmp_path: Path
) -> None:
    _, warnings = imported("process-compose.yaml")
    text = (tmp_path / "tree.toml").read_text()
    assert 'http = "http://127.0.0.1:4041/health"' in text
    assert 'command = ["bash", "-c", "ps -ef | grep $HOME"]' in text
    assert 'interval = "2s"' in text
    needs = 'after = { server-0 = "ready", server-1 = "ready", _process2 = "finished" }'
    assert needs in text
    assert warnings


def test_needs_in_a_circle_are_told(imported: Import) -> None:
    text = """
processes:
  a: {command: x, depends_on: {b: {condition: process_started}}}
  b: {command: x, depends_on: {a: {condition: process_started}}}
"""
    children, warnings = imported("process-compose.yaml", text)
    assert set(children) == {"a", "b"}
    assert sum(bool(child.after) for child in children.values()) == 1
    assert told(warnings, "a cycle")
