"""
One candidate of the torture: marks in its log what it did while it led.

Lines are ``instant what token detail``, in CLOCK_MONOTONIC seconds, each in the file
when the call returns:

- ``asked T1``: between the instant and T1 the question "do I lead?" was answered yes.
- ``act``: work inside a scope began, without a question; ``acted``: it ended.
- ``stall T1 KIND``: nothing of this process ran between the instant and T1.
- ``acquired``, ``lost REASON``: the events. ``began PID``, ``ended``: a life.
- ``child yes|no KIND``: what a forked child was told.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path

ACT = 0.01
GAP = 0.1
"""Seconds: who comes so much later than it wanted has stood still."""


class Marks:
    """The log of one life, and the way to the shared resource."""

    def __init__(self, path: str, life: str, resource: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._life = life
        self._resource = resource
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def note(
        self,
        what: str,
        token: object = None,
        detail: str = "-",
        at: float | None = None,
    ) -> None:
        """Write a line."""
        instant = time.monotonic() if at is None else at
        detail = detail.replace("\n", " ") or "-"
        os.write(self._file, f"{instant:.6f} {what} {token or '-'} {detail}\n".encode())

    def reach_out(self, token: object) -> None:
        """Give the resource a piece of work under a token; it may be lost."""
        try:
            self._socket.sendto(f"{token} {self._life}".encode(), self._resource)
        except OSError:
            return  # full, or gone at the end

    def watch_stalls(self) -> None:
        """Note from a thread when this process as a whole stood still."""

        def beat() -> None:
            last = time.monotonic()
            while True:
                time.sleep(GAP / 4)
                now = time.monotonic()
                if now - last > GAP:
                    self.note("stall", None, f"{now:.6f} gap", at=last)
                last = now

        threading.Thread(target=beat, daemon=True).start()


def work_once(marks: Marks, asks, token: object, last: float) -> float:
    """Do one piece of work, asked for and in good faith; return when it began."""
    before = time.monotonic()
    if before - last > GAP + ACT:
        marks.note("stall", None, f"{before:.6f} loop", at=last)
    if asks():
        marks.note("asked", token, f"{time.monotonic():.6f}", at=before)
    marks.note("act", token)
    marks.reach_out(token)
    return before


def build(options: argparse.Namespace, marks: Marks, front):
    """Make the elector."""
    from kubernetes_leader_election.credentials import kubeconfig
    from kubernetes_leader_election.events import EVENTS

    elector = front.Elector(
        lease_name=options.lease,
        namespace=options.namespace,
        identity=options.identity,
        credentials=kubeconfig(options.kubeconfig),
        lease_duration_sec=options.duration,
        renew_interval_ms=options.interval * 1000,
        renew_deadline_sec=options.deadline,
        request_timeout_sec=options.timeout,
        stop_budget_sec=options.stop_budget,
    )
    elector.on(EVENTS.LEADERSHIP_ACQUIRED, lambda e: marks.note("acquired", e.token))
    elector.on(
        EVENTS.LEADERSHIP_LOST, lambda e: marks.note("lost", e.token, str(e.reason))
    )
    return elector


def misbehave(options: argparse.Namespace, marks: Marks, elector) -> None:
    """Hold the interpreter's lock and fork, at random, from a thread."""
    chance = random.Random(options.seed)
    hold = ctypes.PyDLL(None).usleep  # a PyDLL call keeps the lock
    c_fork = ctypes.PyDLL(None).fork

    def child(kind: str) -> None:
        """Say what a forked child believes, and be gone."""
        signal.alarm(3)  # locks that other threads held stay locked for ever
        for _ in range(20):
            marks.note(
                "child", None, f"{'yes' if elector.current_leader else 'no'} {kind}"
            )
            time.sleep(0.05)  # a child is looked at for a second
        os._exit(0)

    def await_child(pid: int) -> None:
        """Reap a child; one forked in C may hang in its first instruction."""
        until = time.monotonic() + 4.0
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)  # between two looks: waitpid() has no time limit

    def go_on() -> None:
        while True:
            time.sleep(chance.uniform(0.5, 2 * options.mischief))
            kind = chance.choice(options.kinds)
            if kind == "gil":
                began = time.monotonic()
                hold(int(chance.choice([0.2, 1.0, 4.0]) * chance.random() * 1e6))
                marks.note("stall", None, f"{time.monotonic():.6f} gil", at=began)
                continue
            pid = os.fork() if kind == "fork" else c_fork()
            if pid == 0:
                child(kind)
            await_child(pid)

    if options.kinds:
        threading.Thread(target=go_on, daemon=True).start()


def on_threads(options: argparse.Namespace, marks: Marks) -> None:
    """Take part with threads."""
    from kubernetes_leader_election import sync

    elector = build(options, marks, sync)
    misbehave(options, marks, elector)

    def work(term) -> None:
        last = time.monotonic()
        while not term.lost.is_set():
            last = work_once(
                marks, lambda: elector.current_leader, term.fencing_token, last
            )
            time.sleep(ACT)
            marks.note("acted", term.fencing_token)

    elector.run(work)


async def on_asyncio(options: argparse.Namespace, marks: Marks) -> None:
    """Take part with coroutines."""
    from kubernetes_leader_election import elector as front

    elector = build(options, marks, front)
    misbehave(options, marks, elector)

    async def work(term) -> None:
        last = time.monotonic()
        while True:
            last = work_once(
                marks, lambda: elector.current_leader, term.fencing_token, last
            )
            await asyncio.sleep(ACT)
            marks.note("acted", term.fencing_token)

    await elector.run(work)


def as_command(marks: Marks) -> None:
    """Be what ``kle run`` runs: asks by the term file, as ``kle check`` does."""
    token = os.environ["LEADER_ELECTION_TOKEN"]
    path = os.environ["LEADER_ELECTION_TERM_FILE"]

    def asks() -> bool:
        try:
            deadline = json.loads(Path(path).read_text(encoding="utf-8"))["deadline"]
        except (OSError, ValueError):
            return False
        return time.clock_gettime(time.CLOCK_BOOTTIME) < deadline

    last = time.monotonic()
    while True:
        last = work_once(marks, asks, token, last)
        time.sleep(ACT)
        marks.note("acted", token)


def main() -> None:
    """Take part until a signal ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--front", choices=["threads", "asyncio", "command"])
    parser.add_argument("--log")
    parser.add_argument("--resource")
    parser.add_argument("--identity")
    parser.add_argument("--kubeconfig")
    parser.add_argument("--namespace")
    parser.add_argument("--lease")
    parser.add_argument("--seed")
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--mischief", type=float, default=5.0)
    for name in ("duration", "interval", "deadline", "timeout", "stop-budget"):
        parser.add_argument(f"--{name}", type=float)
    options = parser.parse_args()
    marks = Marks(options.log, options.identity, options.resource)
    marks.note("began", None, f"{os.getpid()}")
    marks.watch_stalls()
    if options.front == "command":
        as_command(marks)
    try:
        if options.front == "threads":
            on_threads(options, marks)
        else:
            asyncio.run(on_asyncio(options, marks))
    finally:
        marks.note("ended")


if __name__ == "__main__":
    sys.exit(main())
