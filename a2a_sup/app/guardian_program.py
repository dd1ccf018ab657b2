"""What the guardian's process executes: ``python -I -S guardian_program.py SUPERVISOR EARLIER...``.

The standard library and two small modules are all it loads. Importing the package as usual would
bring Trio, which ten times as much memory would be kept for.
"""

import sys
from pathlib import Path
from types import ModuleType


def main() -> int:
    """Be the guardian of the process named on the command line."""
    package = ModuleType("a2a_sup")
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[package.__name__] = package
    from a2a_sup.app.guardian import outlive  # noqa: PLC0415 - not before the lines above

    supervisor, *earlier = map(int, sys.argv[1:])
    return outlive(supervisor, earlier)


if __name__ == "__main__":
    sys.exit(main())
