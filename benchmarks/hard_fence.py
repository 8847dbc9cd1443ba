"""
Measure the hard fence: ``python -m benchmarks.hard_fence [-n 10] [ATTACK...]``.

A program leads on an embedded Lease API and marks each step of its work with the time
(CLOCK_BOOTTIME) in a file that outlives it. Then it is made one that cannot be stopped.
Told is how long before the hard limit of G2 the last step was made: the limit is computed
here, from the time that the last renewal wrote into the Lease. Each attack is made on an
ordinary process and, with root, on process 1 of a PID namespace, for which the kernel's
order is another one. Freezes need root.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kubernetes_leader_election.settings import resolve_settings, timings
from kubernetes_leader_election.testing import LeaseServer, TcpProxy

PATIENCE: Final = 60.0
"""Seconds to wait for what has to come before a trial is given up."""
TIMES: Final = {"lease_duration_sec": 3, "renew_interval_ms": 500}
LIMITS: Final = timings(resolve_settings(**TIMES))
VOID_TRIALS: Final = 5
"""Programs that may lose their Lease before they are attacked."""
SLOTS: Final = 8
"""Threads that can mark their steps."""
UNSHARE: Final = ("unshare", "--pid", "--fork", "--kill-child")
KINDS: Final = ("ordinary", "first")

PRELUDE: Final = f"""
import asyncio, collections, ctypes, itertools, mmap, os, threading, time
from kubernetes_leader_election import Elector, sync
from kubernetes_leader_election.credentials import explicit

place = mmap.mmap(os.open(os.environ["MARKS"], os.O_RDWR), {8 * SLOTS})
marks = memoryview(place).cast("d")
now = time.clock_gettime
BOOTTIME = time.CLOCK_BOOTTIME

LIVENESS = dict(liveness="loop", liveness_timeout_sec=0.5)

def options(**more):
    return dict(
        lease_name=os.environ["LEASE"], identity="program", hard_fence=True,
        credentials=explicit(server=os.environ["LEASE_URL"]), **{TIMES!r}, **more)

def say(word):
    os.write(1, word + b"\\n")

def work_on(slot, until=float("inf")):
    while now(BOOTTIME) < until:
        marks[slot] = now(BOOTTIME)
"""
LEAD: Final = "sync.Elector(**options()).run(work)"
PROGRAMS: Final[Mapping[str, str]] = {
    "gil": f"""
        def work(term):
            work_on(0, now(BOOTTIME) + 1.2)
            say(b"attack")
            # All in C: nothing in it gives the lock of the interpreter to others.
            times = map(now, itertools.repeat(BOOTTIME))
            steps = map(marks.__setitem__, itertools.repeat(0), times)
            collections.deque(steps, maxlen=0)
        {LEAD}
    """,
    "gil-asleep": f"""
        def work(term):
            work_on(0, now(BOOTTIME) + 1.2)
            say(b"attack")
            ctypes.PyDLL(None).sleep({2 * TIMES["lease_duration_sec"]})
            work_on(0)
        {LEAD}
    """,
    "threads": f"""
        def work(term):
            threads = [threading.Thread(target=work_on, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(1.2)  # so that it renews before the attack
            say(b"attack")
            for thread in threads:
                thread.join()
        {LEAD}
    """,
    "loop": """
        more = LIVENESS if os.environ["ATTACK"] == "liveness" else {}
        async def work(term):
            await asyncio.sleep(1.2)
            say(b"attack")
            work_on(0)
        asyncio.run(Elector(**options(**more)).run(work))
    """,
}
ATTACKS: Final[Mapping[str, str]] = {
    "gil": "gil",
    "gil-asleep": "gil-asleep",
    "threads": "threads",
    "loop": "loop",
    "liveness": "loop",
    "sigstop": "threads",
    "freezer": "threads",
}
"""Attacks, and the program that each is made on."""
FREEZES: Final = frozenset({"sigstop", "freezer"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one program. Times are CLOCK_BOOTTIME, in seconds."""

    limit: float
    """The hard limit of its last renewal."""
    last_mark: float
    """When its last step was made."""
    death: float
    """When its end was seen from outside: later than it was, by the load of the machine."""
    thaw: float | None
    """When it was let go on; None: it was not frozen."""
    code: int
    """Its exit code."""

    @property
    def after_thaw(self) -> float:
        """For how many seconds after its thaw it went on; 0.0: not at all."""
        return 0.0 if self.thaw is None else max(0.0, self.last_mark - self.thaw)


def boottime() -> float:
    """Return the time of the clock that goes on in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def trial(attack: str, kind: str) -> Outcome:
    """
    Make one attack on one program, and return what became of it.

    A program that lost its Lease before the attack, to a busy machine, is no trial.

    Raises:
        RuntimeError: none of a few programs led, or one was not ended.

    """
    for _ in range(VOID_TRIALS):
        if outcome := _try_once(attack, kind):
            return outcome
    raise RuntimeError("no program leads long enough to be attacked")


def _try_once(attack: str, kind: str) -> Outcome | None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(LeaseServer())
        proxy = stack.enter_context(TcpProxy(server.url))
        path = stack.enter_context(tempfile.NamedTemporaryFile())
        path.write(bytes(8 * SLOTS))
        path.flush()
        source = PRELUDE + textwrap.dedent(PROGRAMS[ATTACKS[attack]])
        command = [*(UNSHARE if kind == "first" else ()), sys.executable, "-c", source]
        environment = {"MARKS": path.name, "LEASE": "fenced", "LEASE_URL": proxy.url}
        environment["ATTACK"] = attack
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, **environment}
        )
        stack.callback(_end, program)
        assert program.stdout is not None
        if program.stdout.readline().strip() != b"attack":
            return None
        led = _spec(server)
        pid = _child_of(program.pid) if kind == "first" else program.pid
        death = Death(pid)
        thaw = None
        if attack in {"threads", "loop"}:
            proxy.black_hole()
        elif attack in FREEZES:
            thaw = stack.enter_context(_freezing(attack, pid))()
        seen = death.wait(PATIENCE)
        with mmap.mmap(path.fileno(), 8 * SLOTS) as marks:
            last_mark = max(struct.unpack(f"{SLOTS}d", marks[:]))
        limit = _renewed_at(led, _spec(server)) + LIMITS.hard_limit
        return Outcome(limit, last_mark, seen, thaw, program.wait(PATIENCE))


def _spec(server: LeaseServer) -> dict[str, Any]:
    return (server.lease("fenced") or {"spec": {}})["spec"]


def _renewed_at(led: dict[str, Any], spec: dict[str, Any]) -> float:
    """Return the CLOCK_BOOTTIME of the last renewal, as it was stamped when it was sent."""
    fields = ("holderIdentity", "acquireTime", "leaseTransitions")
    if any(led.get(field) != spec.get(field) for field in fields):
        raise RuntimeError(f"the program went on, and released or led again: {spec}")
    stamp = datetime.fromisoformat(spec["renewTime"]).timestamp()
    wall = datetime.now().astimezone().timestamp()
    return boottime() + stamp - wall


class Death:
    """Note when a process ends, on a thread that comes before all others if it may."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)
        self._at = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll()
        self._at = boottime()

    def wait(self, timeout: float) -> float:
        """Return the CLOCK_BOOTTIME of its end."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise RuntimeError("the program was not ended")
        os.close(self._fd)
        return self._at


@contextlib.contextmanager
def _freezing(attack: str, pid: int) -> Iterator[Callable[[], float]]:
    """Lend what freezes a process for two lease durations, and returns when it goes on."""
    seconds = 2 * TIMES["lease_duration_sec"]
    if attack == "sigstop":

        def stop() -> float:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)  # the time that it stands still is the attack
            thawed = boottime()
            with contextlib.suppress(ProcessLookupError):  # killed while it stood still
                os.kill(pid, signal.SIGCONT)
            return thawed

        yield stop
        return
    place = Path("/sys/fs/cgroup/freezer")
    first = place.is_dir()
    group = (place if first else Path("/sys/fs/cgroup")) / f"hard-fence-{pid}"
    switch = group / ("freezer.state" if first else "cgroup.freeze")
    freeze, thaw = ("FROZEN", "THAWED") if first else ("1", "0")

    def freeze_group() -> float:
        (group / "cgroup.procs").write_text(str(pid))
        switch.write_text(freeze)
        time.sleep(seconds)  # likewise
        thawed = boottime()
        switch.write_text(thaw)
        return thawed

    group.mkdir()
    try:
        yield freeze_group
    finally:
        switch.write_text(thaw)
        _until(lambda: not (group / "cgroup.procs").read_text().split())
        group.rmdir()


def _child_of(pid: int) -> int:
    """Return the only child of `unshare`."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError("waited in vain")
        time.sleep(0.01)  # between two looks


def _end(program: subprocess.Popen[bytes]) -> None:
    program.kill()
    program.wait(PATIENCE)
    assert program.stdout is not None
    program.stdout.close()


def why_impossible(attack: str, kind: str) -> str | None:
    """Return why an attack cannot be made here, or None if it can."""
    if kind == "first" and (shutil.which("unshare") is None or os.geteuid() != 0):
        return "a PID namespace needs root and `unshare`"
    if attack == "freezer":
        groups = Path("/sys/fs/cgroup")
        both = (groups / "freezer/cgroup.procs", groups / "cgroup.controllers")
        if os.geteuid() != 0 or not any(path.exists() for path in both):
            return "to freeze a control group needs root and control groups"
    return None


def shown(seconds: float) -> str:
    """Return a time in milliseconds."""
    return f"{seconds * 1000:9.2f}"


def main() -> None:
    """Print a line for each attack on each kind of process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("-n", type=int, default=10, help="rounds of each; 10")
    names = re.sub("[{}']", "", str(set(ATTACKS)))
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=names)
    arguments = parser.parse_args()
    if unknown := set(arguments.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(unknown)}")
    print(
        f"{TIMES}, hard limit {LIMITS.hard_limit:.3f} s after a renewal; milliseconds,\n"
        "the median, and the worst. `before`: from the last step of the work to the hard\n"
        "limit (a frozen process makes none); `seen`: to its end as seen from outside;\n"
        "`after thaw`: from the thaw to the last step, and in how many rounds there was one"
    )
    for attack in arguments.attacks or ATTACKS:
        for kind in KINDS:
            if why := why_impossible(attack, kind):
                print(f"{attack:10} {kind:9} left out: {why}")
                continue
            found = [trial(attack, kind) for _ in range(arguments.n)]
            before = [x.limit - x.last_mark for x in found]
            seen = [x.limit - x.death for x in found]
            late = [x.after_thaw for x in found if x.after_thaw > 0.0]
            line = [f"{attack:10} {kind:9} n={len(found)}"]
            for name, times in (("before", before), ("seen", seen)):
                if attack in FREEZES and name == "before":
                    continue
                half, worst = statistics.median(times), min(times)
                line.append(f"{name} {shown(half)} {shown(worst)}")
            if attack in FREEZES:
                worst = max(late, default=0.0)
                line.append(f"after thaw {shown(worst)} in {len(late)}")
            codes = sorted({x.code for x in found})
            print(*line, f"exit codes {codes}", sep="  ", flush=True)


if __name__ == "__main__":
    main()
