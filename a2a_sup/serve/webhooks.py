"""Webhooks: events of a tree, posted to receivers that may be slow, dead or wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import trio

from a2a_sup.model.codec import event_to_json
from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.tree.bus import Subscription
from a2a_sup.tree.handle import TreeHandle

if TYPE_CHECKING:
    import httpx

    from a2a_sup.model.spec import ChildContext

DEFAULT_EVENTS = ("child.failed", "child.stuck", "supervisor.gave_up")
HELD = 1000
"""Events that wait for one receiver; more are dropped, the oldest first, and counted."""
EVENTS_HELD = 10_000
"""Events of the tree that may wait to be sorted."""
FIRST_DELAY = 1.0
"""Seconds before the first retry; each next one waits twice as long."""
LONGEST_DELAY = 60.0
FLUSH_SECONDS = 3.0
"""How long the end of the program waits for what was not delivered yet."""
RETRIED = frozenset({408, 425, 429})
"""Refusals that say "later". Of the others those of 500 and above are retried too."""

_log = logging.getLogger(__name__)


@attrs.frozen
class Webhook:
    """One receiver.

    Attributes:
        url: http or https. It may hold a secret: it is never shown.
        events: which types of events it gets; ``*`` and ``?`` as in names of files.
        secret: the key of the signature; None: nothing is signed.
        timeout: seconds for one attempt, from the connection to the answer.
        retries: attempts after the first one.
    """

    url: str = attrs.field(repr=False)
    events: tuple[str, ...] = DEFAULT_EVENTS
    secret: str | None = attrs.field(default=None, repr=False)
    timeout: float = 10.0
    retries: int = 5

    @property
    def host(self) -> str:
        """What of the URL is shown."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def wants(self, event: Event) -> bool:
        """Return whether it gets this event."""
        return any(fnmatchcase(event.type, pattern) for pattern in self.events)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return ``sha256=`` and the HMAC-SHA256, in hexadecimal, of the timestamp, a dot, the body."""
    signed = timestamp.encode() + b"." + body
    # A secret of the environment may be any bytes.
    key = secret.encode(errors="surrogateescape")
    return "sha256=" + hmac.new(key, signed, hashlib.sha256).hexdigest()


class Receivers:
    """Who is told of the events of one tree. They may change while it runs."""

    def __init__(
        self, webhooks: Iterable[Webhook], tree: TreeHandle, early: Subscription | None = None
    ) -> None:
        """Take those to begin with, and whose events they are told; ``serve`` tells them.

        Args:
            webhooks: the receivers.
            tree: whose events.
            early: a subscription of before its start, taken over; None: what is before ``serve``
                is not told.
        """
        self._tree = tree
        self._early = early
        self._outboxes = [_Outbox(webhook, tree) for webhook in webhooks]
        self._are_some = trio.Event()
        self._nursery: trio.Nursery | None = None

    def become(self, webhooks: Iterable[Webhook]) -> None:
        """Tell these from now on.

        One with the URL of an earlier one keeps what is held for it; what is held for one that
        goes is dropped.
        """
        before = self._outboxes
        self._outboxes = []
        for webhook in webhooks:
            outbox = next((each for each in before if each.webhook.url == webhook.url), None)
            if outbox is None:
                outbox = _Outbox(webhook, self._tree)
                self._begin(outbox)
            else:
                before.remove(outbox)
                outbox.webhook = webhook
            self._outboxes.append(outbox)
        for outbox in before:
            outbox.drop()
        if self._outboxes:
            self._are_some.set()

    async def serve(self, *, task_status: ChildContext) -> None:
        """Post events until the tree has ended and everything was delivered or given up.

        Asked to stop, it has FLUSH_SECONDS for what was not delivered yet.
        """
        is_needed = bool(self._outboxes)
        if not is_needed:  # then it costs nothing, and its stop no time
            task_status.started()
            await self._are_some.wait()
        stop = task_status.stop_request()
        early, self._early = self._early, None
        with early or self._tree.events(EVENTS_HELD) as events:
            if is_needed:
                task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_later, nursery.cancel_scope, stop.wait)
                await self._deliver(events)
                nursery.cancel_scope.cancel()

    async def _deliver(self, events: Subscription) -> None:
        """Sort events to their receivers until there are no more and each has got what it will."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for outbox in self._outboxes:
                self._begin(outbox)
            try:
                while batch := await events.batch():
                    for event in batch:
                        for outbox in self._outboxes:
                            outbox.take(event)
            finally:
                self._nursery = None
            for outbox in self._outboxes:
                outbox.close()

    def _begin(self, outbox: _Outbox) -> None:
        if self._nursery is not None:
            outbox.scope = trio.CancelScope()
            self._nursery.start_soon(outbox.deliver)


async def _cancel_later(scope: trio.CancelScope, happens: Callable[[], Awaitable[object]]) -> None:
    await happens()
    scope.deadline = trio.current_time() + FLUSH_SECONDS


class _Outbox:
    """What waits for one receiver, and the loop that delivers it.

    Attributes:
        webhook: the receiver; another one with the same URL may take its place.
        scope: what ``deliver`` is to run in.
    """

    def __init__(self, webhook: Webhook, tree: TreeHandle) -> None:
        self.webhook = webhook
        self.scope = trio.CancelScope()
        self._tree = tree
        self._held: deque[Event] = deque()
        self._dropped = 0
        self._is_closed = False
        self._is_failing = False
        self._changed = trio.Event()

    def take(self, event: Event | EventsDropped) -> None:
        """Hold an event if the receiver wants it."""
        if isinstance(event, EventsDropped):
            self._dropped += event.count
        elif self.webhook.wants(event):
            if len(self._held) >= HELD:
                self._held.popleft()
                self._dropped += 1
            self._held.append(event)
            self._changed.set()

    def close(self) -> None:
        """Take no more; the loop ends after what is held."""
        self._is_closed = True
        self._changed.set()

    def drop(self) -> None:
        """Deliver nothing more."""
        self.scope.cancel()
        if self._held:
            host, count = self.webhook.host, len(self._held)
            _log.warning("webhook to %s was taken back with %d events not delivered", host, count)

    async def deliver(self) -> None:
        """Deliver one event after the other."""
        with self.scope:
            await trio.to_thread.run_sync(_import_library)
            import httpx  # noqa: PLC0415 - imported already

            # No proxy and no password file of the environment: it goes where the file says.
            async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
                while self._held or not self._is_closed:
                    if self._held:
                        await self._deliver_one(client, self._held.popleft())
                    else:
                        self._changed = trio.Event()
                        await self._changed.wait()

    async def _deliver_one(self, client: httpx.AsyncClient, event: Event) -> None:
        # What is dropped while this is under way is told by the next one.
        dropped, self._dropped = self._dropped, 0
        delivery = str(uuid.uuid4())
        fields = {**event_to_json(event), "wall_time": self._tree.wall_time(event.time)}
        content = {
            "delivery": delivery,
            "tree": self._tree.name,
            "dropped": dropped,
            "event": fields,
        }
        body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "a2a-sup",
            "X-A2A-Sup-Delivery": delivery,
            "X-A2A-Sup-Event": event.type,
        }
        delay = FIRST_DELAY
        for attempt in range(self.webhook.retries + 1):
            if attempt:
                # A random part, so that many supervisors do not come back at once.
                await trio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                delay = min(delay * 2, LONGEST_DELAY)
            failure, is_final = await self._attempt(client, body, headers)
            if failure is None:
                self._say_well()
                return
            self._say_failing(failure)
            if is_final:
                break
        self._dropped += dropped + 1

    async def _attempt(
        self, client: httpx.AsyncClient, body: bytes, headers: dict[str, str]
    ) -> tuple[str | None, bool]:
        """Return why an attempt failed, None if it did not, and whether to leave it at that."""
        import httpx  # noqa: PLC0415 - imported already

        timestamp, timeout = str(int(time.time())), self.webhook.timeout
        signed = {**headers, "X-A2A-Sup-Timestamp": timestamp}
        if self.webhook.secret is not None:
            signed["X-A2A-Sup-Signature"] = signature(self.webhook.secret, timestamp, body)
        try:
            with trio.fail_after(timeout):
                # The answer's body is nobody's business, and may be endless.
                async with client.stream(
                    "POST", self.webhook.url, content=body, headers=signed, timeout=timeout
                ) as response:
                    status = response.status_code
        except trio.TooSlowError:
            return f"no answer within {timeout:g} s", False
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
            # ValueError: a name that IDNA does not allow, also one that a variable gave.
            return type(exc).__name__, False
        if 200 <= status < 300:
            return None, True
        return f"answered {status}", status < 500 and status not in RETRIED

    def _say_failing(self, why: str) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.warning("webhook to %s fails: %s", self.webhook.host, why)

    def _say_well(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _log.warning("webhook to %s works again", self.webhook.host)


def _import_library() -> None:
    """Import what is heavy and needed by few: in a thread, when it is needed."""
    import httpx  # noqa: F401, PLC0415 - see above
