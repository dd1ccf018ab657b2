"""The control API below ``/api/v1``: which address does what, for whom.

``openapi.py`` describes it; a test holds the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, TypeAlias

import attrs
import structlog
import trio
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from a2a_sup.errors import A2ASupError, NoSuchChild, NotSupported
from a2a_sup.model.agents import agent_to_json
from a2a_sup.model.snapshot import ChildSnapshot, SupervisorSnapshot, TreeSnapshot
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_commands import Verb, child_at, no_such_child
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.api_events import events_response
from a2a_sup.serve.api_input import boolean, copies, no_body, parameters, switch, wait_limit, words
from a2a_sup.serve.api_logs import logs_response
from a2a_sup.serve.api_problems import Problem, nearest
from a2a_sup.serve.api_status import StatusPage, pids_of
from a2a_sup.serve.api_usage import usage_of
from a2a_sup.serve.authority import Caller
from a2a_sup.serve.frames import picture_json, tree_json
from a2a_sup.serve.openapi import document

Json: TypeAlias = dict[str, Any]
PREFIX = "/api/v1"
CHILD = "/children/{path}"
ACTIONS = ("start", "stop", "restart", "scale", "logs")
FIXED = ("/tree", "/status", "/usage", "/events", "/agents", "/reload", "/openapi.json")
SMALL = 100
"""Children that are rendered in about 3 ms."""
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@attrs.frozen
class Ask:
    """One request, understood: who asks what about which child."""

    request: Request
    caller: Caller
    path: str


Handler: TypeAlias = Callable[[Ask], Awaitable[Response]]


def api_routes(control: Control) -> list[BaseRoute]:
    """Return the routes of the API.

    One control serves all doors: what a caller may do is told by the request.
    """
    register_url_convertor("anything", Anything())
    return [Route(PREFIX + "/{rest:anything}", Api(control))]


class Anything(Convertor[str]):
    """The rest of an address, also with the newlines that Starlette's ``path`` leaves out."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return it as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return it as it is."""
        return value


class Api:
    """An ASGI application: finds the handler, asks for authority, makes problems of mistakes.

    Attributes:
        handlers: by method and address below the prefix, as in the OpenAPI document.
    """

    def __init__(self, control: Control) -> None:
        """Serve what ``control`` shows and does."""
        self._control = control
        self._tree = control.tree
        self._status = StatusPage()
        self.handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/tree"): self._get_tree,
            ("GET", "/status"): self._get_status,
            ("GET", "/usage"): self._get_usage,
            ("GET", CHILD): self._get_child,
            ("GET", CHILD + "/logs"): self._get_logs,
            ("POST", CHILD + "/start"): lambda ask: self._command("start", ask),
            ("POST", CHILD + "/stop"): lambda ask: self._command("stop", ask),
            ("POST", CHILD + "/restart"): lambda ask: self._command("restart", ask),
            ("GET", "/events"): self._get_events,
            ("GET", "/openapi.json"): self._get_document,
        }
        if control.registry is not None:
            self.handlers["GET", "/agents"] = self._get_agents
        if control.reload is not None:
            self.handlers["POST", "/reload"] = self._post_reload
        if control.scale is not None:
            self.handlers["POST", CHILD + "/scale"] = self._post_scale
        self._document = document(self.handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Problem as problem:
            response = problem.response(scope["path"])
        except ClientDisconnect:
            return
        except Exception as exc:  # noqa: BLE001 - a mistake of ours ends one request only
            structlog.get_logger().error("api.failed", path=scope["path"], exc_info=exc)
            mistake = Problem("internal-error", "see the log of the supervisor")
            response = mistake.response(scope["path"])
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            caller = self._control.authority.caller(request.scope, request.headers)
        except Problem as problem:
            if problem.kind == "wrong-token":
                client = request.client.host if request.client else ""
                structlog.get_logger().warning("control.wrong_token", peer=client)
            raise
        address, path = self._resource(request)
        method = "GET" if request.method == "HEAD" else request.method
        handler = self.handlers.get((method, address))
        if handler is None:
            raise self._no_handler(request.method, address)
        if method != "GET":
            self._control.authority.demand(caller)
        return await handler(Ask(request, caller, path))

    def _resource(self, request: Request) -> tuple[str, str]:
        address, path = resource_of("/" + request.path_params["rest"])
        if address.startswith(CHILD + "/") and request.method in {"GET", "HEAD"}:
            # A child may be called like an action. What has children prints nothing, so
            # there is never both.
            whole = f"{path}/{address.rpartition('/')[2]}"
            if child_at(self._tree, whole) is not None:
                return CHILD, whole
        return address, path

    def _no_handler(self, method: str, address: str) -> Problem:
        allowed = sorted(each for each, where in self.handlers if where == address)
        if not allowed:
            detail = f"nothing is at {PREFIX}{address:.200}{nearest(address, FIXED)}"
            return Problem("no-such-resource", detail)
        allowed += ["HEAD"] if "GET" in allowed else []
        listed = ", ".join(allowed)
        return Problem("wrong-method", f"found {method:.20}; allowed: {listed}", {"Allow": listed})

    # --- what is ------------------------------------------------------------------------------

    async def _get_tree(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        snapshot = self._tree.snapshot()
        wall_time = self._tree.wall_time(snapshot.time)
        if is_small(snapshot):
            return json_response(tree_json(snapshot, wall_time))
        return json_response(await trio.to_thread.run_sync(tree_json, snapshot, wall_time))

    async def _get_status(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        snapshot = self._tree.snapshot()
        wall_time = self._tree.wall_time(snapshot.time)
        made = await trio.to_thread.run_sync(self._status.render, snapshot, wall_time)
        return json_response(made)

    async def _get_child(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        return json_response(await self._pictured(self._child(ask.path)))

    async def _get_logs(self, ask: Ask) -> Response:
        # What a program prints may be sensitive; whoever has set a token wants it asked for.
        if self._control.authority.has_token:
            self._control.authority.demand(ask.caller)
        self._child(ask.path)
        log = self._control.logs(ask.path)
        if log is None:
            detail = f"{ask.path!r} has printed nothing, or lately nothing"
            raise Problem("no-logs", detail, child=ask.path)
        return logs_response(ask.request, log)

    async def _get_events(self, ask: Ask) -> Response:
        if self._control.authority.has_token:
            self._control.authority.demand(ask.caller)
        return events_response(ask.request, self._tree, self._control.events)

    async def _get_usage(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        usage = await trio.to_thread.run_sync(usage_of, pids_of(self._tree.snapshot()))
        children = {path: found.to_json() for path, found in usage.items()}
        wall_time = self._tree.wall_time(trio.current_time())
        return JSONResponse({"wall_time": wall_time, "children": children})

    async def _get_agents(self, ask: Ask) -> Response:
        asked = parameters(
            ask.request, {"enabled": boolean, "category": words, "tags": words, "search": words}
        )
        tags = [tag for tag in asked.pop("tags", "").split(",") if tag]
        registry = self._control.registry or AgentRegistry()
        agents = [agent_to_json(agent) for agent in registry.list(tags=tags, **asked)]
        return JSONResponse({"agents": agents, "total": len(registry)})

    async def _get_document(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        return JSONResponse(self._document)

    # --- what is done -------------------------------------------------------------------------

    async def _command(self, verb: Verb, ask: Ask) -> Response:
        parameters(ask.request, {})
        patience = await wait_limit(ask.request)
        done = await self._control.commands.run(verb, ask.path, ask.caller.name, patience=patience)
        child = self._tree.child(done.path)
        return json_response(await self._pictured(child, command=verb, **attrs.asdict(done)))

    async def _post_reload(self, ask: Ask) -> Response:
        plan_only = parameters(ask.request, {"plan": switch}).get("plan", False)
        await no_body(ask.request)
        log = structlog.get_logger().bind(by=ask.caller.name)
        log.info("control.reload", plan_only=plan_only)
        try:
            return JSONResponse(await self._control.reloaded(plan_only))
        except (A2ASupError, OSError) as exc:
            log.warning("control.reload.refused", because=str(exc))
            problems = [str(problem) for problem in getattr(exc, "problems", (exc,))]
            raise Problem("reload-failed", "\n".join(problems), problems=problems) from None

    async def _post_scale(self, ask: Ask) -> Response:
        parameters(ask.request, {})
        wanted = await copies(ask.request)
        self._child(ask.path)
        log = structlog.get_logger().bind(child=ask.path, by=ask.caller.name)
        log.info("control.scale", replicas=wanted)
        try:
            return JSONResponse(await self._control.scaled(ask.path, wanted))
        except (A2ASupError, OSError) as exc:
            log.warning("control.scale.refused", because=str(exc))
            raise _not_scaled(exc, ask.path) from None

    def _child(self, path: str) -> ChildSnapshot:
        """Return a child with all below it. Raises Problem: no-such-child."""
        row = child_at(self._tree, path)
        if row is None:
            raise no_such_child(self._tree, path)
        if row.supervisor is None:
            return row
        supervisor: SupervisorSnapshot | None = self._tree.snapshot().root
        names = path.split("/")
        for name in names[:-1]:
            supervisor = _named(supervisor, name).supervisor
        return _named(supervisor, names[-1])

    async def _pictured(self, child: ChildSnapshot | None, **more: Any) -> bytes:
        """Return the answer with a child in it, as JSON; None: it is no more."""
        snapshot = self._tree.snapshot()
        wall_time = self._tree.wall_time(snapshot.time)
        head = {**more, "revision": snapshot.revision, "time": snapshot.time}
        text = json.dumps({**head, "wall_time": wall_time}).encode()[:-1]
        if child is None:
            return text + b', "child": null}'
        if child.supervisor is None:
            picture = picture_json(child)
        else:  # what is below it may be much
            picture = await trio.to_thread.run_sync(picture_json, child)
        return text + b', "child": ' + picture + b"}"


def is_small(snapshot: TreeSnapshot) -> bool:
    """Return whether a tree is rendered sooner than a thread has its turn with a busy loop."""
    return next(islice(snapshot.walk(), SMALL, None), None) is None


def json_response(body: bytes) -> Response:
    """Return an answer that is JSON already."""
    return Response(body, media_type="application/json")


def _not_scaled(error: Exception, path: str) -> Problem:
    match error:
        case NoSuchChild():  # the file has lost it meanwhile
            kind = "no-such-child"
        case NotSupported():
            kind = "not-supported"
        case _:
            kind = "start-failed"
    return Problem(kind, str(error), child=path)


def _named(supervisor: SupervisorSnapshot | None, name: str) -> ChildSnapshot:
    children = () if supervisor is None else supervisor.children
    return next(child for child in children if child.name == name)


def resource_of(address: str) -> tuple[str, str]:
    """Return the address of a kind of resource, and the child's path in it, if it has one."""
    prefix = "/children/"
    if not address.startswith(prefix):
        return address, ""
    path = address.removeprefix(prefix)
    child, slash, action = path.rpartition("/")
    return (f"{CHILD}/{action}", child) if slash and action in ACTIONS else (CHILD, path)
