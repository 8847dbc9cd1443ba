"""The delay of rule 13, and that what is said of it follows from the one place."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kubernetes_leader_election import settings as s
from kubernetes_leader_election.cli.main import cli
from kubernetes_leader_election.core import annotations as lease_annotations
from kubernetes_leader_election.core import contending
from kubernetes_leader_election.core.contending import Contending
from kubernetes_leader_election.core.record import read_snapshot
from kubernetes_leader_election.core.states import EXPIRED, FREE, HELD
from tests.core.harness import settings

DOCS = Path(__file__).parents[2] / "docs"
DRAWN = 0.5


def free(successor=None):
    """Give a free Lease, with or without a named successor."""
    annotations = {} if successor is None else {lease_annotations.SUCCESSOR: successor}
    return read_snapshot(
        {
            "metadata": {
                "uid": "u",
                "resourceVersion": "7",
                "annotations": annotations,
            },
            "spec": {"holderIdentity": ""},
        }
    )


def delay(
    fact=FREE, *, found=None, looked=True, went_first=False, own=False, **changes
):
    """Give the seconds from now on that one delay takes."""
    part = Contending(settings(**changes), draw=lambda: DRAWN)
    if looked:
        part.look(HELD)
    if went_first:
        part.let_others_go_first()
    found = free() if found is None else found
    part.begin_delay(fact, found, is_own=own, now=100.0, not_before=0.0)
    return pytest.approx(part.at - 100.0, abs=1e-9)


def test_first_look_at_a_free_lease_waits_for_nothing():
    """Nobody was woken by it; but a record of our own that is free was news to all."""
    assert delay(looked=False) == 0.0
    assert delay(looked=False, own=True) == DRAWN * contending.AFTER_RELEASE


def test_delay_after_a_release_is_drawn():
    """And whoever had the Lease itself comes after all others."""
    assert delay() == DRAWN * 0.025
    assert delay(went_first=True) == (1.0 + DRAWN) * 0.025


@pytest.mark.parametrize(("duration", "most"), [(4, 0.2), (8, 0.4), (20, 0.4)])
def test_delay_after_an_expiry_is_a_share_of_the_duration(duration, most):
    """Of our own D, since only that is known before the first look, too."""
    assert contending.longest_after_expiry(duration) == pytest.approx(most)
    assert delay(EXPIRED, lease_duration=duration) == DRAWN * most


@pytest.mark.parametrize(
    ("duration", "seconds"), [(20, 5.0), (4, 2.0), (5, 2.5), (10, 5.0)]
)
def test_named_successor_goes_first(duration, seconds):
    """Others let it, for a bounded time, and wait their usual delay after that."""
    found = free("c")
    assert delay(found=found, looked=False, lease_duration=duration) == seconds
    more = DRAWN * contending.AFTER_RELEASE
    assert delay(found=found, lease_duration=duration) == seconds + more
    assert delay(found=free("a"), lease_duration=duration) == more


def test_pause_after_failures_outlasts_the_delay():
    """Fault 24: a free Lease is no reason to write in a hot loop."""
    part = Contending(settings(), draw=lambda: DRAWN)
    part.begin_delay(FREE, free(), is_own=False, now=100.0, not_before=101.5)
    assert part.at == 101.5


# One home -----------------------------------------------------------------------


def sentences():
    """Give what the guarantees page has to say, from the numbers."""
    release = f"{contending.AFTER_RELEASE * 1000:g} ms"
    share = f"{contending.AFTER_EXPIRY_SHARE * 100:g} %"
    assert contending.YIELD_SHARE == 0.5, "then it is not half of D: mend this test"
    return [
        f"a contending delay of at most {release}",
        f"up to {release} after a release",
        f"up to {share} of D and at most {contending.AFTER_EXPIRY:g} s after an expiry",
        f"waits {release} longer",
        f"wait up to {contending.YIELD_AT_MOST:g} s, and at most half of D, longer",
    ]


def printed():
    """Give what `timings` prints, with the default times."""
    done = CliRunner().invoke(cli, ["timings"])
    assert done.exit_code == 0
    return done.output


def promised():
    """Give what the default times are said to promise."""
    return s.timings(s.resolve_settings(lease_name="x"))


def test_page_says_what_the_delays_are():
    """The numbers in the text of rule 13 and of G7 are those of the core."""
    page = (DOCS / "guarantees.md").read_text("utf-8")
    for sentence in sentences():
        assert sentence in page


@pytest.mark.parametrize(
    ("name", "factor", "fields", "said"),
    [
        ("AFTER_RELEASE", 8, {"hand_over", "crash_fail_over_proved"}, {0, 1, 3}),
        ("AFTER_EXPIRY", 0.5, {"crash_fail_over"}, {2}),
        ("AFTER_EXPIRY_SHARE", 0.1, {"crash_fail_over"}, {2}),
        ("YIELD_AT_MOST", 0.5, set(), {4}),
    ],
)
def test_who_changes_a_delay_changes_all_that_is_said_of_it(
    name, factor, fields, said, monkeypatch
):
    """What is computed follows; what stands in prose fails until it is put right."""

    def waits():
        return {
            "release": delay().expected,
            "expiry": delay(EXPIRED).expected,
            "successor": delay(found=free("c")).expected,
        }

    before, output, derived, page = waits(), printed(), promised(), sentences()
    monkeypatch.setattr(contending, name, getattr(contending, name) * factor)
    assert waits() != before
    now = promised()
    assert {f for f in now._fields if getattr(now, f) != getattr(derived, f)} == fields
    assert (printed() != output) is bool(fields)
    assert {i for i, sentence in enumerate(sentences()) if sentence != page[i]} == said
