"""``kle status``: who leads, judged by observing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import click
import pytest
import yaml

from kubernetes_leader_election.testing.faults import Answer, Fault
from tests.cli.observe.leases import electors, write_lease
from tests.cli.terminals import KLE, seen_on_a_terminal


@pytest.mark.slow
def test_status_sees_a_living_leader_renew(call, server, kubeconfig):
    """A leader is seen to renew; observing neither contends nor writes."""
    with electors(server, "living", "ada") as (ada,):
        token = ada.wait_until_leading().fencing_token
        writes = len(server.requests.matching(name="living", verb="update"))
        result = call("status", "living", "--kubeconfig", kubeconfig, "-o", "json")
        agents = {
            one.user_agent
            for one in server.requests.matching(name="living", verb="update")[writes:]
        }
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (found["state"], found["holder"]) == ("leads", "ada")
    assert found["can_be_asked"] is True
    assert found["renewed_ago_sec"] < 20
    assert 0 < found["expires_in_sec"] <= 20
    assert found["transitions"] == 1
    assert found["token"] == token
    assert found["token_because"] == "noted by the holder"
    assert found["token_at_most"] > token
    assert agents <= {"kubernetes-leader-election"}


@pytest.mark.slow
def test_status_finds_a_dead_holder_by_observing(call, server, kubeconfig):
    """A record that stands still for its own duration is expired, whatever it says."""
    write_lease(server, "dead", duration=1, written="2099-01-01T00:00:00.000000Z")
    result = call("status", "dead", "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert "observing for up to 1 s" in result.stderr
    assert "'ada' let it expire" in result.stdout
    assert "Lease default/dead at http://" in result.stdout
    assert "context 'embedded-lease-api'" in result.stdout


def test_status_judges_nothing_when_told_not_to_observe(call, server, kubeconfig):
    """--observe-sec 0 shows what is written and calls nobody alive or dead."""
    write_lease(server, "old", duration=3600, written="2001-01-01T00:00:00.000000Z")
    result = call("status", "old", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    assert result.exit_code == 0
    assert "not seen to renew yet" in result.stdout
    assert "2001-01-01T00:00:00.000000Z, by the clock of who wrote it" in result.stdout


@pytest.mark.parametrize("holder", ["", None], ids=["empty", "null"])
def test_status_says_that_a_lease_is_free(call, server, kubeconfig, holder):
    """Every released form is free, at once, with exit code 1."""
    write_lease(server, "free", holder=holder)
    result = call("status", "free", "--kubeconfig", kubeconfig, "-o", "yaml")
    assert result.exit_code == 1
    assert "state: free" in result.stdout


def test_status_says_where_it_looked_for_a_lease_that_is_not_there(
    call, server, kubeconfig
):
    """An unknown Lease is a plain answer that names namespace, server and a hint."""
    result = call("status", "nope", "-n", "kube-system", "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert f"Lease kube-system/nope at {server.url}" in result.stdout
    assert "try -n default" in result.stdout


@pytest.mark.parametrize(
    "words", [("status", "billing"), ("status",), ("step-down", "x")]
)
def test_a_namespace_that_is_not_there_is_told(call, server, kubeconfig, words):
    """A slip in -n is no missing Lease: it says so, and which one was meant."""
    given = ("--kubeconfig", kubeconfig)
    result = call(*words, "-n", "defautl", *given)
    said = result.stdout + result.stderr
    assert "There is no namespace 'defautl'. Did you mean 'default'?" in said
    assert result.exit_code == 1
    path = "/api/v1/namespaces/defautl"
    server.faults.add(Fault(Answer(status=403, reason="Forbidden"), path=path))
    unknown = call("status", "-n", "defautl", *given)
    assert "Whether there is a namespace 'defautl' is not known" in unknown.stderr
    assert unknown.exit_code == 0


@pytest.mark.parametrize("namespace", ["a\nb", "ns\u202e", "../x", "Shop"])
@pytest.mark.parametrize(
    "words", [("status", "x"), ("watch", "--for-sec", "0.1"), ("step-down", "x")]
)
def test_a_namespace_of_the_kubeconfig_that_is_none_is_told(
    call, kubeconfig, words, namespace
):
    """It is checked as -n is, before it is asked for or shown; the file is named."""
    config = json.loads(kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig.write_text(json.dumps(config))
    result = call(*words, "--kubeconfig", kubeconfig)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"The namespace from kubeconfig {kubeconfig}" in result.stderr
    assert "is not a valid name for a namespace" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    given = ("-n", "default", "--observe-sec", "0")
    if words[0] == "status":
        assert call(*words, "--kubeconfig", kubeconfig, *given).exit_code == 1


def test_a_lease_of_another_name_is_told_with_the_one_that_was_meant(
    call, server, kubeconfig
):
    """A slip in the name: the namespace is there, and a Lease like it."""
    write_lease(server, "billing", holder="ada", duration=3600)
    given = ("--kubeconfig", kubeconfig)
    for words in (("status",), ("step-down",), ("release", "--force")):
        result = call(*words, "biling", *given)
        assert result.exit_code == 1
        assert "Did you mean 'billing'?" in result.stdout + result.stderr
    assert "namespace" not in call("status", "zzz", *given).stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (-360, "6 min ago ("),
        (-3600 * 24 * 3, "3 days ago ("),
        (3600 * 3, ", which is 3 h ahead of this one"),
    ],
)
def test_status_says_since_when_in_words(call, server, kubeconfig, written, says):
    """How long ago, beside what is written: that is by the clock of who wrote it."""
    moment = datetime.now(UTC) + timedelta(seconds=written)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    write_lease(server, "since", duration=3600, written=stamp)
    result = call("status", "since", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    (line,) = [x for x in result.stdout.splitlines() if x.startswith("since")]
    assert f"{stamp}, by the clock of who wrote it" in line
    assert says in line


def test_status_shows_all_leases_of_a_namespace(call, server, kubeconfig):
    """Without LEASE: a table with a line for each, foreign holders named."""
    write_lease(server, "table-1", holder="bob", duration=3600, program="my-operator/1")
    write_lease(server, "table-2", holder="")
    result = call("status", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    lines = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert result.exit_code == 0
    assert "my-operator" in lines["table-1"]
    assert "free" in lines["table-2"]


@pytest.mark.parametrize("columns", [60, 80])
def test_status_fits_the_terminal(server, kubeconfig, columns):
    """On a terminal long names are shortened and no line is wrapped; in a pipe none is."""
    name, pod = "the-lease-of-a-service-with-a-long-name", "a-pod-with-a-name"
    write_lease(server, name, holder=f"{pod * 4}-x2x4z", duration=3600)
    words = ("status", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    shown = click.unstyle(seen_on_a_terminal(*words, columns=columns)).splitlines()
    (line,) = [line for line in shown if line.startswith("the-le")]
    (titles,) = [line for line in shown if line.startswith("LEASE")]
    assert len(line) <= columns
    assert "x2x4z" in line
    assert " held " in line
    assert {"STATE", "HOLDER", "RENEWED", "EXPIRES"} <= set(titles.split())
    whole = subprocess.run(
        [KLE, *map(str, words)], check=True, capture_output=True, text=True
    ).stdout
    assert f"{pod * 4}-x2x4z" in whole
    assert name in whole


def test_status_escapes_what_others_wrote(call, server, kubeconfig):
    """A holder with control characters cannot write to the terminal."""
    write_lease(server, "evil", holder="a\x1b[2Jb\nc", duration=3600)
    result = call("status", "evil", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    assert "\x1b" not in result.stdout
    assert "a\\x1b[2Jb\\nc" in result.stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_status_escapes_for_programs_what_turns_a_line_round(
    call, server, kubeconfig, output
):
    """Somebody may look at it on a terminal all the same; a program reads it as it is."""
    write_lease(server, "turned", holder="a\u202eb", duration=3600)
    given = ("--kubeconfig", kubeconfig, "--observe-sec", "0", "-o", output)
    shown = call("status", "turned", *given).stdout
    assert "\u202e" not in shown
    assert yaml.safe_load(shown)["holder"] == "a\u202eb"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Answer(status=403, reason="Forbidden", message="no"), "403"),
        (Answer(status=500, message="broken"), "500"),
    ],
    ids=["forbidden", "server error"],
)
def test_status_ends_with_one_line_when_the_server_refuses(
    call, server, kubeconfig, fault, says
):
    """No permission or a broken server: one line, exit code 3, no traceback."""
    server.faults.add(Fault(fault, verb="get", times=None))
    result = call("status", "x", "--kubeconfig", kubeconfig)
    assert result.exit_code == 3
    assert says in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [[], ["--context", "nope"]], ids=["file", "context"])
def test_status_ends_with_one_line_without_a_cluster(call, tmp_path, words):
    """No kubeconfig: one line that names the file, exit code 3."""
    result = call("status", "x", *words, HOME=str(tmp_path), KUBECONFIG="")
    assert result.exit_code == 3
    assert ".kube/config" in result.stderr


CANDIDATES = {
    "items": [
        {"metadata": {"name": "ada-1"}, "spec": {"leaseName": "coordinated"}},
        {"metadata": {"name": "bob-1"}, "spec": {"leaseName": "another"}},
        {"metadata": {"name": "cyd-1"}, "spec": {"leaseName": "coordinated"}},
    ]
}


@pytest.mark.parametrize(
    ("answer", "version", "says"),
    [
        (Answer(200, body=json.dumps(CANDIDATES)), "v1beta1", "ada-1, cyd-1"),
        (Answer(200, body=json.dumps(CANDIDATES)), "v1alpha2", "ada-1, cyd-1"),
        (Answer(200, body="{}"), "v1beta1", "no LeaseCandidate names this Lease"),
        (Answer(403), "v1beta1", "no right to list leasecandidates"),
        (Answer(500), "v1beta1", "the server does not tell"),
        (None, "", "this server has no LeaseCandidates"),
    ],
    ids=[
        "registered",
        "registered, in Kubernetes 1.32",
        "none registered",
        "no right",
        "broken",
        "not served",
    ],
)
def test_status_says_why_candidates_are_not_known(
    call, server, kubeconfig, answer, version, says
):
    """Who waits for an ordinary Lease writes nothing: that is said, not hidden."""
    write_lease(server, "coordinated", duration=3600)
    if answer is not None:
        group = f"/apis/coordination.k8s.io/{version}"
        path = f"{group}/namespaces/default/leasecandidates"
        server.faults.add(Fault(answer, path=path, times=None))
    words = ("coordinated", "--kubeconfig", kubeconfig, "--observe-sec", "0")
    shown = call("status", *words)
    (line,) = [x for x in shown.stdout.splitlines() if x.startswith("candidates")]
    assert says in line
    found = json.loads(call("status", *words, "-o", "json").stdout)
    assert found["candidates"] == (
        ["ada-1", "cyd-1"] if says == "ada-1, cyd-1" else None
    )


@pytest.mark.parametrize("output", ["text", "json", "yaml"])
@pytest.mark.parametrize("encoding", ["latin-1", "latin-1:surrogateescape"])
@pytest.mark.slow
def test_status_escapes_what_stdout_has_no_letters_for(
    server, kubeconfig, output, encoding
):
    """A holder may have any name; JSON and YAML still say which."""
    write_lease(server, "kana", holder="リーダー", duration=3600)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kubernetes_leader_election", "status", "kana"),
            *("--kubeconfig", kubeconfig, "--observe-sec", "0", "-o", output),
        ],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("ascii")
    if output == "text":
        assert r"\u30ea\u30fc" in shown
    else:
        assert yaml.safe_load(shown)["holder"] == "リーダー"
