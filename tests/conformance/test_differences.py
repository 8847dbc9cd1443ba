"""The list of differences is true, on both servers."""

from __future__ import annotations

import pytest
from conformance_client import Api, Target
from differences import DIFFERENCES, Difference


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.topic)
def test_difference_is_one(api: Api, target: Target, difference: Difference):
    """Difference: each server gives its own result."""
    expected = difference.embedded if target.embedded else difference.real
    assert difference.probe(api) == expected


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.topic)
def test_difference_has_a_reason(difference: Difference):
    """Difference: the results differ, and somebody said why."""
    assert difference.embedded != difference.real
    assert difference.why
