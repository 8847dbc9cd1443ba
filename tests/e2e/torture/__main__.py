"""
Torture real candidates for a while: ``make torture SECONDS=600``.

Candidates of both fronts and of ``run`` hold an election on each server through a
mutating proxy, while they are frozen, killed, stopped, forked, and have the
interpreter's lock held in C. What is judged says ``judge.py``. Exit code 1 and the
files are kept when something was wrong. The seed repeats what is chosen, not the
instants at which the machine gets to it.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from controlplane import binaries
from controlplane.control_plane import ControlPlane
from controlplane.processes import Guard, ServerProcess, wait_until

from kubernetes_leader_election.testing import Mutation
from torture.arena import ATTACKS, GROUPS, MISCHIEF, NAMESPACE, Arena, Server

__all__ = ["embedded", "main", "real", "torture"]

VERBS = ["get", "create", "update", "watch"]


@contextmanager
def embedded(folder: Path) -> Iterator[Server]:
    """Run the embedded Lease API in a process of its own."""
    guard = Guard(folder / "removed-when-killed")
    log = folder / "embedded-server.log"
    command = [
        *(sys.executable, "-m", "kubernetes_leader_election.testing.lease_server"),
        *("--quiet", "--namespace", NAMESPACE),
    ]
    process = ServerProcess("embedded server", command, log=log, guard=guard)
    try:
        with process:
            said = "Serving Leases on "
            wait_until(lambda: said in process.log_tail(), within=30, what=said)
            url = process.log_tail().partition(said)[2].split()[0]
            yield Server("embedded", url, None, None, process)
    finally:
        guard.close()


@contextmanager
def real() -> Iterator[Server]:
    """Run a real kube-apiserver with etcd."""
    with ControlPlane() as plane:
        plane.grant(f"{{kind: Namespace, metadata: {{name: {NAMESPACE}}}}}")
        plane.allow("alice", VERBS, namespace=NAMESPACE)
        ca = plane.ca_file.read_text(encoding="utf-8")
        url, token = plane.server_url, plane.token("alice")
        yield Server("real", url, token, ca, plane.etcd)


def torture(
    servers: list[Server],
    folder: Path,
    *,
    seconds: float,
    seed: int,
    without: frozenset[str] = frozenset(),
    share: float = 0.2,
    candidates: int = 4,
    say: object = print,
) -> list[str]:
    """Torture an election on each server; return what was violated."""
    violations: list[str] = []
    with ExitStack() as stack:
        arenas = []
        for server in servers:
            arena = Arena(
                server,
                folder / server.name,
                seed=seed,
                without=without,
                share=share,
                candidates=candidates,
            )
            stack.callback(arena.close)
            arenas.append(arena)
        for arena in arenas:
            arena.start()
        began = told = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            for arena in arenas:
                arena.turn()
            if now - told > 10:
                told = now
                for arena in arenas:
                    say(f"{now - began:5.0f} s  {arena.progress()}")
            time.sleep(0.01)
        for arena in arenas:
            verdict = arena.finish()
            say(arena.summary(verdict))
            violations += [f"{arena.server.name}: {v}" for v in verdict.violations]
            if verdict.acts < seconds:
                violations.append(f"{arena.server.name}: hardly anybody worked")
    return violations


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    known = [*ATTACKS, *GROUPS, *MISCHIEF, *Mutation]
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--server", choices=["embedded", "real", "both"], default="both"
    )
    parser.add_argument("--candidates", type=int, default=4, help="on each server")
    parser.add_argument("--share", type=float, default=0.2, help="of what is mutated")
    parser.add_argument(
        "--without",
        default="",
        help=f"attacks to leave out, with commas between: {', '.join(known)}",
    )
    options = parser.parse_args(arguments)
    options.without = frozenset(x for x in options.without.split(",") if x)
    if unknown := sorted(options.without - set(known)):
        parser.error(f"--without {','.join(unknown)}: choose from {', '.join(known)}")
    if not 1 <= options.candidates <= 20:
        parser.error("--candidates: give 1 to 20")
    return options


def main(arguments: list[str]) -> int:
    """Torture; return 1 if something was violated, 130 after Ctrl-C."""
    options = parse(arguments)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    print(f"seed {seed}, logs in {folder}", flush=True)
    violations = [f"it broke off: see {folder}"]
    try:
        with ExitStack() as stack:
            servers = []
            if options.server != "real":
                servers.append(stack.enter_context(embedded(folder)))
            if options.server != "embedded":
                try:
                    servers.append(stack.enter_context(real()))
                except binaries.MissingProgramError as error:
                    print(f"no real server: {error}", flush=True)
                    if options.server == "real" or binaries.in_ci():
                        return 1
            violations = torture(
                servers,
                folder,
                seconds=options.seconds,
                seed=seed,
                without=options.without,
                share=options.share,
                candidates=options.candidates,
                say=lambda text: print(text, flush=True),
            )
    except KeyboardInterrupt:
        print(f"stopped; logs in {folder}", flush=True)
        return 130
    if violations:
        print(f"{len(violations)} violations; seed {seed}, logs kept in {folder}")
        return 1
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
    print("never two leaders")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
