"""
A candidate with the election of the official `kubernetes` package on a Lease.

It prints what clientgo-elector prints. ``onstopped_leading`` ends the work: the
package itself has no way to tell the work that it is over. It cannot release; after
SIGTERM the program ends, and others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from kubernetes import client, config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock


def say(event: str, identity: str, monotonic: float | None = None) -> None:
    """Write one line with one system call."""
    instant = time.monotonic() if monotonic is None else monotonic
    text = json.dumps(
        {"event": event, "identity": identity, "monotonic": round(instant * 1e9)}
    )
    os.write(1, f"{text}\n".encode())


class Candidate:
    """One candidate, term after term."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._stopped = threading.Event()

    def _work(self) -> None:
        stopped = self._stopped
        say("started-leading", self._options.identity)
        while True:
            before = time.monotonic()
            if stopped.is_set():
                say("stopped-working", self._options.identity, before)
                return
            say("work", self._options.identity, before)
            time.sleep(self._options.work_period)

    def _stop(self) -> None:
        self._stopped.set()
        say("stopped-leading", self._options.identity)

    def term(self) -> None:
        """Contend, lead once, and return when that is over."""
        options = self._options
        self._stopped = threading.Event()
        settings: Any = electionconfig.Config(
            LeaseLock(options.lease, options.namespace, options.identity),
            lease_duration=options.duration,
            renew_deadline=options.deadline,
            retry_period=options.retry,
            onstarted_leading=self._work,
            onstopped_leading=self._stop,
        )
        try:
            leaderelection.LeaderElection(settings).run()
        except (OSError, client.exceptions.ApiException) as error:
            # It lets errors of the connection through, and its caller must stop.
            self._stop()
            print(f"error: {error!r}", file=sys.stderr, flush=True)
            time.sleep(options.retry)
        except Exception as error:
            if not type(error).__module__.startswith("urllib3"):
                raise
            self._stop()
            print(f"error: {error!r}", file=sys.stderr, flush=True)
            time.sleep(options.retry)


def leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing could be released anyway."""
    os._exit(0)


def main() -> None:
    """Take part until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--lease", required=True)
    parser.add_argument("--identity", required=True)
    parser.add_argument("--duration", type=int, required=True)
    parser.add_argument("--deadline", type=int, required=True)
    parser.add_argument("--retry", type=int, default=1)
    parser.add_argument("--work-period", type=float, default=0.005)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, leave)
    config.load_kube_config(options.kubeconfig)
    say("contending", options.identity)
    candidate = Candidate(options)
    while True:
        candidate.term()


if __name__ == "__main__":
    main()
