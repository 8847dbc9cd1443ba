"""
Measure how long nobody leads after a crash in a pod, where its end is proved.

As root, from the folder of the project; it needs what ``make node`` needs, and some
twelve seconds a kill::

    python -m benchmarks.crash_takeover --times 50
    python -m benchmarks.crash_takeover --times 50 --run

Each round replaces both pods (a container that was killed before is started later each
time by the kubelet), waits until the leader has left its note, kills its container's
first process with SIGKILL at a random instant of its rhythm (15/10/2), and asks the
workers' own logs how long nobody worked, and that nobody worked beside another.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import time
from pathlib import Path

# The node of the end-to-end tests is used as it is.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from node.crashes import ready, start
from node.space import Space
from node.up import RunningNode, lacking
from node.workloads import WORKER

RENEWAL = 2.0
"""Seconds between two renewals, in which each instant is as likely."""


def killed(space: Space) -> float:
    """Kill the leader of fresh pods; return how long nobody worked."""
    old = set(space.pods())
    space.kubectl("rollout", "restart", "deployment/billing")
    space.kubectl("rollout", "status", "deployment/billing")
    space.node.wait(lambda: not old & space.pods().keys(), "the old pods are gone")
    leader = ready(space)
    time.sleep(random.uniform(0, RENEWAL))  # noqa: S311 - no secret; a random instant
    instant = time.monotonic()
    space.signal(leader, signal.SIGKILL)
    space.wait_leader(after=instant)
    return space.gap(instant)


def summary(times: list[float]) -> str:
    """Say what is in the middle, what nine of ten stay below, and the longest."""
    ordered = sorted(times)
    ninth = ordered[max(0, -(-9 * len(ordered) // 10) - 1)]
    return (
        f"n = {len(ordered)}: median {statistics.median(ordered):.2f} s, 90 % within "
        f"{ninth:.2f} s, at most {ordered[-1]:.2f} s"
    )


def main() -> int:
    """Kill, and print the numbers; 1 if two ever worked at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--times", type=int, default=50, help="how many kills")
    parser.add_argument("--run", action="store_true", help="under `kle run`")
    options = parser.parse_args()
    if missing := lacking():
        print(f"No node: {missing}.", file=sys.stderr)
        return 3
    more = ("--", *WORKER) if options.run else ()
    with RunningNode() as up, Space(up.node) as space:
        start(space, ("--crash-takeover", *more))
        times = []
        for _ in range(options.times):
            times.append(killed(space))
            print(f"{times[-1]:.3f}", file=sys.stderr, flush=True)
        print(f"{summary(times)}; {space.overlaps()} instants with two leaders")
        return int(space.overlaps() > 0)


if __name__ == "__main__":
    sys.exit(main())
