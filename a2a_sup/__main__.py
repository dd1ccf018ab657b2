"""``python -m a2a_sup``: the same as the ``a2a-sup`` command."""

from __future__ import annotations

from a2a_sup.app.entry import start

if __name__ == "__main__":
    start()
