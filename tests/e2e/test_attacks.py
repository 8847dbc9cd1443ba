"""Attacks from outside: frozen groups, wall clocks, stale servers, odd versions."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from controlplane.access import Cluster, lease_path
from controlplane.processes import wait_until
from electors import freezer
from electors.candidates import PROGRAMS, QUICK, Candidate, Rhythm, Setting
from electors.fleet import Fleet, leads_since
from lacking import leave_out

from kubernetes_leader_election.testing import (
    LeaseServer,
    Mutate,
    MutatingProxy,
    Mutation,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

FRONTS = pytest.mark.parametrize("front", ["threads", "asyncio"])
VERBS = ["get", "create", "update", "watch"]
CALM = Rhythm(duration=4, interval=0.8, deadline=2.5, timeout=0.8)


def need(reason: str | None) -> None:
    """Skip in a line where a machine lacks something; fail in CI."""
    if reason is None:
        return
    leave_out(reason)


@pytest.fixture
def setting(control_plane: Cluster, namespace: str) -> Setting:
    """Give what all candidates share; alice may do just what an election needs."""
    control_plane.allow("alice", VERBS, namespace=namespace, name="election")
    return Setting(kubeconfig=control_plane.kubeconfig("alice"), namespace=namespace)


def setting_of(url: str, folder: Path, name: str = "x", **more: object) -> Setting:
    """Give a setting for an address that asks for no login."""
    config = folder / f"{name}.kubeconfig"
    config.write_text(
        f"""apiVersion: v1
kind: Config
clusters: [{{name: x, cluster: {{server: "{url}"}}}}]
users: [{{name: x, user: {{}}}}]
contexts: [{{name: x, context: {{cluster: x, user: x}}}}]
current-context: x
""",
        encoding="utf-8",
    )
    return Setting(kubeconfig=config, namespace="default", **more)


def first_yes(candidate: Candidate) -> float:
    """Return when the present term of a leader was first believed."""
    run = leads_since(candidate)
    assert run is not None
    return run[0]


# The cgroup freezer ---------------------------------------------------------------


@FRONTS
def test_leader_in_a_frozen_control_group_believes_nothing_when_it_thaws(
    fleet: Fleet, setting: Setting, front: str, tell: Callable[[str], None]
) -> None:
    """
    A pause of a container past D: another one leads, and the thawed one does not.

    fault 02, G1, rule 15: unlike SIGSTOP no signal tells of it, and SIGKILL waits.
    """
    need(freezer.why_impossible())
    for _ in range(2):
        fleet.start(setting, front=front)
    times = []
    for _ in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        with freezer.Freezer() as group:
            group.take(leader.process.pid)
            frozen = time.monotonic()
            group.freeze()
            others = [c for c in fleet.candidates if c is not leader]
            other = fleet.wait_leader(*others, after=frozen)
            times.append(first_yes(other) - frozen)
            time.sleep(0.5)  # some of the other's term passes
            group.thaw()
            assert fleet.wait_noted(leader, "lost", after=frozen)
    counted = fleet.check()
    longest = max(times)
    tell(
        f"3 x cgroup frozen, longest {longest:.2f} s, 0 of {counted.instants} instants"
    )


# The wall clock -------------------------------------------------------------------


@pytest.fixture(scope="session")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what moves the wall clock of one process."""
    compiler = shutil.which("cc")
    if compiler is None:
        need("there is no C compiler `cc` (Debian: apt-get install gcc)")
    made = tmp_path_factory.mktemp("wall-clock") / "wall_clock.so"
    source = str(PROGRAMS / "wall_clock.c")
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(made), source]
    subprocess.run(command, check=True)
    return made


@pytest.mark.parametrize("offset", ["3600", "-3600"], ids=["ahead", "back"])
def test_wall_clock_that_is_set_in_a_term_makes_no_second_leader(
    fleet: Fleet,
    setting: Setting,
    tmp_path: Path,
    wall_clock: Path,
    offset: str,
    tell: Callable[[str], None],
) -> None:
    """
    Fault 19, rule 14: the leader's wall clock is set by an hour in the middle of a term.

    At most the term is lost; who follows does not look at the times that were written.
    """
    told = tmp_path / "offset"
    told.write_text("0")
    shim = ("env", f"LD_PRELOAD={wall_clock}", f"WALL_CLOCK_OFFSET={told}")
    moved = replace(setting, before=shim)
    victim = fleet.start(moved)
    gaps = []
    for number in range(4):
        fleet.wait_leader(victim)
        fleet.wait_renewals(victim, 2)
        other = fleet.start(setting)
        fleet.wait_noted(other, "began")
        before = time.monotonic()
        told.write_text("0" if number % 2 else offset)
        # Two renewals after it, by whoever: what was to be lost is lost by then.
        time.sleep(2 * QUICK.interval)
        fleet.wait_renewals(fleet.wait_leader(), 2)
        lost = [x.instant for x in victim.happened("lost") if x.instant > before]
        if lost:
            gaps.append(first_yes(fleet.wait_leader(after=lost[0])) - lost[0])
        other.stop()
    assert gaps, "a jump ahead ends a term: was the clock set at all?"
    counted = fleet.check()
    nobody = f"{len(gaps)} terms lost, nobody led for {max(gaps):.2f} s"
    tell(f"4 x set by {offset} s or back: {nobody}, 0 of {counted.instants} instants")


# A namespace ----------------------------------------------------------------------


def remake_namespace(cluster: Cluster, name: str) -> None:
    """Delete a namespace as its controller would, and create it anew."""
    cluster.request("DELETE", f"/api/v1/namespaces/{name}")
    cluster.request("DELETE", lease_path(name))
    path = f"/api/v1/namespaces/{name}"
    body = cluster.request("GET", path).json()
    body["spec"]["finalizers"] = []
    assert cluster.request("PUT", f"{path}/finalize", body).status == 200
    wait_until(
        lambda: cluster.request("GET", path).status == 404, within=20, what="it is gone"
    )
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert cluster.request("POST", "/api/v1/namespaces", body).status == 201


def test_namespace_that_is_made_anew_ends_the_term_and_another_begins(
    fleet: Fleet,
    setting: Setting,
    control_plane: Cluster,
    tell: Callable[[str], None],
) -> None:
    """
    Fault 35, fault 36, G1, G8: the leader stops, all wait in full, and somebody leads.

    The rights stay, as nobody here deletes what else is in a namespace.
    """
    fleet.pair(lambda: fleet.start(setting))
    gaps = []
    for _ in range(3):
        leader = fleet.wait_leader()
        fleet.wait_renewals(leader, 1)
        gone = time.monotonic()
        remake_namespace(control_plane, setting.namespace)
        fleet.wait_noted(leader, "lost", after=gone)
        lost = leader.happened("lost")[-1].instant
        gaps.append(first_yes(fleet.wait_leader(after=lost)) - lost)
    counted = fleet.check()
    tell(f"3 x made anew, nobody led for {max(gaps):.2f} s at most; {counted}")


# Servers that are odd -------------------------------------------------------------


@contextmanager
def two_servers(folder: Path, *, late: float) -> Iterator[tuple[Setting, Setting]]:
    """Give the settings of two servers over one store: one whose cache is stale."""
    chance = random.Random(1)  # noqa: S311 - not a secret
    with (
        LeaseServer() as store,
        MutatingProxy(store.url, chance=chance) as proxy,
    ):
        proxy.add(
            Mutate(Mutation.STALE_READ, lane="stale", times=None, share=0.7),
            Mutate(Mutation.HOLD_EVENT, lane="stale", times=None, seconds=late),
        )
        fresh = setting_of(proxy.lane("fresh").url, folder, "fresh", rhythm=CALM)
        yield fresh, setting_of(proxy.lane("stale").url, folder, "stale", rhythm=CALM)
        assert any(x.mutation is Mutation.HOLD_EVENT for x in proxy.log)


@FRONTS
def test_candidates_of_a_server_with_a_stale_cache_never_lead_beside_another(
    fleet: Fleet, tmp_path: Path, front: str, tell: Callable[[str], None]
) -> None:
    """
    Fault 39, G1, G6: behind a lagging server one is late, and never leads beside another.

    Its reads are old, its watch brings everything late; the store refuses old versions.
    """
    with two_servers(tmp_path, late=1.0) as (fresh, stale):
        fleet.start(fresh, front=front)
        fleet.wait_leader()
        fleet.start(stale, front=front)
        fleet.start(stale, front=front)
        for _ in range(4):
            leader = fleet.wait_leader()
            fleet.wait_renewals(leader, 2)
            killed = time.monotonic()
            leader.kill()
            fleet.start(leader.setting, front=front)
            fleet.wait_leader(after=killed)
        for candidate in fleet.candidates:
            if candidate.alive:
                candidate.ask_to_stop()
        tell(f"4 x kill -9 with a stale cache, {fleet.check()}")
        fleet.close()


class Neighbours:
    """Others who write to the same store, and compact it, as on kine."""

    def __init__(self, server: LeaseServer) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        import http.client
        import json

        connection = http.client.HTTPConnection("127.0.0.1", self._server.port)
        path = lease_path("default", "neighbour")
        number = 0
        while not self._ended.wait(0.02):
            number += 1
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "neighbour", "namespace": "default"},
                "spec": {"leaseDurationSeconds": number},
            }
            old = self._server.lease("neighbour")
            if old is not None:
                version = old["metadata"]["resourceVersion"]
                lease["metadata"]["resourceVersion"] = version
            connection.request(
                "PUT", path, json.dumps(lease), {"Content-Type": "application/json"}
            )
            connection.getresponse().read()
            if number % 20 == 0:
                self._server.compact()
            if number % 50 == 0:
                self._server.end_watches()
        connection.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join(10)


def test_election_on_a_store_like_kine_changes_hands_as_on_etcd(
    fleet: Fleet, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """
    Fault 40, G1, G3: versions of the whole store that skip, and compaction every 0.4 s.

    On kine a version is the number of a row: others' writes lie between any two of a
    Lease, a watch from an old one gets 410, and bookmarks run ahead of the object.
    """
    with LeaseServer() as server, Neighbours(server):
        setting = setting_of(server.url, tmp_path)
        fleet.pair(lambda: fleet.start(setting))
        tokens = []
        for number in range(4):
            leader = fleet.wait_leader()
            fleet.wait_renewals(leader, 2)
            ended = time.monotonic()
            if number % 2:
                leader.kill()
            else:
                leader.stop()
            fleet.start(setting)
            follower = fleet.wait_leader(after=ended)
            # It believes before it is told so.
            wait_until(
                lambda one=follower: one.happened("acquired"),
                within=10,
                what="the event follows",
            )
            tokens.append(int(follower.happened("acquired")[-1].detail))
        assert tokens == sorted(set(tokens))
        tell(f"tokens {tokens}, {fleet.check()}")
        fleet.close()


def test_watch_from_a_version_of_the_future_costs_no_more_than_a_read(
    fleet: Fleet, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """
    Fault 41, fault 40, G8: a server went back, and every known version is too high.

    The watch is refused or silent; a read says what is true.
    """
    with LeaseServer() as server:
        setting = setting_of(server.url, tmp_path)
        backup = server.backup()
        fleet.pair(lambda: fleet.start(setting))
        gaps = []
        for _ in range(2):
            leader = fleet.wait_leader()
            fleet.wait_renewals(leader, 3)
            went_back = time.monotonic()
            server.restore(backup)
            fleet.wait_noted(leader, "lost", after=went_back)
            lost = leader.happened("lost")[-1].instant
            gaps.append(first_yes(fleet.wait_leader(after=lost)) - lost)
        assert max(gaps) < 2 * QUICK.duration / 0.9 + 6
        tell(f"2 x back to the beginning, nobody led for {max(gaps):.2f} s at most")
        fleet.close()
