"""
Measure how long nobody leads after a crash in a pod, where its end is proved.

As root, from the folder of the project; it needs what ``make node`` needs, and some
twelve seconds a kill::

    python -m benchmarks.crash_takeover --times 50
    python -m benchmarks.crash_takeover --times 50 --rhythm default
    python -m benchmarks.crash_takeover --times 50 --how memory
    python -m benchmarks.crash_takeover --times 20 --how place
    python -m benchmarks.crash_takeover --times 50 --run

Each round replaces the pods (a container that was killed before is started later each
time by the kubelet), waits until the leader has left its note, ends its container's
first process at a random instant of its rhythm, and asks the workers' own logs how long
nobody worked, and that nobody worked beside another. The rhythm is 15/10/2, or that of
an elector without options, which renews every ten seconds (some 40 seconds a round).
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# The node of the end-to-end tests is used as it is.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from node.crashes import ready, start
from node.space import Life, Space
from node.up import RunningNode, lacking
from node.workloads import WORKER

RHYTHMS = {"client-go": (2.0, "client-go"), "default": (10.0, None)}
"""Seconds between two renewals, in which each instant is as likely; and the preset."""
HOW = {
    "kill": "SIGKILL to the first process of the container; another replica waits",
    "memory": "the kernel kills it over its memory limit; another replica waits",
    "place": "SIGKILL, and the only replica is started again in place",
}


def limited(pod: dict[str, Any]) -> None:
    """Give the program a memory limit that it can reach."""
    pod["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}


def crash(space: Space, leader: Life, how: str) -> float:
    """End a leader; return an instant in which it still lived."""
    instant = time.monotonic()
    if how != "memory":
        space.signal(leader, signal.SIGKILL)
        return instant
    space.signal(leader, signal.SIGUSR1)
    return space.wait_noted("memory", after=instant).instant


def crashed(space: Space, how: str, renewal: float) -> float:
    """Let the leader of fresh pods crash; return how long nobody worked."""
    old = set(space.pods())
    space.kubectl("rollout", "restart", "deployment/billing")
    space.kubectl("rollout", "status", "deployment/billing")
    space.node.wait(lambda: not old & space.pods().keys(), "the old pods are gone")
    leader = ready(space, 1 if how == "place" else 2)
    time.sleep(random.uniform(0, renewal))  # noqa: S311 - no secret; a random instant
    instant = crash(space, leader, how)
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
    parser.add_argument("--times", type=int, default=50, help="how many crashes")
    parser.add_argument(
        "--how",
        choices=sorted(HOW),
        default="kill",
        help="; ".join(f"{name}: {text}" for name, text in HOW.items()),
    )
    parser.add_argument("--rhythm", choices=sorted(RHYTHMS), default="client-go")
    parser.add_argument("--run", action="store_true", help="under `kle run`")
    options = parser.parse_args()
    if missing := lacking():
        print(f"No node: {missing}.", file=sys.stderr)
        return 3
    more = ("--", *WORKER) if options.run else ()
    renewal, preset = RHYTHMS[options.rhythm]
    with RunningNode() as up, Space(up.node) as space:
        start(
            space,
            ("--crash-takeover", *more),
            replicas=1 if options.how == "place" else 2,
            preset=preset,
            change=limited if options.how == "memory" else lambda _: None,
        )
        times = []
        for _ in range(options.times):
            times.append(crashed(space, options.how, renewal))
            print(f"{times[-1]:.3f}", file=sys.stderr, flush=True)
        form = f"{options.how}, {options.rhythm}{', under run' if options.run else ''}"
        overlaps = space.overlaps()
        print(f"{form}: {summary(times)}; {overlaps} instants with two leaders")
        return int(overlaps > 0)


if __name__ == "__main__":
    sys.exit(main())
