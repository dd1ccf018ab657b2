"""A server that fails, or says nothing, is told so, and nothing of it is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest

from bench.measure import NotMeasured
from bench.serving.broadcast import crowd
from bench.serving.broadcast.crowd import PYTHON, Crowd

LISTENS = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
PRINTS = LISTENS + "print(s.getsockname()[1], flush=True); "


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = psutil.Process().children()
    yield
    assert psutil.Process().children() == before


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a script the server."""

    def set_up(script: str) -> None:
        monkeypatch.setattr(crowd, "_command", lambda name: ([sys.executable, "-c", script], {}))

    monkeypatch.setattr(crowd, "QUIET", 0.05)
    return set_up


def test_a_server_that_dies_at_once_is_told_by_its_error(server: Callable[[str], None]) -> None:
    server("import nothing_like_it")
    with pytest.raises(
        NotMeasured, match=r"^it has ended: ModuleNotFoundError: No module named 'nothing_like_it'$"
    ):
        Crowd("any", 3)


def test_a_server_whose_program_is_not_here_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_command", lambda name: (["nothing-like-it"], {}))
    with pytest.raises(FileNotFoundError, match="nothing-like-it"):
        Crowd("any", 3)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import time; time.sleep(1000)", "^it printed nothing for 3 s"),
        ("import time; print(1, end='', flush=True); time.sleep(1000)", "^it printed nothing"),
        (PRINTS + "import time; time.sleep(1000)", "^client 1 was not let in: timed out"),
        (PRINTS + "a, _ = s.accept(); a.close(); input()", "^it has cut a client"),
        (
            PRINTS + "a, _ = s.accept(); a.recv(999); a.sendall(b'HTTP/1.1 404 No\\r\\n\\r\\n'); "
            "input()",
            "^a client was refused: .*404 No",
        ),
        ("print('hello', flush=True); input()", "^it printed b'hello.*', which is no port"),
    ],
)
def test_a_server_that_does_not_serve_is_given_up(
    server: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(crowd, "PATIENCE", 3.0 if "sleep" in script else 30.0)
    server(script)
    with pytest.raises(NotMeasured, match=why):
        Crowd("any", 3)


@pytest.mark.parametrize("stalled", [0, 2])
def test_a_frame_goes_to_as_many_clients_as_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, stalled: int
) -> None:
    monkeypatch.setattr(crowd, "QUIET", 0.2)
    with closing(Crowd(PYTHON, 5, stalled)) as here:
        [process] = psutil.Process().children()
        links = [link for link in process.net_connections("tcp") if link.status == "ESTABLISHED"]
        assert len(links) == 5
        assert 5_000 < here.size < 5_100
        for _ in range(3):
            assert 0 < here.seconds() < 30
