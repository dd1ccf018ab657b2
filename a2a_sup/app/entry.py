"""Where the command begins: nothing that takes time to load is loaded before signals wait."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from a2a_sup.app import signals


def start() -> None:
    """Carry out the command line of this process, and end it."""
    with signals.held_back() if sys.argv[1:2] == ["run"] else nullcontext():
        from a2a_sup.app.program import main  # noqa: PLC0415 - see the module

        main()
