"""``kle watch``: a line for each change, with how long nobody led."""

from __future__ import annotations

import subprocess

import pytest

from kubernetes_leader_election.testing.faults import Answer, Fault
from tests.cli.observe.leases import delete_lease, electors, write_lease
from tests.cli.terminals import KLE, seen_on_a_terminal
from tests.cli.watching import Watching
from tests.programs import let_main_thread_wait


@pytest.mark.slow
def test_watch_tells_of_a_hand_over_with_its_gap(server, kubeconfig):
    """Released and acquired are two lines; the second says how long nobody led."""
    with (
        electors(server, "handed", "ada", "bob") as (ada, _),
        Watching("handed", "--kubeconfig", kubeconfig) as watching,
    ):
        watching.wait_for("held")
        ada.stop()
        released = watching.wait_for("released")
        acquired = watching.wait_for("acquired")
        written = server.lease("handed")["spec"]
    assert released["previous"] == "ada"
    assert (acquired["holder"], acquired["previous"]) == ("bob", "ada")
    assert 0 < acquired["nobody_led_sec"] < 6  # it was released, and not run out
    assert acquired["transitions"] == written["leaseTransitions"] == 2
    assert acquired["token"] > 0


def printed(*words: object, until: tuple[str, ...]) -> tuple[str, str]:
    """Run `kle watch` until each of these was printed; give stdout and stderr."""
    process = subprocess.Popen(
        [KLE, "watch", "--plain", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = ""
    while not all(piece in shown for piece in until):
        line = process.stdout.readline()
        assert line, f"it ended after {shown!r}"
        shown += line
    let_main_thread_wait(process.pid)
    process.terminate()
    rest, said = process.communicate()
    return shown + rest, said


@pytest.mark.slow
def test_watch_tells_of_an_expiry_and_a_deletion(server, kubeconfig):
    """A holder that is gone expires on the watcher's own clock."""
    write_lease(server, "gone", duration=1)
    wanted = ("'ada' holds it", "expired: 'ada' did not renew it for 1")
    shown, said = printed("gone", "--kubeconfig", kubeconfig, until=wanted)
    assert shown.index(wanted[0]) < shown.index(wanted[1])
    assert "watching gone" in said


@pytest.mark.slow
def test_watch_follows_a_namespace_without_names(server, kubeconfig):
    """Without names all Leases of the namespace are followed."""
    write_lease(server, "one", holder="ada", duration=3600)
    write_lease(server, "two", holder="bob", duration=3600)
    wanted = ("  one  'ada' holds it", "  two  'bob' holds it")
    printed("--kubeconfig", kubeconfig, until=wanted)


@pytest.mark.parametrize("names", [(), ("billing",)], ids=["all", "one"])
def test_watch_is_not_silent_in_a_namespace_that_is_not_there(
    call, server, kubeconfig, names
):
    """Else a slip in -n looks like an election in which nothing happens, for ever."""
    wanted = ("There is no namespace 'defautl'. Did you mean 'default'?",)
    printed(*names, "-n", "defautl", "--kubeconfig", kubeconfig, until=wanted)


def test_watch_says_which_lease_was_meant(server, kubeconfig):
    """A slip in the name is not an election that begins later."""
    write_lease(server, "billing", duration=3600)
    wanted = ("there is no such Lease yet", "  biling  Did you mean 'billing'?")
    printed("biling", "--kubeconfig", kubeconfig, until=wanted)


def test_watch_takes_a_lease_that_is_deleted_for_no_slip(server, kubeconfig):
    """It was there: the name was right, and a Lease like it is another one."""
    write_lease(server, "mailer", duration=3600)
    write_lease(server, "mailer-2", holder="bob", duration=3600)
    with Watching("mailer", "mailer-2", "--kubeconfig", kubeconfig) as watching:
        watching.wait_for("held", 2)
        delete_lease(server, "mailer")
        watching.wait_for("deleted")
        write_lease(server, "mailer", holder="", duration=3600)
        write_lease(server, "mailer", holder="eve", duration=3600)
        watching.wait_for("acquired")
    assert "missing" not in {one["change"] for one in watching.changes}


def test_watch_says_that_there_is_nothing_to_see_yet(server, kubeconfig):
    """A namespace that is there, without Leases; and one that nobody may ask for."""
    wanted = ("there are no Leases in the namespace 'kube-public' yet.",)
    given = ("-n", "kube-public", "--kubeconfig", kubeconfig)
    shown, _ = printed(*given, until=wanted)
    assert "is not known" not in shown
    path = "/api/v1/namespaces/kube-public"
    server.faults.add(Fault(Answer(status=403, reason="Forbidden"), path=path))
    printed(*given, until=("Whether there is a namespace 'kube-public' is not known",))


def test_watch_ends_after_the_time_that_was_asked_for(call, server, kubeconfig):
    """--for-sec ends it, with exit code 0."""
    result = call("watch", "--kubeconfig", kubeconfig, "--for-sec", "0.2")
    assert result.exit_code == 0


@pytest.mark.slow
def test_watch_draws_a_live_table_on_a_terminal(server, kubeconfig):
    """On a terminal there is a table that is drawn again and again, with colours."""
    write_lease(server, "live", duration=3600)
    words = ("watch", "live", "--kubeconfig", kubeconfig, "--for-sec")
    for seconds in (1, 15):  # the longer ones for a machine that is too busy to draw
        shown = seen_on_a_terminal(*words, seconds, columns=140)
        if shown.count("RENEWED") > 1:
            break
    assert "TRANSITIONS" in shown
    assert "\x1b[" in shown
    assert shown.count("RENEWED") > 1
