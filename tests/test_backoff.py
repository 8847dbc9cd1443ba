"""The one way in which pauses grow."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.backoff import RestartBackoff, pause_after


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 0.5), (1, 1.0), (4, 8.0), (5, 10.0), (10**9, 10.0)]
)
def test_pause_doubles_up_to_the_longest(failures, pause):
    """Fault 24: never a hot loop, never forgotten, and no number is too large."""
    assert pause_after(failures, first=0.5, longest=10.0) == pause


def test_pause_is_never_longer_than_the_longest():
    """Also the first one."""
    assert pause_after(0, first=1.0, longest=0.25) == 0.25


def test_delays_grow_and_begin_anew_after_a_good_run():
    """1 s, 2 s, 4 s, never above the longest; a minute of work makes it 1 s again."""
    backoff = RestartBackoff(5.0)
    assert [backoff.after(0.1) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert backoff.after(60.0) == 1.0
