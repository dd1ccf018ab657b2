"""An MCP server that takes pings as its arguments say. Standard library only."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

MODERN = "2026-07-28"
UNKNOWN_METHOD = -32601


def main(era: str, manner: str) -> None:
    asked = 0
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        if "id" not in message:
            continue
        method = message["method"]
        probe = "ping" if era == "legacy" else "server/discover"
        if method == probe and (asked or era == "legacy"):
            take(message, manner, discovered())
        elif method == "server/discover" and era == "modern":
            asked += 1
            answer(message, discovered())
        elif method == "initialize" and era == "legacy":
            if manner == "slow":
                time.sleep(1)
            answer(message, initialized(message))
        elif method == "tools/call":
            time.sleep(10)
            answer(message, {"content": [{"type": "text", "text": "done"}]})
        else:
            refuse(message, UNKNOWN_METHOD)


def take(message: dict[str, Any], manner: str, discovery: dict[str, Any]) -> None:
    name, _, code = manner.partition("=")
    match name:
        case "refuses":
            refuse(message, int(code))
        case "nonsense":
            send({"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": ["what"]}})
        case "silent":
            pass
        case _:
            answer(message, {} if message["method"] == "ping" else discovery)


def discovered() -> dict[str, Any]:
    return {
        "supportedVersions": [MODERN],
        "capabilities": {},
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}},
    }


def initialized(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocolVersion": message["params"]["protocolVersion"],
        "capabilities": {},
        "serverInfo": {"name": "fake", "version": "1"},
    }


def answer(request: dict[str, Any], result: dict[str, Any]) -> None:
    send({"jsonrpc": "2.0", "id": request["id"], "result": result})


def refuse(request: dict[str, Any], code: int) -> None:
    send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": "refused"}})


def send(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
