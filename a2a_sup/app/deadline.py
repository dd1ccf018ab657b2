"""The last resort: a thread that ends the program when stopping takes longer than it may."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable

from a2a_sup.model.needs import in_order
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.tree.stopper import STUCK_AFTER

EX_SOFTWARE = 70
"""The exit status (BSD sysexits: internal software error)."""
MARGIN = 10.0
"""Seconds beyond what stopping the tree may take by its own rules."""
LONGEST = 3600.0
"""Seconds that a child with ``shutdown = infinity`` is given, as there must be an end."""


def stop_bound(spec: ChildSpec) -> float:
    """Return the seconds within which ``spec`` stops if nothing goes wrong, at most LONGEST."""
    if isinstance(spec.run, SupervisorSpec):
        one_by_one = spec.run.stop_order == "reverse" and not spec.run.dynamic
        children = spec.run.children
        total = sum(map(stop_bound, children)) if one_by_one else _longest_path(children)
    elif isinstance(spec.shutdown, str):
        total = math.inf if spec.shutdown == "infinity" else 0.0
    else:
        total = spec.shutdown
    return min(total + STUCK_AFTER, LONGEST)


def _longest_path(children: Iterable[ChildSpec]) -> float:
    """Return the seconds in which all of these stop: at once, but who is needed by others last."""
    by_name = {child.name: child for child in children}
    waited = dict.fromkeys(by_name, 0.0)
    total = 0.0
    for name in reversed(in_order({name: child.after for name, child in by_name.items()})):
        gone = waited[name] + stop_bound(by_name[name])
        total = max(total, gone)
        for needed in by_name[name].after:
            waited[needed] = max(waited[needed], gone)
    return total


def end_program_after(seconds: float) -> threading.Timer:
    """End this process with EX_SOFTWARE after ``seconds``, unless the result is cancelled.

    A thread, because what hangs may be the event loop itself. What is left of the children is
    ended by the guardian, or by the kernel if this is PID 1.
    """

    def end() -> None:
        # From a thread, because nobody may be reading.
        text = f"a2a-sup: not stopped after {seconds:g} s; ending the program now\n"
        last_words = threading.Thread(target=os.write, args=(2, text.encode()), daemon=True)
        last_words.start()
        last_words.join(1.0)
        os._exit(EX_SOFTWARE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
