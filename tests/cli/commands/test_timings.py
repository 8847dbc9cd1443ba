"""``kle timings``: the numbers are the library's, and unsafe times are refused."""

from __future__ import annotations

import json

import pytest

from kubernetes_leader_election.settings import resolve_settings, timings


def test_timings_print_every_derived_number(call):
    """JSON holds each number that the library derives, under its name."""
    expected = timings(
        resolve_settings(lease_name="x", lease_duration_sec=10, renew_interval_ms=5000)
    )
    result = call(
        "timings",
        "--lease-duration-sec",
        "10",
        "--renew-interval-ms",
        "5000",
        "-o",
        "json",
    )
    found = json.loads(result.stdout)
    assert found["crash_fail_over"] == expected.crash_fail_over
    assert found["outage_survived"] == expected.outage_survived
    assert found["writes_per_minute"] == 12


@pytest.mark.parametrize("preset", ["steady", "client-go", "fast", "calm"])
def test_timings_draw_a_picture_in_which_the_leader_stops_first(call, preset):
    """In the picture the leader's line ends no later than the others' waiting."""
    result = call("timings", "--preset", preset)
    assert result.exit_code == 0
    lines = {
        line.split()[0]: line
        for line in result.stdout.splitlines()
        if line.startswith("  ") and line.split()
    }
    leader, others = lines["leader"], lines["others"]
    assert len(leader.rstrip()) <= others.index("?") + 1
    assert "^" in lines["tries"]


def test_timings_refuse_what_is_unsafe_in_the_command_lines_words(call):
    """A deadline that breaks G2 is refused with the arithmetic and options that work."""
    result = call("timings", "--lease-duration-sec", "20", "--renew-deadline-sec", "19")
    assert result.exit_code == 2
    assert "(G2)" in result.stderr
    assert "--renew-deadline-sec=" in result.stderr
    assert "renew_deadline_sec" not in result.stderr


def test_timings_compare_all_presets(call):
    """One table has a line for the default and for each preset."""
    result = call("timings", "--presets", "-o", "json")
    assert set(json.loads(result.stdout)) == {
        "default",
        "steady",
        "client-go",
        "fast",
        "calm",
    }
    assert "steady" in call("timings", "--presets").stdout


def test_timings_say_what_a_grace_without_an_end_means(call):
    """Nothing can be promised of the pod: null for programs, words for people."""
    words = ("timings", "--grace-sec", "none")
    found = json.loads(call(*words, "-o", "json").stdout)
    assert (found["grace"], found["after_signal"], found["pod_needs"]) == (None,) * 3
    assert call(*words).stdout.count("no end") == 3


@pytest.mark.parametrize(
    "variable", ["KLE_TIMINGS_LEASE_DURATION_SEC", "KLE_LEASE_DURATION_SEC"]
)
def test_timings_take_options_from_the_environment(call, variable):
    """Each option has a variable, with and without the command's name."""
    result = call("timings", "-o", "json", **{variable: "30"})
    assert json.loads(result.stdout)["lease_duration"] == 30
