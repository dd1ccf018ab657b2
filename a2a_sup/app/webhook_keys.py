"""The grammar of ``[[webhooks]]``: who is told of which events."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from a2a_sup.app.problems import shown, suggestion
from a2a_sup.app.values import (
    Reader,
    Refused,
    Value,
    list_of,
    positive_duration,
    read_keys,
    secret,
    table,
    text,
    unknown_keys,
    whole,
)
from a2a_sup.model.events import Event
from a2a_sup.serve.webhooks import Webhook

TYPES = tuple(each.type for each in Event.__subclasses__())


def _url(value: Value) -> str:
    url = secret(value)
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # Raises for what no name server could be asked for: two dots, 64 characters without one.
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise value.refused_unseen("an address such as 'https://hooks.example/a2a'")
    return url


def _pattern(value: Value) -> str:
    pattern = text(value)
    if not any(fnmatchcase(each, pattern) for each in TYPES):
        near = suggestion(pattern, TYPES)
        value.note(f"no event is like {shown(pattern)}{near} (allowed: {', '.join(TYPES)})")
        raise Refused
    return pattern


def _key(value: Value) -> str:
    key = secret(value)
    if not key:
        raise value.refused_unseen("a key for the signature")
    return key


_KEYS: dict[str, Reader[Any]] = {
    "url": _url,
    "events": list_of(_pattern),
    "secret": _key,
    "timeout": positive_duration,
    "retries": whole(0, 100),
}


def webhook(value: Value) -> Webhook:
    """Read one receiver."""
    table(value)
    unknown_keys(value, _KEYS)
    fields = read_keys(value, _KEYS)
    if "url" not in value.raw:
        value.note(f"found no url; allowed: a url, and any of {', '.join(_KEYS)}")
    if "url" not in fields:
        raise Refused
    return Webhook(**fields)


WEBHOOKS = list_of(webhook)
"""The list ``[[webhooks]]``."""
