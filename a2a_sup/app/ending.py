"""How the program ends: by a stop of its tree that is asked for, or because something failed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from a2a_sup.app.deadline import MARGIN, end_program_after, stop_bound
from a2a_sup.app.notify import Notifier
from a2a_sup.errors import ChildExit
from a2a_sup.model.spec import ChildSpec
from a2a_sup.tree.handle import TreeHandle


class Ending:
    """The end of a program that runs a tree.

    Attributes:
        tree: the tree.
        spec: returns its specification as it is now: what its stop may take depends on it.
        verdict: why the program fails; None: it does not.
    """

    def __init__(
        self, tree: TreeHandle, spec: ChildSpec, manager: Notifier, last_resort: ExitStack
    ) -> None:
        """End ``tree``; ``last_resort`` calls off the last deadline when all went well."""
        self.tree = tree
        self.spec: Callable[[], ChildSpec] = lambda: spec
        self.verdict: ChildExit | None = None
        self._manager = manager
        self._last_resort = last_resort

    def stop(self) -> float:
        """Stop the tree, and end the program at last; return the seconds this takes at most."""
        bound = stop_bound(self.spec())
        self._manager.tell(STOPPING=1, STATUS=f"stopping, within {bound:g} s")
        self._end_after(bound)
        self.tree.stop()
        return bound

    def fail(self, verdict: ChildExit) -> None:
        """Stop as ``stop`` does: the program cannot do what it is for."""
        self.verdict = verdict
        self.stop()

    def is_near(self) -> None:
        """Let nothing keep the program from ending any more."""
        self._end_after(0)

    def _end_after(self, seconds: float) -> None:
        self._last_resort.callback(end_program_after(seconds + MARGIN).cancel)
