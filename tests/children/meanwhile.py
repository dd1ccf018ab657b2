"""What happens in the moment in which a process is made, made certain for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from a2a_sup.children import marks, spawning


def nothing() -> None:
    pass


@contextmanager
def in_the_making(
    before: Callable[[], None] = nothing, after: Callable[[], None] = nothing
) -> Iterator[None]:
    """Have functions called in the thread that makes a child.

    Args:
        before: when the mark is set, and the process not made yet.
        after: when the process is there, and nobody but this thread knows.
    """

    @contextmanager
    def inherited(mark: int) -> Iterator[None]:
        with marks.inherited(mark):
            before()
            yield
        after()

    with mock.patch.object(spawning, "inherited", inherited):
        yield
