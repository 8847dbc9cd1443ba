"""What the simulation tests share: how a failing world is told."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.failures import explain

SHRINK_FOR = 30.0
"""Seconds: a test that fails must still end before its timeout."""


@pytest.fixture
def fail_with_story(request, tmp_path_factory):
    """
    Give a function that fails the test with the shrunk story of a world.

    The world is drawn, too: the message names the file, which is in
    ``.pytest_cache/d/failing-worlds``, or in a temporary folder where pytest runs
    without its cache.
    """

    def fail(plan, *, make_election=Election, because=""):
        cache = getattr(request.config, "cache", None)
        if cache is not None:
            folder = cache.mkdir("failing-worlds")
        else:
            folder = tmp_path_factory.mktemp("failing-worlds")
        story = explain(
            plan, make_election=make_election, seconds=SHRINK_FOR, pictures=folder
        )
        pytest.fail(f"{because}{story}", pytrace=False)

    return fail
