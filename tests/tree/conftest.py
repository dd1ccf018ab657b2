"""Every async test below runs on a clock that starts at 0 and jumps over all waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock


def run_jumping(
    main: Callable[..., Awaitable[Any]], *, clock: object, instruments: list[trio.abc.Instrument]
) -> Any:
    return trio.run(main, clock=MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        function = getattr(item, "function", None)
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(function):
            # Before the marker that pytest-trio adds to every async test.
            item.add_marker(pytest.mark.trio(run=run_jumping), append=False)
