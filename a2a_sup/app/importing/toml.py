"""Values as TOML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from a2a_sup.app.problems import key_path


def toml(value: Any) -> str:
    """Return a value as TOML, on one line.

    Raises:
        TypeError: TOML has nothing for it.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's too; DEL is the one character that only TOML escapes.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(value)
        case Mapping():
            pairs = (f"{_key(key)} = {toml(item)}" for key, item in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _key(key: str) -> str:
    return key_path("", key).replace("\x7f", "\\u007F")
