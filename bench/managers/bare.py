"""The floor: keep the commands of a file running, and nothing else. ``python bare.py FILE``."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

STOPPING = signal.SIGTERM


def main() -> None:
    """Start them, replace each that ends, kill all at SIGTERM."""
    file = Path(sys.argv[1])
    commands = json.loads(file.read_text(encoding="utf-8"))
    poll = select.epoll()
    running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}

    def start(number: int) -> None:
        with file.with_name(f"output.{number}").open("ab") as output:
            child = subprocess.Popen(
                commands[number],
                stdin=subprocess.DEVNULL,
                stdout=output,
                start_new_session=True,
            )
        pidfd = os.pidfd_open(child.pid)
        poll.register(pidfd, select.EPOLLIN)
        running[pidfd] = number, child

    signal.pthread_sigmask(signal.SIG_BLOCK, {STOPPING})
    asked = _signal_file()
    poll.register(asked, select.EPOLLIN)
    for number in range(len(commands)):
        start(number)
    while True:
        for fd, _ in poll.poll():
            if fd == asked:
                for _, child in running.values():
                    os.killpg(child.pid, signal.SIGKILL)
                for _, child in running.values():
                    child.wait()
                return
            number, child = running.pop(fd)
            child.wait()
            poll.unregister(fd)
            os.close(fd)
            start(number)


def _signal_file() -> int:
    """Return a pipe that is readable when SIGTERM has come."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing)
    signal.signal(STOPPING, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {STOPPING})
    return reading


main()
