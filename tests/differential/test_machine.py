"""The stories of the state machine, told to both cores."""

from __future__ import annotations

from functools import partial

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.core.test_election_machine import EXAMPLES, Election
from tests.differential.pair import DifferenceError, Pair
from tests.differential.planted import CHANGES


class BothCores(Election):
    """The machine of ``tests/core``, with a pair where it has one core."""

    make_core = Pair


BothCores.TestCase.settings = hypothesis.settings(
    Election.TestCase.settings, max_examples=EXAMPLES if EXAMPLES != 100 else 40
)
TestBothCores = pytest.mark.slow(pytest.mark.timeout(1200)(BothCores.TestCase))


@pytest.mark.slow
def test_machine_finds_a_small_change():
    """A change that breaks no guarantee: the model alone would let it pass."""
    core = CHANGES["deadline of the term ends with belief"].core
    mistaken = type(
        "Mistaken",
        (BothCores,),
        {"make_core": partial(Pair, working=core)},
    )
    settings = hypothesis.settings(
        Election.TestCase.settings,
        max_examples=100,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(DifferenceError, match="term_deadline"):
        run_state_machine_as_test(mistaken, settings=settings)
