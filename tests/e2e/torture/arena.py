"""One election under torture: its server, proxy, candidates, and what is done to them."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.processes import Guard, ServerProcess, wait_until

from kubernetes_leader_election.testing import MutatingProxy, Mutation
from torture.judge import Verdict, judge, read_lives

__all__ = ["ATTACKS", "GROUPS", "Arena", "Server", "marked"]

MARK = "TORTURE_MARK"
WORKER = Path(__file__).with_name("worker.py")
DURATION, INTERVAL, DEADLINE, TIMEOUT, STOP_BUDGET = 3.0, 0.5, 1.6, 0.5, 0.6
LEASE, NAMESPACE = "torture", "torture"
WATCHDOG_GONE = 137
ENDS_WITHIN = 30.0
"""Seconds from SIGTERM to the end of a process; far more than it needs when idle."""
LEADS_WITHIN = 60.0
"""Seconds until somebody leads after the last attack."""

AT_LEADER = 0.5
"""Share of the attacks that choose who worked last."""

ATTACKS = {
    "freezes": 6.0,
    "run-freezes": 3.0,
    "watchdog-freezes": 2.0,
    "kills": 3.0,
    "stops": 3.0,
    "server-freezes": 1.0,
}
"""What the arena does to processes, and how often beside the others."""

GROUPS: dict[str, tuple[str, ...]] = {
    "held": ("hold-request", "hold-answer", "hold-event", "resend-later"),
    "twice": ("send-twice", "resend-later", "duplicate-answer", "double-event"),
    "replays": ("replay-answer", "swap-answer", "stale-read"),
    "watches": (
        *("drop-event", "double-event", "reorder-events", "hold-event"),
        *("silence-watch", "cut-watch", "wrong-event-type", "error-event"),
        "old-bookmark",
    ),
    "mutations": tuple(Mutation),
    "forks": ("fork", "c-fork"),
    "gil": ("gil",),
}
"""Names for several attacks, to leave them out together."""

MISCHIEF = ("gil", "fork", "c-fork")
"""What workers do to themselves."""


@dataclass(slots=True)
class Server:
    """Where an election takes place."""

    name: str
    url: str
    token: str | None
    ca: str | None
    process: ServerProcess | None
    """What may be frozen: the embedded server, or etcd."""


class Resource:
    """What is worked on: it refuses tokens smaller than the largest it has seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accepted = self.refused = self.terms = 0
        self.largest = 0
        self.leader = ""
        self.last = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (message := self._socket.recv(4096)) != b"":
            number, _, life = message.decode().partition(" ")
            token = int(number)
            if token < self.largest:
                self.refused += 1
                continue
            self.terms += token > self.largest
            self.largest, self.leader = token, life
            self.accepted += 1
            self.last = time.monotonic()

    def close(self) -> None:
        """End the thread."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(b"", str(self.path))
        self._thread.join(5)
        self._socket.close()


@dataclass(slots=True, eq=False)
class Worker:
    """One place in the election: its processes follow each other."""

    name: str
    front: str
    command: list[str]
    folder: Path
    guard: Guard
    mark: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None
    frozen: list[tuple[float, float]] = field(default_factory=list)
    still: bool = False
    watchdog_frozen: float = -math.inf
    """When its watchdog last stood still: ``run`` may have had to do without it."""

    @property
    def log(self) -> Path:
        """Return the file with its marks."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start its next process."""
        with (self.folder / f"{self.name}.err").open("ab") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.folder), MARK: self.mark},
            )
        self.guard.watch(self.process.pid)

    @property
    def alive(self) -> bool:
        """Say whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def tree(self) -> list[int]:
        """Return its process and all below it, parents first."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            found += _children(pid)
        return found

    def watchdog(self) -> list[int]:
        """Return the watchdog of ``run``, if it is there."""
        return [p for p in self.tree() if _name(p).startswith("leader-watchdog")]

    def signal(self, number: int, pids: Iterable[int]) -> None:
        """Send a signal to some of its processes."""
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """End all of it at once, frozen or not, and reap it."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL, self.tree())
        self.process.wait(10)
        # Forked in C, some hang and outlive their parent: known by what they inherit.
        self.signal(signal.SIGKILL, marked(f"{MARK}={self.mark}".encode()))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(x) for x in (task / "children").read_text().split()]
    except OSError:
        return found  # it ended meanwhile
    return found


def marked(mark: bytes) -> list[int]:
    """Return the processes with a mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or is not ours
        if mark in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except OSError:
        return ""


class Arena:
    """
    One election under torture.

    Args:
        server: Where it takes place.
        folder: For logs; kept if something was wrong.
        seed: Of all that is chosen here, in the proxy and in the workers.
        without: Names of attacks, mutations and :data:`GROUPS` to leave out.
        share: Of requests and events that are mutated.
        fronts: Of the candidates, in turns.
        candidates: How many there are.

    """

    def __init__(
        self,
        server: Server,
        folder: Path,
        *,
        seed: int,
        without: frozenset[str] = frozenset(),
        share: float = 0.2,
        fronts: tuple[str, ...] = ("asyncio", "threads", "run"),
        candidates: int = 4,
    ) -> None:
        self.server = server
        self.folder = folder
        folder.mkdir(parents=True)
        self._left_out = without | {m for name in without for m in GROUPS.get(name, ())}
        self._chance = random.Random(f"{seed}:{server.name}")
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._events = (folder / "attacks.log").open("w", encoding="utf-8", buffering=1)
        self._mutations = (folder / "mutations.jsonl").open("w", encoding="utf-8")
        self._resource = Resource(folder / "resource")
        self._guard = Guard(folder / "removed-when-killed")
        self._proxy = MutatingProxy(
            server.url,
            chance=random.Random(f"{seed}:{server.name}:proxy"),
            ca=server.ca,
            token=server.token,
            on_mutation=self._note_mutation,
        )
        self._proxy.start()
        weights = {m: 1.0 for m in Mutation if m not in self._left_out}
        if weights:
            self._proxy.at_random(share, weights=weights, hold=(0.05, 5.0))
        self.workers = [
            self._new_worker(number, fronts[number % len(fronts)])
            for number in range(candidates)
        ]

    def _note_mutation(self, done: object) -> None:
        self.done[f"{done.mutation}"] += 1
        self._mutations.write(f"{done.to_json()}\n")

    def _new_worker(self, number: int, front: str) -> Worker:
        name = f"{front[0]}{number}"
        config = self.folder / f"{name}.kubeconfig"
        user = {"token": self.server.token} if self.server.token else {}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "x", "cluster": {"server": self._proxy.lane(name).url}}
            ],
            "users": [{"name": "x", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
        config.touch(mode=0o600)
        config.write_text(json.dumps(document), encoding="utf-8")
        marks = [
            *(sys.executable, str(WORKER), "--log", str(self.folder / f"{name}.log")),
            *("--resource", str(self._resource.path), "--identity", name),
        ]
        if front == "run":
            command = [
                *(sys.executable, "-m", "kubernetes_leader_election", "run", LEASE),
                *(f"--identity={name}", f"--namespace={NAMESPACE}"),
                *(f"--kubeconfig={config}", "--restart=always", "--grace=5"),
                *(f"--renew-interval-ms={INTERVAL * 1000:g}",),
                *(f"--lease-duration-sec={DURATION:g}",),
                *(f"--request-timeout-sec={TIMEOUT:g}",),
                *(f"--stop-budget-sec={STOP_BUDGET:g}", "--"),
                *(*marks, "--front", "command"),
            ]
        else:
            kinds = [k for k in MISCHIEF if k not in self._left_out]
            command = [
                *(*marks, "--front", front, "--kubeconfig", str(config)),
                *("--namespace", NAMESPACE, "--lease", LEASE),
                *("--seed", f"{self._chance.getrandbits(32)}", "--kinds", *kinds),
                *("--duration", f"{DURATION}", "--interval", f"{INTERVAL}"),
                *("--deadline", f"{DEADLINE}", "--timeout", f"{TIMEOUT}"),
                *("--stop-budget", f"{STOP_BUDGET}"),
            ]
        return Worker(name, front, command, self.folder, self._guard)

    # What is done ---------------------------------------------------------------

    def start(self) -> None:
        """Start all candidates, and the attacks."""
        for worker in self.workers:
            worker.start()
        self._later(3.0, self._attack)

    def turn(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(
            self._due, (time.monotonic() + seconds, next(self._numbers), action)
        )

    def _note(self, what: str) -> None:
        self._events.write(f"{time.monotonic():.6f} {what}\n")

    def _attack(self) -> None:
        self._later(self._chance.uniform(0.1, 2.0), self._attack)
        for worker in self.workers:
            self._look_after(worker)
        kinds = [kind for kind in ATTACKS if kind not in self._left_out]
        if not kinds:
            return
        (kind,) = self._chance.choices(kinds, [ATTACKS[k] for k in kinds])
        seconds = self._chance.choice([0.3, 1.5, 3.0, 6.0]) * self._chance.random()
        if kind == "server-freezes":
            self._freeze_server(min(seconds, 3.0))
            return
        only_run = kind in {"run-freezes", "watchdog-freezes"}
        may = [w for w in self.workers if w.alive and not w.still]
        may = [w for w in may if w.front == "run" or not only_run]
        if not may:
            return
        worker = self._chance.choice(may)
        if self._chance.random() < AT_LEADER:
            leading = [w for w in may if w.name == self._resource.leader]
            worker = leading[0] if leading else worker
        self._attack_worker(kind, worker, seconds)

    def _attack_worker(self, kind: str, worker: Worker, seconds: float) -> None:
        pids = worker.tree()
        if kind in {"run-freezes", "watchdog-freezes"}:
            pids = worker.watchdog() if kind == "watchdog-freezes" else pids[:1]
        if kind.endswith("freezes"):
            self._freeze(kind, worker, pids, seconds)
            return
        self.done[kind] += 1
        self._note(f"{kind} {worker.name}")
        number = signal.SIGKILL if kind == "kills" else signal.SIGTERM
        worker.signal(number, pids[:1])
        worker.still = True  # left alone until it has ended
        self._later(0.05, lambda: self._await_end(worker, time.monotonic()))

    def _freeze(
        self, kind: str, worker: Worker, pids: list[int], seconds: float
    ) -> None:
        self.done[kind] += 1
        self._note(f"{kind} {worker.name} {pids} for {seconds:.3f}")
        began = time.monotonic()
        worker.still = True
        worker.signal(signal.SIGSTOP, pids)

        def thaw() -> None:
            ended = time.monotonic()
            if kind in {"freezes", "watchdog-freezes"}:
                worker.watchdog_frozen = ended
            worker.signal(signal.SIGCONT, pids)
            worker.still = False
            self._note(f"thawed {worker.name}")
            # Those frozen in part are to be ended by the part that is not.
            if kind == "freezes":
                worker.frozen.append((began, ended))

        self._later(seconds, thaw)

    def _await_end(self, worker: Worker, since: float) -> None:
        if not worker.alive:
            self._later(self._chance.uniform(0, 3), lambda: self._restart(worker))
        elif time.monotonic() - since > ENDS_WITHIN:
            self.violations.append(f"{worker.name} did not end within {ENDS_WITHIN} s")
            worker.kill()
            self._restart(worker)
        else:
            self._later(0.05, lambda: self._await_end(worker, since))

    def _restart(self, worker: Worker) -> None:
        self._note(f"start {worker.name}")
        worker.still = False
        worker.start()

    def _look_after(self, worker: Worker) -> None:
        if worker.process is not None and not worker.alive and not worker.still:
            code = worker.process.returncode
            since = time.monotonic() - worker.watchdog_frozen
            if code == WATCHDOG_GONE and since < ENDS_WITHIN:
                # Its watchdog did not answer at the limit: documented in docs/run.md.
                self.done["run ended without its watchdog"] += 1
                self._note(f"{worker.name} ended without its watchdog")
                worker.start()
                return
            self.violations.append(f"{worker.name} ended by itself with {code}")
            worker.start()

    def _freeze_server(self, seconds: float) -> None:
        process = self.server.process
        if process is None or not process.alive:
            return
        self.done["server-freezes"] += 1
        self._note(f"server frozen for {seconds:.3f}")
        os.kill(process.pid, signal.SIGSTOP)
        self._later(seconds, process.thaw)

    # The end --------------------------------------------------------------------

    def finish(self) -> Verdict:
        """End all attacks, see that somebody leads, end all processes, and judge."""
        self._left_out |= set(ATTACKS)
        self._proxy.clear()
        until = time.monotonic() + ENDS_WITHIN + 10
        while time.monotonic() < until and any(w.still for w in self.workers):
            self.turn()
            time.sleep(0.02)
        if self.server.process is not None:
            self.server.process.thaw()
        calm = time.monotonic()
        try:
            wait_until(
                lambda: self._resource.last > calm + 1,
                within=LEADS_WITHIN,
                what="somebody leads",
            )
        except TimeoutError:
            self.violations.append(f"nobody led within {LEADS_WITHIN} s of the attacks")
        for worker in self.workers:
            self._look_after(worker)
            worker.signal(signal.SIGTERM, worker.tree()[:1])
        for worker in self.workers:
            assert worker.process is not None
            try:
                worker.process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self.violations.append(f"{worker.name} did not end at last")
        return self._judge()

    def _judge(self) -> Verdict:
        lives = [life for w in self.workers for life in read_lives(w.log)]
        verdict = judge(
            lives,
            stop_budget=STOP_BUDGET,
            frozen={w.name: w.frozen for w in self.workers},
        )
        for worker in self.workers:
            said = (self.folder / f"{worker.name}.err").read_text(
                encoding="utf-8", errors="replace"
            )
            for word in ("Traceback", "Fatal Python error", "defect"):
                if word in said:
                    self.violations.append(f"{worker.name} said {word!r}")
        verdict.violations += self.violations
        return verdict

    def progress(self) -> str:
        """Return one line about what has happened so far."""
        mutated = sum(self.done[m] for m in Mutation)
        done = ", ".join(
            f"{k} {number}" for k, number in self.done.items() if k not in set(Mutation)
        )
        resource = self._resource
        return (
            f"{self.server.name}: {resource.accepted} acts in {resource.terms} terms, "
            f"{resource.refused} refused; {mutated} mutations; {done or 'no attacks'}"
            f"{f'; {len(self.violations)} VIOLATIONS' if self.violations else ''}"
        )

    def summary(self, verdict: Verdict) -> str:
        """Return what was done and what was seen."""
        kinds = ", ".join(f"{m} {self.done[m]}" for m in Mutation if self.done[m])
        lines = [
            self.progress(),
            f"  mutations: {kinds or 'none'}",
            f"  judged: {verdict.questions} beliefs and {verdict.acts} acts of",
            f"    {verdict.terms} terms; {verdict.stalls} times a process stood still,",
            f"    {verdict.children} answers in forked children",
            "  overlaps of work right after a standstill, which the fencing refuses:",
            f"    {verdict.excused}",
            f"  violations: {len(verdict.violations)}",
        ]
        return "\n".join(lines + [f"    {one}" for one in verdict.violations])

    def close(self) -> None:
        """End every process by its id, whatever happened."""
        for worker in self.workers:
            worker.kill()
        self._proxy.stop()
        self._resource.close()
        self._events.close()
        self._mutations.close()
        self._guard.close()
