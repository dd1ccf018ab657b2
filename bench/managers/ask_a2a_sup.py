"""Ask the control socket for the whole tree: ``ask_a2a_sup.py SOCKET TIMES``."""

import http.client
import json
import socket
import sys
import time

path, times = sys.argv[1:]
connection = http.client.HTTPConnection("localhost", timeout=60)
connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.sock.connect(path)
for _ in range(int(times)):
    begin = time.perf_counter()
    connection.request("GET", "/api/v1/tree")
    answer = connection.getresponse()
    tree = json.load(answer)
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {tree}")
    print(time.perf_counter() - begin)
