"""``kle step-down``, ``transfer`` and ``release``: moving a leader, and its dangers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from kubernetes_leader_election.cli.connection import Connection
from kubernetes_leader_election.cli.observe import cluster, handover
from kubernetes_leader_election.cli.observe.tracker import Tracker
from kubernetes_leader_election.core.annotations import STEP_DOWN, SUCCESSOR, TOKEN
from tests.cli.observe.leases import electors, write_lease
from tests.cli.observe.records import at, lease
from tests.programs import let_main_thread_wait

KLE = Path(sys.executable).parent / "kle"


@pytest.mark.slow
def test_step_down_moves_the_leader_and_says_who_leads(call, server, kubeconfig):
    """The leader releases, another one leads, and no wish is left on the Lease."""
    with electors(server, "moved", "ada", "bob") as (ada, bob):
        result = call("step-down", "moved", "--kubeconfig", kubeconfig)
        assert result.exit_code == 0, result.stderr
        assert "default/moved: 'bob' leads now; nobody led for" in result.stdout
        assert bob.wait_until_leading(60)
        assert not ada.current_leader
        annotations = server.lease("moved")["metadata"].get("annotations", {})
    assert STEP_DOWN not in annotations


@pytest.mark.slow
def test_transfer_lets_the_named_candidate_lead(call, server, kubeconfig):
    """Of several candidates the named one leads, and the answer says so in JSON."""
    with electors(server, "named", "ada", "bob", "cyd", "dan") as started:
        result = call(
            "transfer", "named", "--to", "dan", "--kubeconfig", kubeconfig, "-o", "json"
        )
        assert started[3].wait_until_leading(60)
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (found["outcome"], found["leader"]) == ("done", "dan")
    assert found["asked"] == "ada"


@pytest.mark.slow
def test_transfer_falls_back_when_the_named_one_is_not_there(call, server, kubeconfig):
    """A successor that does not exist holds the others up for a while, not for ever."""
    with electors(server, "fallen", "ada", "bob", lease_duration_sec=2):
        result = call("transfer", "fallen", "--to", "zoe", "--kubeconfig", kubeconfig)
        annotations = server.lease("fallen")["metadata"].get("annotations", {})
    assert result.exit_code == 1
    assert "'zoe' did not take over in time" in result.stderr
    assert "'bob' leads now" in result.stderr
    assert SUCCESSOR not in annotations


@pytest.mark.slow
def test_asking_with_nobody_waiting_is_told_before_and_after(call, server, kubeconfig):
    """It costs a whole lease duration: said first, and for how long nobody led, last."""
    words = ("step-down", "alone", "--kubeconfig", kubeconfig, "-o", "json")
    with electors(server, "alone", "ada", lease_duration_sec=2):
        result = call(*words)
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["outcome"], found["leader"]) == ("nobody took over", "ada")
    before, _, after = result.stderr.partition("'ada' is asked to step down")
    assert "it is not known whether" in before
    assert "nobody leads until 'ada' is back" in before
    assert "lease duration (2 s)" in before
    assert "released it" in after
    assert found["nobody_led_sec"] > 0
    assert "no other candidate took over; nobody led for" in found["text"]


def test_asking_for_a_successor_tells_it_from_the_words_of_the_sentence():
    """Whether 'nobody' waits is another question than whether nobody does."""
    said = handover._warning(lease(1, "ada").record, "'ada'", "nobody")
    assert "it is not known whether 'nobody' waits. If it does not, another" in said
    assert "if none waits, nobody leads until 'ada' is back" in said
    assert "lease duration (10 s)" in said


def test_asking_says_for_how_long_nobody_has_led_when_it_gives_up():
    """The wait is over before the asked one is back: so far nobody led."""
    tracker = Tracker("billing", at(0))
    tracker.see(lease(1, "ada"), at(0))
    tracker.see(lease(2, "", acquired=5, renewed=5), at(5))
    about = partial(handover.Answer, lease="billing", namespace="shop")

    def answer(outcome: str, text: str, **more: object) -> handover.Answer:
        return about(outcome=outcome, text=text, **more)

    found = handover._unanswered(answer, "ada", tracker, 30.0, at(34.5))
    assert found.nobody_led_sec == 29.5
    assert "nobody took over within 30 s; nobody has led for 29.5 s" in found.text
    assert "'ada' itself contends again one lease duration after" in found.text


def test_transfer_to_the_leader_changes_nothing(call, server, kubeconfig):
    """Who leads already is left alone."""
    write_lease(server, "same", duration=3600)
    result = call("transfer", "same", "--to", "ada", "--kubeconfig", kubeconfig)
    assert result.exit_code == 0
    assert "'ada' leads already" in result.stdout
    assert "annotations" not in server.lease("same")["metadata"]


@pytest.mark.parametrize("words", [("step-down",), ("transfer", "--to", "bob")])
def test_asking_a_foreign_holder_is_refused_with_the_reason(
    call, server, kubeconfig, words
):
    """Who is no elector of this package cannot be asked: said, and nothing written."""
    before = write_lease(server, "foreign", duration=3600, program="kube-thing/v1")
    command, *rest = words
    result = call(command, "foreign", *rest, "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert "cannot be asked" in result.stderr
    assert "'kube-thing'" in result.stderr
    assert server.lease("foreign") == before


def test_step_down_takes_the_wish_back_when_nobody_answers(call, server, kubeconfig):
    """A holder that is dead does not answer: the wish does not stay behind."""
    write_lease(server, "mute", duration=3600)
    words = ("step-down", "mute", "--wait-sec", "0.2", "--kubeconfig", kubeconfig)
    result = call(*words)
    assert result.exit_code == 1
    assert "did not step down" in result.stderr
    assert not server.lease("mute")["metadata"].get("annotations")


def test_wish_of_somebody_else_is_not_taken_back(server, kubeconfig):
    """Who has named another successor meanwhile keeps that."""
    there = {STEP_DOWN: "the term", SUCCESSOR: "eve", "kept": "yes"}
    write_lease(server, "shared", duration=3600, annotations=there)
    parts = dict.fromkeys(("context", "server", "token_file", "ca_file"))
    with cluster.at(Connection(kubeconfig=kubeconfig, **parts), None) as target:
        ours = {STEP_DOWN: "the term", SUCCESSOR: "dan"}
        handover._take_back(target, "shared", ours)
    left = server.lease("shared")["metadata"]["annotations"]
    assert left == {SUCCESSOR: "eve", "kept": "yes"}


@pytest.mark.slow
def test_step_down_takes_the_wish_back_when_it_is_interrupted(server, kubeconfig):
    """Ctrl-C leaves no wish that would end the term later on; exit code 130."""
    write_lease(server, "interrupted", duration=3600)
    process = subprocess.Popen(
        [KLE, "step-down", "interrupted", "--kubeconfig", kubeconfig],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "is asked" in line:
            break
    assert STEP_DOWN in server.lease("interrupted")["metadata"]["annotations"]
    let_main_thread_wait(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "the wish is taken back" in said
    assert "Traceback" not in said
    metadata = server.lease("interrupted")["metadata"]
    assert STEP_DOWN not in metadata.get("annotations", {})


@pytest.mark.parametrize("there", [True, False], ids=["free", "missing"])
def test_step_down_has_nobody_to_ask(call, server, kubeconfig, there):
    """A free or missing Lease has no holder: one line and exit code 1."""
    if there:
        write_lease(server, "empty", holder="")
    name = "empty" if there else "nowhere"
    result = call("step-down", name, "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert "nobody can be asked" in result.stderr


def test_release_without_force_says_what_to_do_first(call, kubeconfig):
    """Nobody frees a Lease by a slip: without --force it is refused."""
    result = call("release", "x", "--kubeconfig", kubeconfig)
    assert result.exit_code == 2
    assert "step-down x" in result.stderr


@pytest.mark.slow
def test_release_frees_an_expired_lease_after_observing(call, server, kubeconfig):
    """Seen to stand still for its duration, it is freed, with nothing of its term."""
    told = {TOKEN: "4 x", STEP_DOWN: "x", "kept": "yes"}
    write_lease(server, "stale", duration=1, annotations=told)
    result = call("release", "stale", "--force", "--yes", "--kubeconfig", kubeconfig)
    assert result.exit_code == 0, result.stderr
    assert "let it expire" in result.stderr
    spec = server.lease("stale")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("", 1)
    assert server.lease("stale")["metadata"]["annotations"] == {"kept": "yes"}


@pytest.mark.parametrize(
    ("words", "answer", "code", "freed"),
    [
        (["--yes"], None, 2, False),
        ([], "other\n", 1, False),
        ([], "", 1, False),
        ([], "quiet\n", 0, True),
        (["--yes", "--two-may-work"], None, 0, True),
    ],
    ids=["yes alone", "another name", "no answer", "its name", "told that two may"],
)
def test_release_of_a_holder_that_may_live_asks_for_its_name(
    call, server, kubeconfig, words, answer, code, freed
):
    """Not seen to expire: the danger is explained, and --yes alone is not enough."""
    write_lease(server, "quiet", duration=3600)
    given = ("--force", "--observe-sec", "0", *words, "--kubeconfig", kubeconfig)
    result = call("release", "quiet", *given, answer=answer)
    assert result.exit_code == code
    assert "DANGER: 'ada' was not seen to renew" in result.stderr
    held = server.lease("quiet")["spec"]["holderIdentity"]
    assert held == ("" if freed else "ada")


@pytest.mark.slow
def test_release_says_that_a_living_holder_is_alive(call, server, kubeconfig):
    """A holder seen to renew is alive: the danger says so and --yes is refused."""
    with electors(server, "alive", "ada") as (ada,):
        result = call(
            "release", "alive", "--force", "--yes", "--kubeconfig", kubeconfig
        )
        assert ada.current_leader
    assert result.exit_code == 2
    assert "ALIVE" in result.stderr


def test_release_writes_nothing_if_the_lease_changed_meanwhile(
    call, server, kubeconfig, monkeypatch
):
    """A renewal between the observation and the answer stands: nothing is undone."""
    write_lease(server, "raced", duration=3600)

    def answer_late(*_words: object, **_options: object) -> str:
        write_lease(
            server, "raced", duration=3600, written="2026-01-02T00:00:00.000000Z"
        )
        return "raced"

    monkeypatch.setattr("click.prompt", answer_late)
    given = ("--force", "--observe-sec", "0", "--kubeconfig", kubeconfig)
    result = call("release", "raced", *given)
    assert result.exit_code == 1
    assert "nothing was written" in result.stderr
    assert server.lease("raced")["spec"]["holderIdentity"] == "ada"
