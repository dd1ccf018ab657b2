"""This package beside Erlang/OTP. ``make conformance N=20000 SEED=1`` runs more of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance import ours
from tests.conformance.choices import Choices
from tests.conformance.compare import compare, compare_seeded, coverage
from tests.conformance.generate import scenario
from tests.conformance.otp import Otp

CHUNKS = 12
CHUNK = 250


@pytest.fixture(scope="module")
def otp() -> Iterator[Otp]:
    with Otp() as vm:
        yield vm


@pytest.fixture(scope="module")
def hits() -> Counter[str]:
    """Return what all chunks covered together."""
    return Counter()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_trees_in_random_trouble_do_what_otp_does(
    otp: Otp, hits: Counter[str], chunk: int
) -> None:
    for outcome in compare_seeded(otp, seed=1, first=chunk * CHUNK, count=CHUNK):
        assert outcome.difference is None, f"\n{outcome}"
        hits += coverage(outcome)


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("restart", 500),
        ("restart of a supervisor", 100),
        ("failed restart", 200),
        ("too many restarts", 300),
        ("escalation: a nested supervisor gave up", 100),
        ("escalation over several levels", 20),
        ("root ends by itself", 500),
        ("root does not start", 100),
        ("rollback: a start failed after siblings were up", 100),
        ("ignored start", 100),
        ("auto-shutdown", 100),
        ("several messages wait", 1000),
        ("start_child: start_failed", 10),
        ("restart_child: started", 20),
        ("delete_child: ok", 10),
    ],
)
def test_the_random_trees_cover_what_matters(hits: Counter[str], what: str, least: int) -> None:
    assert hits[what] >= least


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
def test_what_hypothesis_makes_does_what_otp_does(otp: Otp, data: st.DataObject) -> None:
    made = scenario(Choices(lambda limit: data.draw(st.integers(0, limit - 1))))
    (outcome,) = compare(otp, [(made, 0)])
    assert outcome.difference is None, f"\n{outcome}"


@pytest.mark.parametrize("number", range(20))
def test_no_order_that_trio_gives_its_tasks_matters(number: int) -> None:
    made = scenario(Choices.seeded(("order", number)))
    first = ours.run(made, 0)
    assert all(ours.run(made, seed) == first for seed in range(1, 6))
