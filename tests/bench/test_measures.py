"""The measures themselves: what each says of its contenders is of one that takes part."""

from __future__ import annotations

import pytest

from bench.__main__ import MEASURES
from bench.measure import Kind, Measure


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_limits_and_aims_name_contenders(measure: Measure) -> None:
    peers = {each.name for each in measure.contenders if each.kind is Kind.PEER}
    everybody = {each.name for each in measure.contenders}
    for figure in measure.figures:
        assert set(figure.limits) <= peers
        assert {aim.than for aim in figure.aims if aim.than} <= everybody
        assert {aim.at for aim in figure.aims if aim.at} <= set(measure.sizes)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_ours_comes_first_and_no_name_comes_twice(measure: Measure) -> None:
    names = [each.name for each in measure.contenders]
    assert measure.contenders[0].kind is Kind.OURS
    assert len({*names}) == len(names)
