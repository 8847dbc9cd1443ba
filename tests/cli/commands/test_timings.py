"""``kle timings``: the numbers are the library's, and unsafe times are refused."""

from __future__ import annotations

import json
import re

import pytest

from kubernetes_leader_election.cli.commands.timings import WIDTH, describe, picture
from kubernetes_leader_election.settings import PRESETS, resolve_settings, timings


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


def test_presets_say_how_soon_a_crash_is_followed_with_a_proof_and_without(call):
    """Both are computed, and what a preset is for says the same."""
    found = json.loads(call("timings", "--presets", "-o", "json").stdout)
    shown = call("timings", "--presets").stdout
    (title,) = (line for line in shown.splitlines() if "CRASH FAIL-OVER" in line)
    assert "IF PROVED" in title
    for name, preset in PRESETS.items():
        times = found[name]
        waited, proved = times["crash_fail_over"], times["crash_fail_over_proved"]
        assert proved < waited
        said = re.search(r"within (\S+) s of a crash, (\S+) s where", preset.purpose)
        for told, exact in zip(said.groups(), (waited, proved), strict=True):
            assert exact <= float(told) < exact + 0.1


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


def shown_by(call, *words: str) -> dict[str, str]:
    """Return what each line of the text shows, by its name."""
    lines = call("timings", *words).stdout.splitlines()
    return {line[:19].strip(): line[19:31].strip() for line in lines}


def test_what_is_promised_is_rounded_to_the_safe_side(call):
    """No more outage and no quicker take-over than is true; the README has the same."""
    shown = shown_by(call, "--preset", "fast")
    derived = timings(resolve_settings(preset="fast"))
    assert (derived.outage_survived, shown["outage survived"]) == (1.89, "1.8 s")
    assert derived.crash_fail_over == pytest.approx(5.8056, abs=0.001)
    assert shown["crash fail-over"] == "5.9 s"
    assert derived.hard_limit == pytest.approx(4.0909, abs=0.001)
    assert shown["hard limit"] == "4 s"
    # What was chosen is not rounded; nor what the rule of safety compares.
    assert shown["renew deadline"] == "3.64 s"
    assert (shown["leader has stopped"], shown["others start"]) == ("4.545 s",) * 2
    (row,) = [
        line
        for line in call("timings", "--presets").stdout.splitlines()
        if line.startswith("fast ") and "<=" in line
    ]
    assert "<= 5.9 s" in row
    assert "< 1.8 s" in row


def test_a_lease_duration_that_is_rounded_is_told(call):
    """A Lease has whole seconds: 15.5 is 16, and not silently so."""
    result = call("timings", "--lease-duration-sec", "15.5", "-o", "json")
    assert json.loads(result.stdout)["lease_duration"] == 16
    assert "--lease-duration-sec=15.5 is rounded up to 16" in result.stderr
    assert call("timings", "--lease-duration-sec", "16").stderr == ""
    told = call(
        "manifests", "shop", "--lease-duration-sec", "15.5", "--", "work"
    ).stderr
    assert "--lease-duration-sec=15.5 is rounded up to 16" in told


def test_times_that_survive_hardly_any_outage_are_told(call):
    """A stop budget of 30 s leaves 727 ms: accepted, as it is safe, but said."""
    result = call("timings", "--stop-budget-sec", "30")
    assert result.exit_code == 0
    assert "Warning: A leader is lost in each API outage of 727 ms" in result.stderr
    assert "--stop-budget-sec" in result.stderr
    words = ("manifests", "shop", "--stop-budget-sec", "30", "--", "work")
    assert "API outage of 727 ms" in call(*words).stderr
    for preset in ("steady", "client-go", "fast", "calm"):
        assert call("timings", "--preset", preset).stderr == ""


@pytest.mark.parametrize(
    "words", [("--lease-duration-sec", "2147483647"), ("--renew-interval-ms", "1e12")]
)
def test_the_longest_times_are_drawn_as_soon_as_short_ones(words):
    """A mark for each place of the picture, not a step for each of 10**9 tries."""
    option, value = words
    name = option[2:].replace("-", "_")
    chosen = resolve_settings(lease_name="x", **{name: float(value)})
    lines = picture(timings(chosen), chosen.clock_rate_error)
    tries = next(line for line in lines if line.startswith("  tries"))
    assert 1 <= tries.count("^") <= WIDTH
    rows = [line for line in describe(chosen, timings(chosen)) if line]
    assert len({len(re.split(r"  (?=[A-Za-z])", row[20:])[0]) for row in rows}) == 1


def test_every_try_has_its_mark_where_places_are_shorter_than_tries():
    """A step of half a place leaves no place out: the marks are one unbroken line."""
    chosen = resolve_settings(lease_name="x", lease_duration_sec=36_000)
    lines = picture(timings(chosen), chosen.clock_rate_error)
    tries = next(line for line in lines if line.startswith("  tries"))
    assert set(tries.split(None, 1)[1]) == {"^"}
