"""Run a command that shows what runs: ``ask_by_command.py WORD... TIMES``."""

import subprocess
import sys
import time

*words, times = sys.argv[1:]
for _ in range(int(times)):
    begin = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    print(time.perf_counter() - begin)
