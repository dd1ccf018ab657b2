"""Run random scenarios on Erlang/OTP's supervisor and on this package, until one differs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.conformance.compare import compare, compare_seeded, coverage, smallest
from tests.conformance.otp import ErlangMissing, Otp
from tests.conformance.scenario import from_data


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("-n", type=int, default=2000, help="how many scenarios")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first scenario")
    parser.add_argument("--brief", action="store_true", help="only say whether one differs")
    parser.add_argument("--file", type=Path, help="run the one scenario of this JSON file")
    options = parser.parse_args()
    try:
        with Otp() as otp:
            if options.file is not None:
                scenario = from_data(json.loads(options.file.read_text()))
                outcome = next(compare(otp, [(scenario, options.seed)]))
                print(outcome)
                return int(outcome.difference is not None)
            return _run_many(otp, options)
    except ErlangMissing as exc:
        print(exc, file=sys.stderr)
        return 1


def _run_many(otp: Otp, options: argparse.Namespace) -> int:
    seed, first = options.seed, options.first
    hits: Counter[str] = Counter()
    done = steps = 0
    found: int | None = None
    begun = time.monotonic()
    for outcome in compare_seeded(otp, seed, first, options.n):
        if outcome.difference is not None:
            found = first + done
            break
        hits += coverage(outcome)
        done += 1
        steps += len(outcome.otp)
    minutes = (time.monotonic() - begun) / 60
    for what, number in sorted(hits.items()):
        print(f"{number:8} {what}")
    print(
        f"{done} scenarios of seed {seed} without a difference, {steps} steps, "
        f"{done / minutes:.0f} scenarios/minute"
    )
    if found is None:
        return 0
    if options.brief:
        print(f"scenario {found} of seed {seed} differs")
        return 1
    print(f"scenario {found} of seed {seed} differs; the smallest that does:", flush=True)
    # What was sent with it is of no interest any more.
    with Otp() as fresh:
        print(smallest(fresh, seed, found))
    return 1


if __name__ == "__main__":
    sys.exit(main())
