"""An MCP server that behaves as its arguments say: an era, and what it does wrong.

Run as a program by the tests, with nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

MODERN = "2026-07-28"
UNKNOWN_METHOD = -32601
UNSUPPORTED_VERSION = -32022
META = "io.modelcontextprotocol/"
INFO = {"name": "fake", "version": "1.2.3"}
OUTPUT = threading.Lock()


def main(era: str, *faults: str) -> None:
    server = Server(era, faults)
    if "env" in faults:
        print(*sorted(os.environ), file=sys.stderr, flush=True)
    if "junk" in faults:
        for number in range(500):
            print(f"debug: loading plugin {number}", flush=True)
    if "flood" in faults:
        threading.Thread(target=flood, daemon=True).start()
    if "stubborn" in faults:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        server.serve(json.loads(line))
    if "stubborn" in faults or "eof" in faults:
        forever()


class Server:
    def __init__(self, era: str, faults: tuple[str, ...]) -> None:
        self.eras = {"dual": ("legacy", "modern")}.get(era, (era,))
        self.faults = faults
        self.tools = ["one", "two"]
        self.listening: str | None = None

    def serve(self, message: dict[str, Any]) -> None:
        method = message["method"]
        for fault in self.faults:
            if (do := BEFORE.get(fault)) is not None:
                do()
        if method in ("server/discover", "initialize") and "silent" in self.faults:
            return
        match method:
            case "server/discover" if "modern" in self.eras:
                result = {
                    "supportedVersions": [MODERN],
                    "capabilities": self.capabilities(),
                    "resultType": "complete",
                    "ttlMs": 0,
                    "cacheScope": "private",
                    "_meta": {f"{META}serverInfo": INFO},
                }
                self.answer(message, result)
            case "server/discover" if "mute" in self.faults:
                return
            case "initialize" if "legacy" in self.eras:
                self.answer(
                    message,
                    {
                        "protocolVersion": message["params"]["protocolVersion"],
                        "capabilities": self.capabilities(),
                        "serverInfo": INFO,
                    },
                )
            case "initialize":
                data = {"supported": [MODERN], "requested": message["params"]["protocolVersion"]}
                self.refuse(message, UNSUPPORTED_VERSION, data)
            case _:
                self.serve_more(message)
        if method in ("server/discover", "initialize") and self.knows(method):
            self.after_handshake()

    def serve_more(self, message: dict[str, Any]) -> None:
        match message["method"]:
            case "tools/list" if "broken" not in self.faults:
                self.answer(message, {**self.stamps(), "tools": self.listed()})
            case "subscriptions/listen":
                self.listening = message["id"]
                wanted = message["params"]["notifications"]
                self.notify("notifications/subscriptions/acknowledged", {"notifications": wanted})
            case "tools/call":
                self.call(message)
            case method if "id" in message:
                self.refuse(message, UNKNOWN_METHOD, method)

    def call(self, message: dict[str, Any]) -> None:
        match message["params"]["name"]:
            case "grow":
                self.tools.append("three")
                self.notify("notifications/tools/list_changed", {})
                if "broken" in self.faults:
                    self.faults = tuple(fault for fault in self.faults if fault != "broken")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                return
        content = [{"type": "text", "text": str(os.getpid())}]
        self.answer(message, {**self.stamps(), "content": content})

    def knows(self, method: str) -> bool:
        return ("modern" if method == "server/discover" else "legacy") in self.eras

    def capabilities(self) -> dict[str, Any]:
        return {} if "toolless" in self.faults else {"tools": {"listChanged": True}}

    def listed(self) -> list[dict[str, Any]]:
        return [{"name": name, "inputSchema": {"type": "object"}} for name in self.tools]

    def stamps(self) -> dict[str, Any]:
        if "modern" not in self.eras:
            return {}
        return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}

    def after_handshake(self) -> None:
        if "hush" in self.faults:
            hang_up()
        if "deaf" in self.faults:
            forever()
        if "endless" in self.faults:
            while True:
                os.write(1, b"x" * 65536)
        if "huge" in self.faults:
            send(b"{" + b"x" * (17 * 1024 * 1024))

    def answer(self, request: dict[str, Any], result: dict[str, Any]) -> None:
        send_json({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def refuse(self, request: dict[str, Any], code: int, data: object) -> None:
        error = {"code": code, "message": "refused", "data": data}
        send_json({"jsonrpc": "2.0", "id": request["id"], "error": error})

    def notify(self, method: str, params: dict[str, Any]) -> None:
        if self.listening is not None:
            params = {**params, "_meta": {f"{META}subscriptionId": self.listening}}
        send_json({"jsonrpc": "2.0", "method": method, "params": params})


def send_json(message: dict[str, Any]) -> None:
    send(json.dumps(message).encode())


def send(line: bytes) -> None:
    with OUTPUT:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def flood() -> NoReturn:
    while True:
        send(b"noise " * 100)


def forever() -> NoReturn:
    while True:
        time.sleep(3600)


def crash() -> NoReturn:
    print("no such database", file=sys.stderr, flush=True)
    os._exit(3)


def leave() -> NoReturn:
    os._exit(0)


def hang_up() -> NoReturn:
    os.close(1)
    forever()


BEFORE = {"crash": crash, "leave": leave, "hangup": hang_up}


if __name__ == "__main__":
    main(*sys.argv[1:])
