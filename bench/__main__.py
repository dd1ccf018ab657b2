"""``python -m bench [NAME ...]``: measure, beside floors and beside others who do the same.

Every measure has its contenders do the same work in turn, several times, and prints the median
of each, its spread, and its ratio to ours: above 1, we are ahead. Then come the places where we
are behind, and why, and the aims that were missed. Everything is kept as JSON, too: a run of all
measures in ``build/bench.json``, any other in ``build/bench-part.json``.

Exit status: 0; 1 if a measure could not be taken of ours, or a place where we are behind a peer
has no explanation; 2 for a wrong name; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import a2a_sup
from bench import install
from bench.managers import measures as managers
from bench.measure import Measure, Table, taken
from bench.report import RESULTS, is_explained, is_ours_measured, show, summary, write
from bench.serving import measures as serving
from bench.trees import measures as trees

MEASURES: dict[str, Measure] = {
    each.name: each for each in (*trees.MEASURES, *managers.MEASURES, *serving.MEASURES)
}


def about() -> dict[str, str]:
    """Return when and on what this is measured."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("trio", "prometheus-client", "httpx", "websockets")},
    }


def main() -> int:
    """Measure what the command line names; everything by default."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("only", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    chosen = list(dict.fromkeys(parser.parse_args().only)) or list(MEASURES)
    if unknown := [name for name in chosen if name not in MEASURES]:
        parser.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    signal.signal(signal.SIGTERM, _end)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for all of them the same
    # As an installer does: without this each start would compile what it imports.
    compileall.compile_dir(str(Path(a2a_sup.__path__[0])), quiet=1)
    try:
        return _run(chosen)
    except OSError as exc:
        sys.exit(f"bench: {exc}")
    except KeyboardInterrupt:
        print("\nended by Ctrl-C")
        return 130


def _run(chosen: Sequence[str]) -> int:
    """Take the measures of these names; return the exit status.

    Raises:
        OSError: what is found cannot be written.
    """
    is_whole = set(chosen) == {*MEASURES}
    # Of some measures, each gets whom it needs when it needs him.
    for name, why in install.everything().items() if is_whole else ():
        print(f"{name} cannot be had: {why}")
    told = {**about(), **install.versions()}
    print(", ".join(f"{key} {value}" for key, value in told.items()))
    tables: list[Table] = []
    where = write(told, tables)
    for name in chosen:
        measure = MEASURES[name]
        begin = time.perf_counter()
        print(f"\n{name}: {measure.about} {measure.repeats} repeats.", flush=True)
        found = taken(measure)
        for table in found:
            show(table)
        tables += found
        print(f"  ({time.perf_counter() - begin:.0f} s)", flush=True)
        where = write(told, tables)
    if is_whole:
        where = where.replace(RESULTS)
    print("\n".join(summary(tables)))
    print(f"\nas JSON: {where.parent.name}/{where.name}")
    return 0 if is_explained(tables) and is_ours_measured(tables) else 1


def _end(_: int, __: object) -> None:
    sys.exit("ended by SIGTERM")


if __name__ == "__main__":
    sys.exit(main())
