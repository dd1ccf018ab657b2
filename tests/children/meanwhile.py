"""What happens in the moment in which a process is made, made certain for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from a2a_sup.children import marks, spawning


@contextmanager
def forking_meanwhile(fork: Callable[[], None]) -> Iterator[None]:
    """Have ``fork`` called each time the mark of a child is set, before the child is made."""

    @contextmanager
    def inherited(mark: int) -> Iterator[None]:
        with marks.inherited(mark):
            fork()
            yield

    with mock.patch.object(spawning, "inherited", inherited):
        yield
