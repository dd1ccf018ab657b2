"""A server of ``websockets`` that sends each client 5 KB for each line; prints its port."""

from __future__ import annotations

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main() -> None:
    """Serve until there are no more lines."""
    clients: set[ServerConnection] = set()

    async def attend(client: ServerConnection) -> None:
        clients.add(client)
        try:
            await client.wait_closed()
        finally:
            clients.discard(client)

    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with serve(
        attend, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=1024
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        number = 0
        while await lines.readline():
            number += 1
            body = {"type": "x", "number": f"{number:06}", "text": "x" * 5_000}
            broadcast(clients, json.dumps(body))


asyncio.run(main())
