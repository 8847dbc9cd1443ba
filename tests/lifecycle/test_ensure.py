"""``ensure()``: nothing is short enough to run when nothing is held."""

from __future__ import annotations

import math

import pytest

from kubernetes_leader_election import ConfigurationError, NotLeaderError
from tests.lifecycle.driven import until
from tests.lifecycle.stages import PATIENCE, hold, in_child

NOTHING = [0, 0.0, -1, -0.0, -math.inf]
"""What asks for no time at all."""
TOO_MUCH = [60, math.inf, 10**400]
"""More than is ever left; the last one is more than a float can say."""
NO_NUMBERS = [math.nan, True, "1", None]


def refuses(asked, seconds):
    """Tell whether an elector or a term refuses so many seconds."""
    try:
        asked.ensure(seconds)
    except NotLeaderError:
        return True
    return False


@pytest.mark.parametrize("seconds", TOO_MUCH, ids=["60", "inf", "huge"])
def test_ensure_of_any_number_says_that_it_is_too_much(front, seconds):
    """The error is the documented one, also of a number that no float can hold."""
    elector = front.elector()
    assert refuses(elector, seconds), "never started"
    assert refuses(elector, -seconds), "never started"
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    assert refuses(elector, seconds)
    assert refuses(term, seconds)
    term.ensure(-seconds)
    elector.ensure(-seconds)


@pytest.mark.parametrize("seconds", NOTHING)
def test_ensure_of_nothing_fails_where_nothing_is_held(front, client, seconds):
    """Rule 15: never started, led by another, lost and stopped: no work may run."""
    elector = front.elector()
    assert refuses(elector, seconds), "never started"
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    term.ensure(seconds)
    elector.ensure(seconds)
    hold(client, "rival")
    until(lambda: elector.leader_identity == "rival" and term.is_lost)
    assert refuses(elector, seconds), "another one leads"
    assert refuses(term, seconds), "the term is lost"
    elector.stop(timeout=PATIENCE)
    assert refuses(elector, seconds), "stopped"
    assert refuses(term, seconds), "the term is lost"


def test_ensure_of_nothing_fails_in_a_child_process(front):
    """Fault 15: a child holds nothing, so no work is short enough for it."""
    elector = front.elector()
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    assert in_child(lambda: refuses(elector, 0) and refuses(term, 0))
    elector.ensure(0)


def test_ensure_takes_any_time_where_leadership_is_assumed(front, monkeypatch):
    """Off-cluster a term has no end, until the elector is stopped."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    elector = front.elector(credentials=None)
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    for seconds in (0, 1e9, math.inf):
        elector.ensure(seconds)
        term.ensure(seconds)
    elector.stop(timeout=PATIENCE)
    assert refuses(elector, 0)
    assert refuses(term, 0)


@pytest.mark.parametrize("seconds", NO_NUMBERS)
def test_ensure_says_what_is_no_number(front, seconds):
    """What is not a number is a mistake of the program, not a lack of time."""
    elector = front.elector()
    elector.start()
    term = elector.wait_until_leading(timeout=PATIENCE)
    for asked in (elector, term):
        with pytest.raises(ConfigurationError, match="not a length of time") as caught:
            asked.ensure(seconds)
        assert caught.value.option == "seconds"
