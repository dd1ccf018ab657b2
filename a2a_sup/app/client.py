"""A client of the control API over its unix socket. Only the standard library: it is to be quick.

A supervisor is found by a path that is given, or by looking into the user's runtime directory.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from a2a_sup.app.control_path import NotOurs, control_paths

Json: TypeAlias = dict[str, Any]

HOW_TO_START = "start one: a2a-sup run FILE"
ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 45.0
"""A stream has a heartbeat every 15 s: after so much silence its other end is gone."""


class ClientError(Exception):
    """A command that cannot be carried out: the message is one line for people.

    Attributes:
        status: the exit status of the program.
    """

    status = 1


class NoSupervisor(ClientError):
    """Nobody answers, or several could be meant."""

    status = 3


class Refused(ClientError):
    """The supervisor refused, or the command failed.

    Attributes:
        kind: the last part of the problem's type, such as ``no-such-child``.
        detail: what it said.
    """

    def __init__(self, kind: str, detail: str) -> None:
        """Take the problem."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        if kind == "timed-out":
            self.status = 4


class Client:
    """Asks one supervisor.

    Attributes:
        path: its control socket.
        answer_seconds: for an answer that needs no waiting.
    """

    def __init__(self, path: Path) -> None:
        """Ask at ``path``. Nothing is opened before the first question."""
        self.path = path
        self.answer_seconds = ANSWER_SECONDS

    def get(self, address: str, **query: Any) -> Json:
        """Return what is at an address below ``/api/v1``. Raises ClientError."""
        return self._answer(_Question("GET", address, query, seconds=self.answer_seconds))

    def post(self, address: str, body: Json | None = None, **query: Any) -> Json:
        """Have something done and wait for the end, however long. Raises ClientError."""
        return self._answer(_Question("POST", address, query, body=body))

    def stream(self, address: str, last_id: str | None = None, **query: Any) -> Iterator[Json]:
        """Yield the data of server-sent events until the supervisor ends the stream.

        Each is an object, with ``"id"`` if the event has one. Close the iterator to leave.

        Raises:
            ClientError: refused, or nobody answers, also in the middle.
        """
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        question = _Question("GET", address, query, seconds=SILENCE_SECONDS, headers=headers)
        connection, response = self._ask(question)
        try:
            yield from events_in(response)
        except (OSError, HTTPException) as exc:
            raise self._lost(exc) from None
        finally:
            connection.close()

    def _answer(self, question: _Question) -> Json:
        connection, response = self._ask(question)
        try:
            found: Json = json.loads(response.read())
        except (OSError, HTTPException) as exc:
            raise self._lost(exc) from None
        finally:
            connection.close()
        return found

    def _ask(self, question: _Question) -> tuple[_UnixConnection, HTTPResponse]:
        connection = _UnixConnection(self.path, question.seconds)
        try:
            connection.request(question.method, question.target, question.body, question.headers)
            response = connection.getresponse()
            if response.status == 200:
                return connection, response
            raise _refusal(response)
        except (OSError, HTTPException) as exc:
            connection.close()
            raise self._lost(exc) from None
        except ClientError:
            connection.close()
            raise

    def _lost(self, error: Exception) -> NoSupervisor:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return NoSupervisor(f"no supervisor listens at {self.path}; {HOW_TO_START}")
        if isinstance(error, TimeoutError):
            return NoSupervisor(f"the supervisor at {self.path} does not answer")
        if isinstance(error, PermissionError):
            return NoSupervisor(f"the supervisor at {self.path} belongs to another user")
        return NoSupervisor(f"the supervisor at {self.path} went away: {error}")


class _Question:
    """One request, written out."""

    def __init__(
        self,
        method: str,
        address: str,
        query: Json,
        *,
        body: Json | None = None,
        seconds: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        self.method = method
        self.target = f"/api/v1/{quote(address)}" + (f"?{given}" if given else "")
        self.body = None if body is None else json.dumps(body)
        self.seconds = seconds
        self.headers = dict(headers or {})
        if body is not None:
            self.headers["Content-Type"] = "application/json"


def _refusal(response: HTTPResponse) -> Refused:
    try:
        problem = json.loads(response.read())
        kind = str(problem["type"]).rpartition("/")[2]
        return Refused(kind, str(problem.get("detail") or problem["title"]))
    except (ValueError, KeyError, TypeError):
        return Refused("unknown", f"the supervisor answered {response.status} {response.reason}")


def events_in(lines: Iterator[bytes] | HTTPResponse) -> Iterator[Json]:
    """Yield the events of a stream of lines: https://html.spec.whatwg.org, 9.2.6.

    Comments and fields that this API does not send are ignored.
    """
    data: list[str] = []
    number: str | None = None
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found: Json = json.loads("\n".join(data))
                yield found if number is None else {**found, "id": number}
            data, number = [], None
        elif name == "data":
            data.append(value)
        elif name == "id":
            number = value


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, seconds: float | None) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(sock, self._path, self.timeout)
            sock.settimeout(self.timeout)
        except OSError:
            sock.close()
            raise
        self.sock = sock


def _connect(sock: socket.socket, path: Path, seconds: float | None) -> None:
    """Connect, and wait for as long if many others do; a moment's crowd is nobody's absence.

    Raises:
        TimeoutError: somebody listens there, but has no room.
        OSError: nobody does.
    """
    # The kernel waits only for sockets that block: others are told EAGAIN at once (connect(2)).
    if seconds is not None:
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    try:
        sock.connect(os.fspath(path))
    except BlockingIOError as exc:
        raise TimeoutError(*exc.args) from None


# --- which supervisor -----------------------------------------------------------------------------


def find(told: str | None) -> Client:
    """Return a client for the supervisor at ``told``, or for the only one of this user.

    Raises:
        NoSupervisor: there is none, or there are several.
    """
    if told is not None:
        return Client(Path(told))
    try:
        living = [path for path in control_paths() if is_answered(path)]
    except (NotOurs, OSError) as exc:
        raise NoSupervisor(f"no supervisor can be looked for: {exc}") from None
    if not living:
        raise NoSupervisor(f"no supervisor of yours is running; {HOW_TO_START}")
    if len(living) > 1:
        paths = ", ".join(map(str, living))
        how = "choose with --control PATH or A2A_SUP_CONTROL"
        raise NoSupervisor(f"{len(living)} supervisors of yours are running; {how}: {paths}")
    return Client(living[0])


def is_answered(path: Path) -> bool:
    """Return whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            _connect(sock, path, 1.0)
        except TimeoutError:
            return True  # it is busy
        except OSError:
            return False
    return True
