"""A check that calls an async function of the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from a2a_sup.errors import SpecError
from a2a_sup.model.spec import ChildContext


@attrs.frozen
class Call:
    """A check: an async function without arguments. Made by :func:`call`.

    Attributes:
        function: passes by returning, a text being a message; fails by raising, or by False.
    """

    function: Callable[[], Awaitable[object]]

    @property
    def name(self) -> str:
        """What the probe is called."""
        named = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"call {named}"

    async def __call__(self, _context: ChildContext) -> object:
        """Call it."""
        return await self.function()


def call(function: Callable[[], Awaitable[object]]) -> Call:
    """Return a check that awaits ``function()``.

    A function that wants to know which child it is asked about takes the child's context, and is a
    check by itself.

    Raises:
        SpecError: it is no function.
    """
    if not callable(function):
        raise SpecError(f"call takes an async function, not {function!r}")
    return Call(function)
