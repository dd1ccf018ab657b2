"""A stand-in for what the tree gives a running child."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from a2a_sup.children.task import task


class FakeContext:
    """Records what a child says, and can ask it to stop."""

    number = 1
    spec = task("fake", trio.sleep_forever)

    def __init__(self, path: str = "tests/child") -> None:
        self.path = path
        self.details: dict[str, Any] = {}
        self.lines: list[tuple[str, str, int]] = []
        self.start = trio.Event()
        self.value: object = None
        self.stop = trio.Event()
        self.promised_to_heed = False

    def started(self, value: object = None) -> None:
        self.value = value
        self.start.set()

    def ready(self, *, is_ready: bool = True) -> None:
        raise AssertionError("a process child never says this itself")

    def printed(self, stream: str, line: str, left_out: int) -> None:
        self.lines.append((stream, line, left_out))

    def report(self, **details: Any) -> None:
        self.details.update(details)

    def stop_request(self) -> trio.Event:
        self.promised_to_heed = True
        return self.stop


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def make_context() -> type[FakeContext]:
    return FakeContext
