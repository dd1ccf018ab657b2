"""Run by circus's own Python: ask for all watchers. ``ask_circus.py ENDPOINT TIMES``."""

import sys
import time

from circus.client import CircusClient  # type: ignore[import-not-found]

endpoint, times = sys.argv[1:]
client = CircusClient(endpoint=endpoint, timeout=60)
for _ in range(int(times)):
    begin = time.perf_counter()
    client.send_message("status")
    print(time.perf_counter() - begin)
