"""What is told of commands that fail: those that install peers, and those that measure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from bench import alone
from bench.measure import NotMeasured

Command = Callable[[str, str], None]

NPM = """npm error code ECONNREFUSED
npm error FetchError: request to http://127.0.0.1:9/ws failed, reason: connect ECONNREFUSED
npm error     at emitErrorEvent (node:_http_client:101:11)
npm error   port: 9,
npm error }
npm error
npm error If you are behind a proxy, please make sure that the 'proxy' config is set properly.
npm error A complete log of this run can be found in: /somewhere/debug-0.log
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy that remembers nothing, as root of a machine on which nothing is installed."""
    spec = find_spec("bench.install")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HOME", tmp_path / "peers")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return module


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Puts a program on the path; it notes its calls in ``calls``."""

    def put(name: str, script: str) -> None:
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
        file.chmod(0o755)

    return put


def calls(directory: Path) -> list[str]:
    return (directory / "calls").read_text().splitlines()


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def says(text: str) -> str:
    return f"/bin/cat >&2 <<'END'\n{text}END\nexit 1"


def test_a_failure_is_told_by_its_error_line_and_is_not_tried_again(
    install: ModuleType, command: Command, tmp_path: Path
) -> None:
    command("node", "")
    command("npm", says(NPM))
    for _ in range(3):
        with pytest.raises(NotMeasured, match=r"^npm exited with 1: FetchError: request to .*SED$"):
            install.node_peers()
    assert len(calls(tmp_path)) == 1


def test_the_packages_are_listed_once_for_all_peers_of_debian(
    install: ModuleType, command: Command, tmp_path: Path
) -> None:
    command("apt-get", says("E: Could not resolve 'mirror.example'\n"))
    for program in (*install.DEBIAN_PEERS, *install.DEBIAN_PEERS):
        with pytest.raises(NotMeasured, match="apt-get exited with 1: E: Could not resolve"):
            install.debian_peer(program)
    assert calls(tmp_path) == ["apt-get update --quiet"]


def test_npm_is_installed_where_it_is_not(
    install: ModuleType, command: Command, tmp_path: Path
) -> None:
    program = f"{tmp_path}/bin/$5"
    put = f'printf "#!/bin/sh\\n" > {program} && /bin/chmod +x {program}'
    command("apt-get", f'if [ "$1" = install ]; then {put}; fi')
    command("node", "")
    (tmp_path / "peers" / "node").mkdir(parents=True)
    assert install.node_peers() == tmp_path / "peers" / "node" / "node_modules"
    assert calls(tmp_path) == [
        "apt-get update --quiet",
        "apt-get install --quiet --yes --no-install-recommends npm",
    ]


def test_what_is_installed_is_kept_until_something_else_is_asked_for(
    install: ModuleType, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(tmp_path / "peers" / "node")
    command("node", "")
    command("npm", "")
    install.node_peers()
    install.node_peers()
    install.once(install.node_peers.__wrapped__)()  # in another run
    assert len(calls(tmp_path)) == 1
    monkeypatch.setattr(install, "NODE_PEERS", ("ws@9",))
    install.once(install.node_peers.__wrapped__)()
    assert calls(tmp_path)[1:] == [f"npm install --no-audit --no-fund --prefix {home} ws@9"]


def test_an_installation_that_hangs_is_given_up_with_all_that_it_has_started(
    install: ModuleType, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "PATIENCE", 3.0)
    command("apt-get", f"/bin/sleep 1000 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(NotMeasured, match="apt-get was not done within 3 s"):
        install.debian_peer("s6-svscan")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not is_running(pid):
            return
        subprocess.run(["/bin/sleep", "0.1"], check=True)
    pytest.fail("it still runs")


@pytest.mark.parametrize(
    "failure", [OSError("no such thing"), subprocess.TimeoutExpired("pip", 3), NotMeasured("no")]
)
def test_a_failure_of_any_sort_means_not_measured(install: ModuleType, failure: Exception) -> None:
    tried = 0

    def get() -> None:
        nonlocal tried
        tried += 1
        raise failure

    got = install.once(get)
    for _ in range(2):
        with pytest.raises(NotMeasured, match=str(failure)):
            got()
    assert tried == 1


def test_everything_is_got_beforehand_and_what_cannot_be_had_is_named(
    install: ModuleType, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "erlc", "s6-svscan"):
        command(name, "")
    command("npm", says(NPM))
    command("python", says("ERROR: no venv here\nhint: buy one\n"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    failed = install.everything()
    assert sorted(failed) == ["pm2, ws", "runit", "supervisord, circus", "triotp"]
    assert failed["supervisord, circus"].endswith("exited with 1: ERROR: no venv here")
    assert failed["runit"] == "Debian's package runit is not installed"
    assert failed["triotp"] == "triotp needs Python 3.13, which is not here"


def test_versions_are_of_what_is_here(install: ModuleType, tmp_path: Path) -> None:
    assert install.versions() == {}
    package = tmp_path / "peers" / "node" / "node_modules" / "ws" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"name": "ws", "version": "8.1.2"}')
    python = tmp_path / "peers" / "triotp" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    found = install.versions()
    assert found["ws"] == "8.1.2"
    assert found["Python of trees"] == ".".join(map(str, sys.version_info[:3]))
    assert found["trio of trees"]
    assert not {"pm2", "supervisor", "circus", "triotp"} & set(found)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", ""),
        ("one\n\ntwo\n", "two"),
        ("ERROR: No matching distribution found for x\n\n[notice] A new pip\n", "ERROR: No matc"),
        ("Error: Cannot find module 'ws'\nRequire stack:\n- peer\n}\n\nNode.js v20\n", "Error: C"),
        ("npm ERR! 404 Not Found - GET x\nnpm ERR! 404\nnpm ERR! A complete log\n", "404 Not F"),
    ],
)
def test_the_reason_is_the_last_line_that_tells_of_an_error(
    install: ModuleType, said: str, why: str
) -> None:
    assert install.reason(said).startswith(why)
    assert bool(install.reason(said)) is bool(why)


# --- those that measure ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "it printed nothing"),
        ("print('a word')", "it printed no figures, but 'a word'"),
        ("raise SystemExit(3)", "exited with 3"),
        ("raise SystemExit('no luck')", "no luck"),
        ("import time; time.sleep(1000)", r"not done within 0\.5 s"),
    ],
)
def test_a_child_that_tells_no_figures_is_not_measured(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "PATIENCE", 0.5 if "sleep" in script else 30.0)
    with pytest.raises(NotMeasured, match=f"^{why}$"):
        alone.printed([sys.executable, "-c", script])


def test_the_figures_are_what_is_printed_last() -> None:
    script = "print('about to'); print('{\"us\": 1.5}')"
    assert alone.printed([sys.executable, "-c", script]) == {"us": 1.5}
