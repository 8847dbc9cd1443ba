"""Tests of the options: defaults, checks, suggestions, presets, derived numbers."""

import ast
import math
import os
import re
import socket
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubernetes_leader_election import settings as settings_package
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.settings import (
    OPTION_NAMES,
    PRESETS,
    Settings,
    resolve_settings,
    timings,
)
from kubernetes_leader_election.settings.names import default_identity
from kubernetes_leader_election.sync import Elector

ASSIGNMENT = re.compile(
    r"""([a-z_]+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|True|False|[0-9.]+(?<!\.))"""
)


def refusal(**options):
    """Return the message that the options are refused with."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings(**options)
    return str(caught.value)


def suggested(message):
    """Return every change that a message suggests, as dicts of options."""
    advice = message.rpartition(" Use ")[2]
    assert advice != message, f"no suggestion in: {message}"
    ways = []
    for way in advice.split(", or "):
        found = ASSIGNMENT.findall(way)
        if found:
            ways.append({name: ast.literal_eval(value) for name, value in found})
    assert ways, f"no suggestion in: {message}"
    return ways


def keeps_the_rules(found: Settings) -> bool:
    """Check G2 and R + 2T <= L with other arithmetic than the package's."""
    rho = Fraction(str(found.clock_rate_error))
    duration = Fraction(found.lease_duration_sec)
    deadline = Fraction(str(found.renew_deadline_sec))
    budget = Fraction(str(found.stop_budget_sec))
    interval = Fraction(found.renew_interval_ms, 1000)
    timeout = Fraction(str(found.request_timeout_sec))
    return (
        deadline / (1 - rho) + budget <= duration / (1 + rho)
        and interval + 2 * timeout <= deadline
        and deadline > 0
    )


def test_defaults_are_the_documented_ones():
    """The defaults are the Node package's, with what follows from them."""
    found = resolve_settings()
    assert found.lease_name == "python-leader-election"
    assert found.namespace == "default"
    assert found.identity is None  # made when it starts, perhaps by another process
    here = f"elector-{socket.gethostname()}-{os.getpid()}"
    assert found.election().identity == here
    assert found.renew_interval_ms == 10_000
    assert found.lease_duration_sec == 20
    assert found.renew_deadline_sec == 15.0
    assert found.stop_budget_sec == 1.0
    assert found.request_timeout_sec == 2.5
    assert found.wait_for_leadership is False
    assert found.auto_close is True
    assert found.observe is False
    assert found.require_cluster is False
    assert found.hard_fence is False
    assert found.leader_endpoints is None
    assert found.kubernetes_events is False
    assert found.crash_takeover is False
    assert found.crash_challenge_sec == 1.0
    assert found.liveness is None
    assert keeps_the_rules(found)


def test_core_settings_are_in_seconds():
    """The core gets the same numbers in seconds."""
    core = resolve_settings(renew_interval_ms=2500, observe=True).election()
    assert core.renew_interval == 2.5
    assert core.lease_duration == 5
    assert core.observe is True
    assert core.namespace == "default"


@pytest.mark.parametrize(
    ("interval", "duration"),
    [(10_000, 20), (15_000, 30), (2_500, 5), (1_000, 3), (100, 2), (10, 2)],
)
def test_duration_is_the_smallest_from_twice_the_interval_that_works(
    interval, duration
):
    """lease_duration_sec is 2 x R, or the smallest whole second from there (G2)."""
    found = resolve_settings(renew_interval_ms=interval)
    assert found.lease_duration_sec == duration
    if duration > math.ceil(2 * interval / 1000):
        refusal(renew_interval_ms=interval, lease_duration_sec=duration - 1)


times = st.one_of(
    st.none(),
    st.floats(min_value=0.01, max_value=200, allow_nan=False),
    st.integers(min_value=1, max_value=2**31 - 1),
    st.timedeltas(min_value=timedelta(milliseconds=10), max_value=timedelta(days=9)),
)
rhythms = st.fixed_dictionaries(
    {},
    optional={
        "renew_interval_ms": st.one_of(
            st.integers(min_value=10, max_value=10**9),
            st.floats(min_value=10, max_value=10**6),
        ),
        "lease_duration_sec": times,
        "renew_deadline_sec": times,
        "stop_budget_sec": times,
        "request_timeout_sec": times,
        "clock_rate_error": st.floats(min_value=0.0005, max_value=0.5),
        "preset": st.sampled_from([None, *PRESETS]),
    },
)


@given(options=rhythms)
@settings(max_examples=400, deadline=None)
@example(options={"lease_duration_sec": 1, "renew_deadline_sec": 0.01})
@example(options={"renew_interval_ms": 2**31 * 900})
@example(options={"request_timeout_sec": 9, "preset": "fast"})
@example(
    options={"clock_rate_error": 0.33782100036622276, "lease_duration_sec": 1535211}
)
def test_times_are_accepted_only_if_they_keep_g2_and_suggestions_work(options):
    """G2: what is accepted keeps the rules; every printed suggestion is accepted."""
    try:
        found = resolve_settings(**options)
    except ConfigurationError as error:
        for way in suggested(str(error)):
            assert keeps_the_rules(resolve_settings(**(options | way))), way
    else:
        assert keeps_the_rules(found)


@given(
    options=rhythms.filter(
        lambda o: "renew_deadline_sec" in o or "stop_budget_sec" in o
    )
)
@settings(max_examples=100, deadline=None)
def test_refused_times_break_a_rule(options):
    """Nothing that keeps both rules is refused when all five times are given."""
    try:
        found = resolve_settings(**options)
    except ConfigurationError:
        return
    again = resolve_settings(
        renew_interval_ms=found.renew_interval_ms,
        lease_duration_sec=found.lease_duration_sec,
        renew_deadline_sec=found.renew_deadline_sec,
        stop_budget_sec=found.stop_budget_sec,
        request_timeout_sec=found.request_timeout_sec,
        clock_rate_error=found.clock_rate_error,
    )
    assert again.timing == found.timing


def test_g2_is_checked_to_the_millisecond():
    """G2: L/(1-rho) + S <= D/(1+rho) holds at the bound and is refused just above."""
    # (20 / 1.1 - 1) * 0.9 = 15.4636...
    at_bound = resolve_settings(lease_duration_sec=20, renew_deadline_sec=15.463)
    assert at_bound.renew_deadline_sec == 15.463
    message = refusal(lease_duration_sec=20, renew_deadline_sec=15.464)
    assert "15.464 s / (1 - 0.1)" in message
    assert "20 s / (1 + 0.1) = 18.181 s" in message


def test_second_try_needs_room():
    """R + 2T <= L is refused with the arithmetic when it does not hold."""
    message = refusal(lease_duration_sec=20, request_timeout_sec=3)
    assert "10 s + 2 x request_timeout_sec 3 s = 16 s" in message
    assert "deadline of 15 s" in message


@pytest.mark.parametrize(
    ("options", "field", "expected"),
    [
        ({"renew_deadline_sec": 12.3456}, "renew_deadline_sec", 12.345),
        ({"lease_duration_sec": 20.001}, "lease_duration_sec", 21),
        ({"stop_budget_sec": 1.0001}, "stop_budget_sec", 1.001),
        ({"request_timeout_sec": 1.0001}, "request_timeout_sec", 1.001),
        ({"renew_interval_ms": 999.5}, "renew_interval_ms", 1000),
        ({"renew_deadline_sec": 14.9}, "renew_deadline_sec", 14.9),
        ({"renew_interval_ms": timedelta(seconds=5)}, "renew_interval_ms", 5000),
        ({"lease_duration_sec": timedelta(minutes=1)}, "lease_duration_sec", 60),
    ],
)
def test_durations_are_rounded_to_the_safe_side(options, field, expected):
    """G2: deadlines are rounded down, everything that others wait for up."""
    assert getattr(resolve_settings(**options), field) == expected


@pytest.mark.parametrize(
    ("given", "found"),
    [(None, None), (7, 7.0), (timedelta(minutes=2), 120.0), (0.25, 0.25)],
    ids=str,
)
def test_grace_is_seconds_or_has_no_end(given, found):
    """Twenty seconds unless given; None is an answer of its own: for ever."""
    assert resolve_settings().grace_sec == 20.0
    settings = resolve_settings(grace_sec=given)
    assert settings.grace_sec == found
    means = timings(settings)
    assert means.after_signal == (None if found is None else found + 1.0)
    assert means.pod_needs == (None if found is None else found + 3 * 2.5 + 1.0)


DURATIONS = [n for n in OPTION_NAMES if n.endswith(("_ms", "_sec"))]


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, True, False, "10", b"1"),
        *(
            [],
            1j,
            10**400,
            2**31 * 1000,
            1e300,
            1e308,
            timedelta(0),
            timedelta(seconds=-1),
        ),
    ],
    ids=str,
)
def test_bad_duration_is_refused_with_a_suggestion_that_works(name, value):
    """Every bad number is refused by name, and the suggestion is accepted."""
    if name == "grace_sec" and type(value) is not bool and value in (0, timedelta(0)):
        assert resolve_settings(grace_sec=value).grace_sec == 0.0  # end it at once
        return
    options = {
        "liveness_timeout_sec": {"liveness": lambda: True},
        "crash_challenge_sec": {"crash_takeover": True},
    }.get(name, {})
    message = refusal(**options, **{name: value})
    assert name in message
    for way in suggested(message):
        resolve_settings(**(options | way))


@pytest.mark.parametrize(
    "options",
    [
        {"lease_name": "Has-Capitals"},
        {"lease_name": ""},
        {"lease_name": "-x"},
        {"lease_name": "a..b"},
        {"lease_name": "under_score"},
        {"lease_name": "ü"},
        {"lease_name": "x" * 254},
        {"lease_name": "a." * 200},
        {"lease_name": "trailing\n"},
        {"lease_name": 7},
        {"namespace": ""},
        {"namespace": "a.b"},
        {"namespace": "x" * 64},
        {"namespace": "Prod"},
        {"namespace": 3.5},
        {"identity": ""},
        {"identity": "  "},
        {"identity": "x" * 254},
        {"identity": "pod-1\n"},
        {"identity": "\x1b[31m"},
        {"identity": "\ud800"},
        {"identity": 5},
        {"wait_for_leadership": "yes"},
        {"auto_close": 1},
        {"observe": "false"},
        {"wait_for_leadership": None},
        {"auto_close": None},
        {"observe": None},
        {"require_cluster": 1},
        {"hard_fence": "yes"},
        {"kubernetes_events": "yes"},
        {"leader_endpoints": 8080},
        {"crash_takeover": "yes"},
        {"clock_rate_error": 0},
        {"clock_rate_error": 1},
        {"clock_rate_error": math.nan},
        {"clock_rate_error": "10%"},
        {"liveness": 5},
        {"liveness": "loops"},
        {"preset": 3},
    ],
    ids=lambda o: ascii(o)[:40],
)
def test_bad_option_is_refused_with_a_suggestion_that_works(options):
    """Text, flags and the rest are refused by name, and the suggestion is accepted."""
    message = refusal(**options)
    (name,) = options
    assert name in message
    assert message.isprintable()
    assert len(message) < 600
    for way in suggested(message):
        resolve_settings(**way)


@given(text=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_name_is_accepted_or_repaired(text):
    """Any text is a good name, or is refused with one that works (fault 51)."""
    for name in ("lease_name", "namespace", "identity"):
        message = None
        try:
            found = resolve_settings(**{name: text})
        except ConfigurationError as error:
            message = str(error)
        if message is None:
            assert getattr(found, name) == text
        else:
            assert message.isprintable()
            for way in suggested(message):
                resolve_settings(**way)


def test_namespace_none_is_left_to_the_credentials():
    """namespace=None takes the namespace of the pod, and fails without one."""
    found = resolve_settings(namespace=None)
    assert found.namespace is None
    assert found.election(namespace="shop").namespace == "shop"
    with pytest.raises(ConfigurationError, match="namespace='default'"):
        found.election()
    with pytest.raises(ConfigurationError, match="not a valid name for a namespace"):
        found.election(namespace="Not Valid")


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("lease_duration", "lease_duration_sec"),
        ("renew_interval", "renew_interval_ms"),
        ("waitForLeadership", "wait_for_leadership"),
        ("Identity", "identity"),
        ("auto_closed", "auto_close"),
    ],
)
def test_unknown_option_is_refused_with_the_one_meant(given_name, meant):
    """A misspelt option is refused with a did-you-mean."""
    message = refusal(**{given_name: 1})
    assert message == f"There is no option {given_name!r}. Did you mean {meant!r}?"


def test_option_like_no_other_is_refused_with_all_there_are():
    """An option that resembles none lists them all."""
    message = refusal(xyzzy=1)
    assert all(name in message for name in OPTION_NAMES)


def test_unknown_preset_is_refused_with_the_one_meant():
    """A misspelt preset is refused with a did-you-mean."""
    assert "'client-go'" in refusal(preset="clientgo")


def test_liveness_timeout_needs_liveness():
    """A limit without a probe would do nothing: refused."""
    assert "without liveness" in refusal(liveness_timeout_sec=5)
    probe = resolve_settings(liveness=bool, liveness_timeout_sec=5)
    assert probe.liveness is bool
    assert probe.liveness_timeout_sec == 5.0
    assert resolve_settings(liveness="loop").liveness_timeout_sec == 20.0


def test_challenge_is_shorter_than_what_it_shortens():
    """A leader has time to answer, and a proof is never slower than none."""
    assert "without crash_takeover" in refusal(crash_challenge_sec=2)
    found = resolve_settings(crash_takeover=True, crash_challenge_sec=2.5)
    assert found.crash_challenge_sec == 2.5
    election = found.election(namespace="shop")
    assert (election.crash_takeover, election.crash_challenge) == (True, 2.5)
    for odd in (0.1, 20, 30):
        message = refusal(crash_takeover=True, crash_challenge_sec=odd)
        assert "at least 0.2 s" in message
        assert "less than the lease duration of 20 s" in message
    short = resolve_settings(crash_takeover=True, preset="fast")
    assert short.crash_challenge_sec < short.lease_duration_sec


def test_none_is_the_same_as_leaving_out():
    """None leaves an option to its default, but for namespace, grace, and yes or no."""
    left_out = resolve_settings(namespace=None, grace_sec=None)
    flags = {"wait_for_leadership", "auto_close", "observe", "require_cluster"}
    flags |= {"hard_fence", "crash_takeover", "kubernetes_events"}
    assert resolve_settings(**dict.fromkeys(set(OPTION_NAMES) - flags)) == left_out


def test_error_names_its_option():
    """The error carries the option to change, for programs."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings(lease_duration_sec=11)
    assert caught.value.option == "lease_duration_sec"


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_renews_three_times_in_a_lease(preset):
    """Every preset keeps the rules and R <= D / 3."""
    found = resolve_settings(preset=preset)
    assert keeps_the_rules(found)
    assert found.renew_interval_ms * 3 <= found.lease_duration_sec * 1000
    assert timings(found).quiet_candidates


def test_client_go_preset_is_15_10_2():
    """client-go's numbers are taken as they are: G2 accepts them."""
    found = resolve_settings(preset="client-go")
    assert found.lease_duration_sec == 15
    assert found.renew_deadline_sec == 10.0
    assert found.renew_interval_ms == 2000


def test_steady_preset_rides_out_more_than_5_seconds():
    """G8: steady fails over like the defaults and rides out more than twice as much."""
    steady, default = (timings(resolve_settings(preset=p)) for p in ("steady", None))
    assert steady.crash_fail_over == default.crash_fail_over
    assert steady.outage_survived == 6.5
    assert default.outage_survived == 2.5


@pytest.mark.parametrize("preset", ["steady", "client-go", "calm"])
def test_preset_leaves_a_write_the_three_seconds_of_a_webhook(preset):
    """A webhook that times out after 3 s does not keep anybody from leading."""
    assert resolve_settings(preset=preset).request_timeout_sec > 3.25


def test_presets_say_their_true_numbers():
    """The numbers in the descriptions of the presets are the derived ones."""
    fast, calm = (timings(resolve_settings(preset=p)) for p in ("fast", "calm"))
    assert "5.9 s" in PRESETS["fast"].purpose
    assert fast.crash_fail_over == pytest.approx(5.8, abs=0.01)
    assert "25 s" in PRESETS["calm"].purpose
    assert calm.outage_survived == 25.0
    assert "67.1 s" in PRESETS["calm"].purpose
    assert calm.crash_fail_over == pytest.approx(67.07, abs=0.01)


def test_suggestions_change_what_they_name_and_stay_near_what_was_asked():
    """A lease of 1 s is not answered with one of 20 s twice over."""
    with pytest.raises(ConfigurationError) as refused:
        resolve_settings(lease_duration_sec=1)
    assert suggested(str(refused.value)) == [
        {"lease_duration_sec": 20},
        {"lease_duration_sec": 2, "renew_interval_ms": 100},
    ]
    with pytest.raises(ConfigurationError) as refused:
        resolve_settings(renew_deadline_sec=0.5)
    assert suggested(str(refused.value)) == [{"renew_deadline_sec": 15}]


def test_given_options_beat_the_preset():
    """What is given wins over what the preset says."""
    found = resolve_settings(preset="calm", renew_interval_ms=12_000)
    assert found.renew_interval_ms == 12_000
    assert found.lease_duration_sec == 60


def test_timings_follow_from_the_guarantees():
    """G6, G7, G8 and G9 in numbers, for the defaults."""
    derived = timings(resolve_settings())
    assert derived.leader_stops_within == 17.667
    assert derived.others_start_after == 18.181
    assert derived.crash_fail_over == pytest.approx(20 / 0.9 + 0.4)
    assert derived.crash_fail_over_best == 10.0
    assert derived.crash_fail_over_proved == pytest.approx(1.325)
    assert derived.hand_over == 0.025
    assert derived.outage_survived == 2.5
    assert derived.writes_per_minute == 6.0


def test_identity_of_a_pod_on_the_network_of_its_node_has_the_name_of_the_pod(
    monkeypatch,
):
    """With hostNetwork all pods of a node have its name, and a process 1 each."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setenv("POD_NAME", "billing-5c9f-x2x7k")
    assert default_identity() == "elector-billing-5c9f-x2x7k-1"
    monkeypatch.setenv("POD_NAME", " ")
    assert default_identity() == f"elector-{socket.gethostname()}-1"


def test_identity_of_a_long_host_name_is_cut(monkeypatch):
    """The default identity is always a valid one."""
    long = os.uname_result(("Linux", "h" * 400 + "\n", "", "", ""))
    monkeypatch.setattr(os, "uname", lambda: long)
    identity = default_identity()
    assert identity.endswith(f"h-{os.getpid()}")
    assert resolve_settings(identity=identity).identity == identity


@pytest.mark.parametrize(
    ("variable", "named", "namespace"),
    [
        ("shop", {}, "shop"),
        ("", {}, "default"),
        ("shop", {"namespace": "default"}, "default"),
        ("shop", {"namespace": "till"}, "till"),
    ],
    ids=["the variable", "empty", "the default by name", "another one"],
)
def test_namespace_that_nobody_named_is_that_of_the_variable(
    monkeypatch, variable, named, namespace
):
    """KLE_NAMESPACE counts where the program says nothing, POD_NAMESPACE never."""
    monkeypatch.setenv("KLE_NAMESPACE", variable)
    monkeypatch.setenv("POD_NAMESPACE", "pod")
    found = Elector(lease_name="billing", **named).namespace
    assert (found, type(found)) == (namespace, str)


def test_namespace_of_the_variable_is_checked(monkeypatch):
    """The error says that it came from there."""
    monkeypatch.setenv("KLE_NAMESPACE", "a_b")
    with pytest.raises(ConfigurationError, match="variable KLE_NAMESPACE"):
        Elector(lease_name="billing")


def test_namespace_that_was_found_is_checked():
    """That of a kubeconfig's context is no option that was given: the error says so."""
    chosen = resolve_settings(namespace=None)
    with pytest.raises(
        ConfigurationError, match="the kubeconfig's context: namespace="
    ):
        chosen.election(namespace="Not Valid")


def test_table_of_the_options_has_each():
    """What the reference shows first: an option that is missing there is not found."""
    listed = re.findall(r"^([a-z_]+) {2,}\S", settings_package.__doc__, re.MULTILINE)
    assert set(listed) - {"option"} == set(OPTION_NAMES)
