"""A client of the dashboard at the URL of the command line: it says when it has what of the tree.

A line for each frame, with the clock that all processes of a machine share.
"""

from __future__ import annotations

import json
import sys
import time

from websockets.sync.client import connect

with connect(sys.argv[1], proxy=None, max_size=None) as client:
    client.send(json.dumps({"type": "request_tree"}))
    for text in client:
        if isinstance(text, str) and text.startswith('{"type":"tree:'):
            print(time.perf_counter(), flush=True)
