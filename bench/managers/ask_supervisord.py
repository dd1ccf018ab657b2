"""Run by supervisord's own Python: ask for all processes. ``ask_supervisord.py SOCKET TIMES``."""

import sys
import time
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-not-found]

path, times = sys.argv[1:]
transport = SupervisorTransport(None, None, serverurl=f"unix://{path}")
server = ServerProxy("http://127.0.0.1", transport=transport)
for _ in range(int(times)):
    begin = time.perf_counter()
    server.supervisor.getAllProcessInfo()
    print(time.perf_counter() - begin)
