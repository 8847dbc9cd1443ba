"""``run`` with real processes on the embedded Lease API: only the leader's command lives."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kubernetes_leader_election.testing import LeaseServer
from kubernetes_leader_election.testing.belief_log import count_overlaps
from tests.cli.observe.leases import edit_lease
from tests.cli.supervise.run_replica import PATIENCE, STEADY, Replica, eventually

pytestmark = pytest.mark.slow

Start = Callable[..., Replica]


@pytest.fixture
def start(
    tmp_path: Path, kubeconfig: Path, request: pytest.FixtureRequest
) -> Iterator[Start]:
    """Start replicas on a Lease of the test's own; end all after it."""
    started: list[Replica] = []
    # The server is shared by the module, the Lease is not.
    lease = request.node.name.split("[")[0].replace("_", "-")[-60:]

    def begin(name: str, *options: str, **more: object) -> Replica:
        replica = Replica(
            tmp_path, name, *options, kubeconfig=kubeconfig, lease=lease, **more
        )
        started.append(replica)
        return replica

    yield begin
    for replica in started:
        replica.close()


def _delete_lease(server: LeaseServer, replica: Replica) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{replica.lease}"
    status, _ = _ask("DELETE", server.port, path)
    assert status == 200


def _ask(method: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _assert_apart(*replicas: Replica) -> None:
    logs = {replica.name: replica.log for replica in replicas}
    overlaps, total = count_overlaps(logs, "work")
    assert total > 0
    assert overlaps == 0


def test_run_hands_over_at_once_when_its_command_crashes(start):
    """G7: the Lease is released after a crash, not left to run out; tokens grow."""
    # Nobody here lives to see it run out.
    first = start("a", *STEADY, child=("--crash", "--last=1"))
    eventually(lambda: first.noted("began"), "the first leads")
    second = start("b", *STEADY)
    assert first.wait() == 128 + signal.SIGSEGV
    assert "its work ended (the command was ended by SIGSEGV)" in first.stderr
    second.wait_for_work()
    _assert_apart(first, second)
    tokens = [int(x) for x in (*first.noted("token"), *second.noted("token"))]
    assert tokens[0] < tokens[1]
    second.signal(signal.SIGTERM)
    assert second.wait() == 0


def test_run_kills_a_deaf_command_before_another_may_start(start, kubeconfig):
    """G2, faults 01 and 09: the wrapper is killed, the command ignores TERM."""
    first = start("a", child=("--ignore-term", "--grandchild"))
    first.wait_for_work()
    second = start("b")
    first.signal(signal.SIGKILL)
    second.wait_for_work()
    assert "SIGTERM" in first.noted("signal")
    first.assert_nothing_is_left()
    _assert_apart(first, second)


def test_run_is_frozen_while_its_command_works_and_loses(start, tmp_path):
    """Fault 02: the watchdog ends the command of a frozen wrapper, which contends again."""
    # Two seconds from TERM to KILL: the command is to note the one before the other.
    times = ("--lease-duration-sec=5", "--renew-deadline-sec=2", "--stop-budget-sec=1")
    first = start("a", *times)
    first.wait_for_work()
    path = next(tmp_path.glob("leader-election-*/term.json"))
    second = start("b", *times)
    first.signal(signal.SIGSTOP)
    second.wait_for_work()
    assert first.noted("signal")[0] == "SIGTERM"
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert json.loads(path.read_text())["deadline"] < boottime  # so says `check`
    first.signal(signal.SIGCONT)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    eventually(lambda: len(first.noted("began")) >= 2, "the first leads again")
    _assert_apart(first, second)


@pytest.mark.parametrize(
    ("on_loss", "code"), [("recontend", None), ("exit", 4)], ids=["recontend", "exit"]
)
def test_run_ends_its_command_when_the_lease_is_lost(start, server, on_loss, code):
    """A deleted Lease is a loss: the command ends; then as --on-loss says."""
    # With minutes left of the term, so that no deadline ends the command.
    long = () if code is None else STEADY
    replica = start("a", f"--on-loss={on_loss}", *long)
    replica.wait_for_work()
    _delete_lease(server, replica)
    eventually(lambda: "SIGTERM" in replica.noted("signal"), "the command is told")
    words = "is over (the Lease was deleted or replaced): ending"
    eventually(lambda: words in replica.stderr, "it says why")
    if code is None:
        eventually(lambda: len(replica.noted("began")) >= 2, "it leads again")
        assert replica.process.poll() is None
    else:
        assert replica.wait() == code
        replica.assert_nothing_is_left()


@pytest.mark.parametrize(
    "frozen", [False, True], ids=["alone", "and its watchdog is frozen"]
)
def test_run_ends_a_deaf_command_before_the_end_of_a_record_cut_short(
    start, server, frozen
):
    """G2, rule 14, fault 56: by its own settings it would have 2.7 s more."""
    times = (
        "--lease-duration-sec=6",
        "--renew-deadline-sec=2",
        "--stop-budget-sec=1",
    )
    server.requests.clear()
    deaf = ("--ignore-term", "--grandchild")
    # Its own record is free to it, so it would be the first to lead again.
    first = start("a", *times, "--on-loss=exit", child=deaf)
    eventually(lambda: first.noted("grandchild"), "there is a grandchild")
    second = start("b", *times)
    watches = partial(server.requests.matching, verb="watch")
    eventually(lambda: len(watches()) >= 2, "the second follows the Lease")
    if frozen:
        os.kill(first.watchdog(), signal.SIGSTOP)
    edit_lease(server, first.lease, leaseDurationSeconds=1)
    second.wait_for_work()
    _assert_apart(first, second)


def test_run_tells_its_command_of_each_renewal(start, tmp_path):
    """The variables name the term; `check` and `token` answer inside, by the file."""
    script = (
        "import os, subprocess, sys, time\n"
        "kle = [sys.executable, '-m', 'kubernetes_leader_election']\n"
        "first = os.environ['LEADER_ELECTION_DEADLINE']\n"
        "while time.clock_gettime(time.CLOCK_BOOTTIME) < float(first) + 0.1:\n"
        "    time.sleep(0.1)\n"  # no event tells that a time has passed on this clock
        "check = subprocess.call([*kle, 'check', '--quiet', '--seconds=0.1'])\n"
        "too_much = subprocess.call([*kle, 'check', '--seconds=30'])\n"
        "token = subprocess.check_output([*kle, 'token'], text=True).strip()\n"
        "same = token == os.environ['LEADER_ELECTION_TOKEN']\n"
        "past = float(first) < time.clock_gettime(time.CLOCK_BOOTTIME)\n"
        "sys.exit(0 if (check, too_much, same, past) == (0, 1, True, True) else 9)\n"
    )
    times = ("--lease-duration-sec=5", "--renew-deadline-sec=3")
    replica = start("a", *times, command=[sys.executable, "-c", script])
    assert replica.wait() == 0, replica.stderr
    assert list(tmp_path.glob("leader-election-*")) == []


def test_run_tells_a_deaf_command_of_a_loss(start, server, tmp_path):
    """G1: the file says at once what the deadline would say in minutes (fault 36)."""
    replica = start("a", *STEADY, "--stop-budget-sec=60", child=("--ignore-term",))
    replica.wait_for_work()
    path = next(tmp_path.glob("leader-election-*/term.json"))
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert json.loads(path.read_text())["deadline"] > boottime + 60
    _delete_lease(server, replica)
    eventually(lambda: json.loads(path.read_text())["deadline"] == 0, "it is told")
    replica.wait_for_work()
    assert len(replica.noted("began")) == 1


def test_run_waits_in_little_memory_and_answers_over_http(start):
    """A waiting wrapper is in the race, alive, no leader, and at most 32 MiB large."""
    first = start("a", *STEADY, "--http=127.0.0.1:0")
    first.wait_for_work()
    second = start("b", *STEADY, "--http=127.0.0.1:0")
    eventually(lambda: _get(second, "/readyz")[0] == 200, "the second is in the race")
    assert _get(first, "/leaderz")[0] == 200
    assert _get(second, "/leaderz")[0] == 503
    assert _get(second, "/livez")[0] == 200
    leader = json.loads(_get(second, "/")[1])
    assert (leader["name"], leader["last_update"][-1]) == ("a", "Z")
    assert _get(second, "/nothing")[0] == 404
    assert 'identity="a"} 1' in _get(first, "/metrics")[1]
    status = Path(f"/proc/{second.process.pid}/status").read_text()
    (line,) = [x for x in status.splitlines() if x.startswith("VmRSS:")]
    assert int(line.split()[1]) <= 32 * 1024
    second.signal(signal.SIGINT)
    assert second.wait() == 128 + signal.SIGINT
    assert not second.log_path.exists()


def _get(replica: Replica, path: str) -> tuple[int, str]:
    lines = [x for x in replica.stderr.splitlines() if "/livez" in x]
    if not lines:
        return 0, ""
    url = lines[0].split()[1]
    return _ask("GET", int(url.rpartition(":")[2]), path)


def test_run_gives_up_when_its_command_is_not_healthy(start, tmp_path):
    """An unhealthy leader hands over; an unhealthy candidate does not contend."""
    sick, well = tmp_path / "sick", tmp_path / "well"
    checks = (
        "--health-interval-sec=0.2",
        "--health-threshold=2",
        "--health-timeout-sec=30",
        "--health-start-sec=0",
    )
    well.touch()
    first = start("a", f"--health-command=test ! -e {sick}", *checks)
    first.wait_for_work()
    second = start("b", f"--health-command=test -e {well}", *checks)
    sick.touch()
    second.wait_for_work()
    _assert_apart(first, second)
    second.signal(signal.SIGKILL)
    second.process.wait()
    began = len(first.noted("began"))
    time.sleep(4.0)  # long enough for the Lease to run out
    assert len(first.noted("began")) == began
    sick.unlink()
    eventually(lambda: len(first.noted("began")) > began, "well again, leads")
    _assert_apart(first, second)


def test_run_contends_unhealthy_when_nobody_leads(start, tmp_path):
    """When all are unhealthy for --unhealthy-timeout-sec, they contend all the same."""
    checked = tmp_path / "checked"
    replica = start(
        "a",
        *STEADY,
        "--health-timeout-sec=60",
        f"--health-command=sh -c 'echo >> {checked}; exit 1'",
        "--health-interval-sec=0.1",
        "--unhealthy-timeout-sec=1",
    )
    replica.wait_for_work()
    eventually(lambda: "all the same" in replica.stderr, "it says so")
    enough = len(checked.read_text()) + 10
    eventually(lambda: len(checked.read_text()) >= enough, "ten more checks failed")
    assert len(replica.noted("began")) == 1
    failed = "the health check failed: exit code 1"
    eventually(lambda: failed in replica.stderr, "it says what failed")
    assert replica.stderr.count(failed) == 1


def test_run_says_once_that_its_term_file_cannot_be_written(start, server):
    """Each renewal meets it again; the command works on, by the deadline it has."""
    replica = start("a", *STEADY)
    replica.wait_for_work()
    (file,) = replica.log_path.parent.glob("*/term.json")
    shutil.rmtree(file.parent)
    said = f"{file} cannot be written: No such file"
    eventually(lambda: said in replica.stderr, "it is said")
    before = len(server.requests.matching(name=replica.lease, verb="update"))
    eventually(
        lambda: (
            len(server.requests.matching(name=replica.lease, verb="update"))
            > before + 3
        ),
        "some renewals",
    )
    replica.wait_for_work()
    assert replica.stderr.count(said) == 1


def test_run_kills_in_time_where_the_watchdog_is_frozen(start, server):
    """G2: when the watchdog does not answer, the wrapper ends the command itself."""
    first = start("a", child=("--ignore-term", "--grandchild"))
    eventually(lambda: first.noted("grandchild"), "there is a grandchild")
    second = start("b")
    os.kill(first.watchdog(), signal.SIGSTOP)
    _delete_lease(server, first)
    assert first.wait() == 137
    first.assert_nothing_is_left()
    second.wait_for_work()
