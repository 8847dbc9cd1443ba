"""A server whose resourceVersions are not numbers: elected, with nothing to fence with."""

from __future__ import annotations

import itertools
import threading

import pytest

from kubernetes_leader_election import EVENTS, NoFencingTokenError
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, STEADY


@pytest.fixture
def odd(client):
    """Let the Lease in memory have versions such as v7."""
    client.versions = (f"v{number}" for number in itertools.count(100))
    return client


def test_elected_term_without_a_token_raises_where_one_is_asked_for(front, odd):
    """G3: nobody fences with None by mistake, and nothing looks assumed."""
    acquired, lost = [], []
    released = threading.Event()
    elector = front.elector(**STEADY)
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, acquired.append)
    elector.on(EVENTS.LEADERSHIP_LOST, lambda e: (lost.append(e), released.set()))
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    assert elector.current_leader
    assert not term.assumed
    with pytest.raises(
        NoFencingTokenError, match=r"default/front.*not numbers"
    ) as caught:
        term.fencing_token  # noqa: B018 - the access is the test
    assert caught.value.term is term
    assert "token=None" in repr(term)
    until(lambda: acquired)
    assert not acquired[0].assumed
    with pytest.raises(NoFencingTokenError):
        acquired[0].token  # noqa: B018 - the access is the test
    elector.stop(timeout=PATIENCE)
    assert released.wait(PATIENCE)
    # Who only notes which term ended is not kept from ending its work.
    assert lost[0].token is None
