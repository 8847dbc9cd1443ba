"""
Two versions of this package on one Lease, as in a rolling update, and back.

Replicas of an earlier version run its wheel, built from its commit, in an environment
of its own; the others run the working tree. Who leads is replaced by the other version
each time: both ways are tested as often.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from controlplane.access import Cluster
from electors.candidates import QUICK, Candidate, Ours, Setting
from electors.fleet import Fleet, leads_since
from tests.versions import EARLIER, Version
from tests.versions.freeze import FreezeError
from tests.versions.wheels import Installed, install

from kubernetes_leader_election.testing import LeaseServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLACK = 6.0
"""Seconds allowed beside the bound of G6: the machine may be busy."""
EARLY = 0.5
"""Seconds that a leader may need to note a renewal that its rival has seen."""


@pytest.fixture(scope="module", params=EARLIER, ids=str)
def earlier(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """Build and install an earlier version; without its commit say how to get it."""
    version: Version = request.param
    try:
        return install(version, tmp_path_factory.mktemp(version.commit[:7]))
    except FreezeError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)


@pytest.fixture(params=["embedded", "real"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    """Give what all candidates share: on the embedded server, then on the real one."""
    if request.param == "real":
        cluster: Cluster = request.getfixturevalue("control_plane")
        namespace = cluster.namespace()
        verbs = ["get", "create", "update", "watch"]
        cluster.allow("alice", verbs, namespace=namespace, name="election")
        yield Setting(kubeconfig=cluster.kubeconfig("alice"), namespace=namespace)
        return
    with LeaseServer() as embedded:
        path = tmp_path / "embedded.kubeconfig"
        path.write_text(embedded.kubeconfig(path=path), encoding="utf-8")
        yield Setting(kubeconfig=path, namespace="default")


@dataclass(slots=True)
class Update:
    """Replicas of two versions that follow each other; how long each way took."""

    fleet: Fleet
    start: dict[str, Callable[[], Candidate]]
    """How a replica of a version is started."""
    took: dict[str, list[float]] = field(default_factory=dict)

    def turns(self, count: int) -> Iterator[tuple[Candidate, Candidate]]:
        """Give a leader and a successor of the other version, ``count`` times."""
        ways = [("earlier", "this"), ("this", "earlier")]
        leader = self.start["earlier"]()
        assert self.fleet.wait_leader(leader) is leader
        for number in range(count):
            one, other = ways[number % 2]
            successor = self.start[other]()
            self.fleet.wait_noted(successor, "began")
            # Two renewals after the successor came, it has surely seen one of them.
            self.fleet.wait_renewals(leader, 2)
            yield leader, successor
            assert self.fleet.wait_leader(successor) is successor
            run = leads_since(successor)
            assert run is not None
            worked = [x.instant for x in leader.happened("work") if x.detail == "yes"]
            self.took.setdefault(f"{one} to {other}", []).append(run[0] - worked[-1])
            leader = successor

    def check(self) -> str:
        """Assert that no two led, and that tokens grew; tell how long it took."""
        counted = self.fleet.check()
        acquired = sorted(
            (line.instant, int(line.detail))
            for candidate in self.fleet.candidates
            for line in candidate.happened("acquired")
        )
        tokens = [token for _, token in acquired]
        assert len(tokens) > sum(len(times) for times in self.took.values())
        assert tokens == sorted(set(tokens)), f"tokens in order of time: {tokens}"
        times = "; ".join(
            f"{way} {', '.join(f'{1000 * seconds:.0f}' for seconds in took)} ms"
            for way, took in self.took.items()
        )
        return f"{times}; 0 of {counted.instants} instants, {len(tokens)} tokens grew"


@pytest.fixture(params=["threads", "asyncio"])
def update(
    request: pytest.FixtureRequest, fleet: Fleet, setting: Setting, earlier: Installed
) -> Update:
    """Give replicas of both versions, with either front."""
    start = partial(fleet.start, setting, Ours, front=request.param)
    programs = earlier.source / "tests" / "e2e" / "electors" / "programs"
    return Update(
        fleet,
        {
            "this": start,
            "earlier": partial(start, python=earlier.python, programs=programs),
        },
    )


def test_earlier_replicas_run_the_installed_wheel(earlier: Installed) -> None:
    """Neither this tree nor the source that the wheel was built from."""
    code = "import kubernetes_leader_election as it; print(it.__path__[0])"
    done = subprocess.run(
        [earlier.python, "-c", code],
        cwd=earlier.source,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(earlier.python.parents[1])


def test_version_hands_over_to_the_other_when_its_leader_stops(
    update: Update, tell: Callable[[str], None]
) -> None:
    """A clean stop: in milliseconds both ways, without any overlap (G1, G3, G7)."""
    for leader, _ in update.turns(6):
        leader.stop()
    told = update.check()
    for took in update.took.values():
        assert max(took) < QUICK.duration
    tell(told)


def test_version_takes_over_when_a_leader_of_the_other_is_killed(
    update: Update, tell: Callable[[str], None]
) -> None:
    """After kill -9: within G6 and never before D has passed, both ways (fault 01)."""
    waited = []
    for leader, successor in update.turns(4):
        leader.kill()
        assert update.fleet.wait_leader(successor) is successor
        run = leads_since(successor)
        assert run is not None
        waited.append(run[0] - leader.happened("renewed")[-1].instant)
    told = update.check()
    assert min(waited) >= QUICK.duration - EARLY
    for took in update.took.values():
        assert max(took) < QUICK.duration / 0.9 + SLACK
    tell(told)


def test_frozen_leader_of_one_version_is_followed_by_the_other(
    update: Update, tell: Callable[[str], None]
) -> None:
    """SIGSTOP: the other version leads, and the frozen one believes nothing afterwards."""
    for leader, successor in update.turns(4):
        frozen = time.monotonic()
        leader.freeze()
        try:
            assert update.fleet.wait_leader(successor, after=frozen) is successor
        finally:
            leader.thaw()
        assert update.fleet.wait_noted(leader, "lost", after=frozen)
        # It goes, so that the one that was started for it is alone with the next.
        leader.stop()
    tell(update.check())
