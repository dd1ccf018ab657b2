"""A check that an A2A agent answers: its card, then a question that costs and changes nothing.

A2A has no method for this. A task that does not exist is asked for: the protocol's own error shows
that the agent's dispatcher and its task store work, and no model was called. Both eras of the
protocol are spoken: 1.0 (``GetTask``) and 0.3 (``tasks/get``).
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from a2a_sup.checks.cards import Card, Interface, read_card
from a2a_sup.checks.fetching import Request, Response, fetch, header_problems
from a2a_sup.checks.urls import Url, shown_url, url_of
from a2a_sup.errors import CheckFailed, SpecError
from a2a_sup.model.spec import ChildContext

CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Where the card is; the second one is that of agents older than protocol 0.3."""
CARD_BYTES = 1024 * 1024
NEEDS_AUTH = (401, 403)
TASK_NOT_FOUND = -32001
"""A2A 1.0.1 and 0.3.0, JSON-RPC binding."""


@attrs.frozen
class A2AAgent:
    """A check: an A2A agent has a valid card and answers. See :func:`a2a_agent`.

    Attributes:
        name: what the probe is called.
        url: where the agent is: of the card if it names one, else of its host.
        headers: sent along.
        ca_file: certificates to trust in place of the system's.
    """

    name: str
    url: Url
    headers: Mapping[str, str] = attrs.field(repr=False)
    ca_file: str | None

    async def __call__(self, _context: ChildContext) -> str:
        """Ask, and return what the agent is called. Raises CheckFailed."""
        card = await self._card()
        if isinstance(card, str):
            return card
        if card.interface is None:
            return f"{card.name}: the card is valid, and nothing in it speaks HTTP"
        return f"{card.name}: {await self._ask(card.interface)}"

    async def _card(self) -> Card | str:
        """Return the card, or why it may not be seen."""
        paths = CARD_PATHS if self.url.target == "/" else (self.url.target,)
        for path in paths:
            response = await self._fetched(self.url.at(path))
            if response.status != 404:
                break
        if response.status in NEEDS_AUTH:
            return f"the card needs authentication (status {response.status})"
        if response.status != 200:
            raise CheckFailed(f"no agent card: status {response.status}")
        document = _json(response)
        if document is None:
            raise CheckFailed("the agent card is no JSON")
        try:
            return read_card(document)
        except ValueError as exc:
            raise CheckFailed(str(exc)) from exc

    async def _ask(self, interface: Interface) -> str:
        """Ask for a task that does not exist; return what the answer was."""
        url = self._reachable(interface.url)
        task = f"a2a_sup-probe-{secrets.token_hex(8)}"
        if interface.binding == "JSONRPC":
            method = "GetTask" if interface.era == "1.0" else "tasks/get"
            question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"id": task}}
            response = await self._fetched(url, interface, question)
            return _json_rpc_verdict(response)
        path = f"/tasks/{task}" if interface.era == "1.0" else f"/v1/tasks/{task}"
        base, _, query = url.target.partition("?")
        target = base.rstrip("/") + path + (f"?{query}" if query else "")
        return _http_json_verdict(await self._fetched(url.at(target), interface))

    def _reachable(self, given: str) -> Url:
        """Return where to ask: a card may name its public address, or ``0.0.0.0``.

        The card is the agent's word, and so decides on no other host than the agent's own.
        """
        try:
            url = url_of(given)
        except ValueError:
            raise CheckFailed("the agent card: the url of its interface is no URL") from None
        if url.scheme == "http+unix" or not _is_same_host(url.host, self.url.host):
            return self.url.at(url.target)
        return attrs.evolve(url, host=self.url.host, credentials=self.url.credentials)

    async def _fetched(
        self, url: Url, interface: Interface | None = None, question: object = None
    ) -> Response:
        headers = {"accept": "application/json", **self.headers}
        if interface is not None and interface.era == "1.0":
            headers["a2a-version"] = "1.0"
        body = b""
        if question is not None:
            headers["content-type"] = "application/json"
            body = json.dumps(question).encode()
        method = "POST" if body else "GET"
        return await fetch(Request(url, method, headers, body, CARD_BYTES, self.ca_file))


def _is_same_host(found: str, asked: str) -> bool:
    return found == asked or (_is_local(found) and _is_local(asked))


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback or address.is_unspecified


def _json_rpc_verdict(response: Response) -> str:
    if response.status in NEEDS_AUTH:
        return f"it needs authentication (status {response.status})"
    answer = _json(response)
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        raise CheckFailed(f"status {response.status}, no answer in JSON-RPC")
    error = answer.get("error")
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        code = error["code"]
        return "no such task, as it should be" if code == TASK_NOT_FOUND else f"error {code}"
    if "result" in answer:
        return "answers"
    raise CheckFailed(f"status {response.status}, JSON-RPC without result or error")


def _http_json_verdict(response: Response) -> str:
    if response.status in NEEDS_AUTH:
        return f"it needs authentication (status {response.status})"
    answer = _json(response)
    if response.status >= 500 or not isinstance(answer, dict):
        raise CheckFailed(f"status {response.status}, no answer as an agent gives it")
    return "no such task, as it should be" if response.status == 404 else "answers"


def _json(response: Response) -> Any:
    """Return the document in a response; None if there is none."""
    try:
        return json.loads(response.body) if response.is_whole else None
    except (ValueError, RecursionError):
        return None


def a2a_agent(
    url: str, *, headers: Mapping[str, str] | None = None, ca_file: str | None = None
) -> A2AAgent:
    """Return a check that asks an A2A agent for its card, and then for a task that does not exist.

    It passes if the card has what the protocol (1.0 or 0.3) requires and the agent answers: that
    there is no such task, or anything else that the protocol writes. An agent that wants
    authentication is alive. No message is sent, so no model is called.

    Args:
        url: of the agent's host, ``http://127.0.0.1:9999/``: its card is looked for at the
            well-known paths; or of the card itself.
        headers: sent along, such as ``Authorization``.
        ca_file: certificates to trust in place of the system's.

    Raises:
        SpecError: an argument is out of range; all mistakes are named.
    """
    problems = header_problems(headers or {})
    try:
        place = url_of(url)
    except ValueError as exc:
        problems.insert(0, f"url is {exc}")
    if problems:
        raise SpecError(f"a2a: {problem}" for problem in problems)
    return A2AAgent(f"a2a {shown_url(url)}", place, dict(headers or {}), ca_file)
