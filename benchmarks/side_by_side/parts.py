"""What is measured: one function for each part, the same for every contender."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections import Counter
from pathlib import Path

from benchmarks.side_by_side.contenders import RHYTHM, Stage
from controlplane.processes import wait_until
from electors.candidates import Candidate
from electors.fleet import leads_since

from kubernetes_leader_election.testing import TcpProxy

__all__ = [
    "black_hole",
    "crash",
    "first_acquisition",
    "freeze",
    "hand_over",
    "outage",
    "processor",
    "quiet",
    "users",
]

HAND_OVERS = 12
"""Samples: who polls is told of a release by chance, soon or after several seconds."""

SAMPLES = 3
"""Samples of processor time, each of other processes."""

IDLE = 3600.0
"""Seconds between two pieces of work of who is to do nothing but lead."""

AFTERWARDS = 12.0
"""Seconds one looks on after a successor leads: longer than the renew deadline."""

NEVER = None
"""Stands for "had not ended when nobody looked any more"."""

Result = dict[str, float | None]


def began(candidate: Candidate) -> float:
    """Return the instant from which a leader believes it leads."""
    run = leads_since(candidate)
    assert run is not None
    return run[0]


def ready(stage: Stage, candidate: Candidate) -> None:
    """Wait until a candidate takes part, and has surely seen who leads."""
    wait_until(
        lambda: bool(candidate.log().lines), within=60, what=f"{candidate.name} starts"
    )
    assert stage.fleet.candidates
    time.sleep(RHYTHM.interval + 1)


def last_work(candidate: Candidate) -> float:
    """Return the last instant at which a candidate worked."""
    return candidate.log().instants("work")[-1]


def first_acquisition(stage: Stage) -> Result:
    """Start alone, on a Lease that does not exist: until the first work."""
    times = []
    for number in range(5):
        candidate = stage.start(lease=f"first-{number}")
        wait_until(
            lambda one=candidate: bool(one.log().instants("work")),
            within=60,
            what=f"{candidate.name} works",
        )
        # Credentials are loaded, and nothing has been asked for yet.
        ready_at = candidate.happened("contending")[0].instant
        times.append(candidate.log().instants("work")[0] - ready_at)
        candidate.kill()
    return {"first acquisition": statistics.median(times)}


def hand_over(stage: Stage) -> Result:
    """Stop the leader in good order: from its last work to its successor's first."""
    times = []
    chance = random.Random(1)  # noqa: S311 - not a secret
    leader = stage.start()
    stage.fleet.wait_leader(leader, within=60)
    for _ in range(HAND_OVERS):
        successor = stage.start()
        ready(stage, successor)
        # A polling successor looks at a time that its start has set: not always then.
        time.sleep(chance.uniform(0.0, 2 * RHYTHM.interval))
        leader.stop()
        stage.fleet.wait_leader(successor, within=90)
        times.append(began(successor) - last_work(leader))
        leader = successor
    return {"clean hand-over": statistics.median(times)}


def crash(stage: Stage) -> Result:
    """Kill the leader: from there to its successor's first work."""
    times = []
    leader = stage.start()
    stage.fleet.wait_leader(leader, within=60)
    for _ in range(3):
        successor = stage.start()
        ready(stage, successor)
        killed = time.monotonic()
        leader.kill()
        stage.fleet.wait_leader(successor, within=90)
        times.append(began(successor) - killed)
        leader = successor
    return {"crash fail-over": statistics.median(times)}


def freeze(stage: Stage) -> Result:
    """Freeze the leader until another one leads, thaw it: how long it works on."""
    leader = stage.start()
    stage.fleet.wait_leader(leader, within=60)
    successor = stage.start()
    ready(stage, successor)
    leader.freeze()
    stage.fleet.wait_leader(successor, within=90)
    thawed = time.monotonic()
    leader.thaw()
    time.sleep(AFTERWARDS)
    return {"stale work after SIGSTOP": max(0.0, last_work(leader) - thawed)}


def black_hole(stage: Stage) -> Result:
    """Cut the leader off: how long it works beside its successor."""
    with TcpProxy(stage.control_plane.server_url) as proxy:
        leader = stage.start(server=proxy.url)
        stage.fleet.wait_leader(leader, within=60)
        successor = stage.start()
        ready(stage, successor)
        cut = time.monotonic()
        proxy.black_hole()
        stage.fleet.wait_leader(successor, within=90)
        time.sleep(AFTERWARDS)
        ended = stage.fleet.leader([leader]) is None
        beside = max(0.0, last_work(leader) - began(successor))
        result: Result = {
            "black hole: leader works for": last_work(leader) - cut if ended else NEVER,
            "black hole: beside its successor": beside if ended else NEVER,
        }
        leader.kill()
        return result


def outage_begins(stage: Stage) -> tuple[Candidate, Candidate]:
    """Start two, for an outage that all contenders share."""
    leader = stage.start()
    stage.fleet.wait_leader(leader, within=60)
    other = stage.start()
    ready(stage, other)
    return leader, other


def outage(
    stage: Stage, pair: tuple[Candidate, Candidate], *, down: float, up: float
) -> Result:
    """The API server is gone for a while: when work ends, and when it goes on."""
    leader, _ = pair
    stage.fleet.wait_leader(after=up, within=120)
    again = min(
        instant
        for each in pair
        for instant in each.log().instants("work")
        if instant > up
    )
    runs = [run for run in leader.log().runs("work") if run[0] < down]
    return {
        "outage: leader works for": runs[-1][1] - down,
        "outage: work goes on after": again - up,
        "outage: instants with two leaders": float(stage.fleet.count().overlaps),
    }


def users(key: str) -> tuple[str, str]:
    """Name the users of a contender's leader and waiting candidate."""
    return f"{key}-leader", f"{key}-waiting"


def quiet(stage: Stage, *, audit: Path, seconds: float) -> Result:
    """Nothing happens: requests and memory of leader and candidate."""
    names = users(stage.contender.key)
    leader = stage.start(user=names[0], work_period=0.25)
    stage.fleet.wait_leader(leader, within=60)
    waiting = stage.start(user=names[1], work_period=0.25)
    ready(stage, waiting)
    time.sleep(RHYTHM.interval)  # a renewal beside the other one
    before = counted(audit)
    time.sleep(seconds)  # in which nothing happens: that is measured
    after = counted(audit)
    minutes = seconds / 60
    return {
        "requests a minute, leader": (after[names[0]] - before[names[0]]) / minutes,
        "requests a minute, waiting": (after[names[1]] - before[names[1]]) / minutes,
        "memory, leader": memory(leader),
        "memory, waiting": memory(waiting),
    }


def processor(stage: Stage, *, seconds: float) -> Result:
    """Nothing happens, and nobody works or listens: what leading and waiting cost."""
    leader = stage.start(work_period=IDLE, notes_renewals=False)
    wait_until(lambda: bool(leader.log().instants("work")), within=60, what="one leads")
    waiting = stage.start(work_period=IDLE, notes_renewals=False)
    ready(stage, waiting)
    time.sleep(2 * RHYTHM.interval)  # the first renewals are about the take-over
    before = [spent(each) for each in (leader, waiting)]
    time.sleep(seconds)  # in which nothing happens: that is measured
    used = [spent(x) - y for x, y in zip((leader, waiting), before, strict=True)]
    return {
        "processor, leader": used[0] / seconds * 60 * 1000,
        "processor, waiting": used[1] / seconds * 60 * 1000,
    }


def counted(audit: Path) -> Counter[str]:
    """Count the requests that arrived, by user: each has one line in the audit log."""
    found: Counter[str] = Counter()
    with audit.open(encoding="utf-8") as log:
        for text in log:
            if text.endswith("\n"):
                found[json.loads(text)["user"]["username"]] += 1
    return found


def memory(candidate: Candidate) -> float:
    """Return the resident memory of a process, in MiB."""
    status = Path(f"/proc/{candidate.process.pid}/status").read_text(encoding="utf-8")
    line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def spent(candidate: Candidate) -> float:
    """
    Return the processor time of a process and all its threads so far, in seconds.

    By its own clock, in nanoseconds: /proc/PID/stat counts in hundredths of a second,
    of which a minute of leading takes a handful.
    """
    # As clock_getcpuclockid(3) makes it, which Python has for threads alone.
    return time.clock_gettime(~candidate.process.pid << 3 | 2)
