"""What an elector costs a program: imports, start, memory, processor."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.electors.figures import Figure, figure
from benchmarks.electors.server import LEADER, Questions

BARE = "pass"
PACKAGE = "import kubernetes_leader_election"
STANDARD = "import asyncio, ssl, json, http.client"
ELECTOR = "from kubernetes_leader_election import Elector"

PROGRAM = """\
import json, os, sys, threading, time
from kubernetes_leader_election.sync import Elector
options, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
elector = Elector(**options)
elector.on("leadership_acquired", lambda event: led.set())
led = threading.Event()
elector.start()
led.wait(30)
acquired = time.monotonic()
time.sleep(seconds / 4)
used, since = time.process_time(), time.monotonic()
time.sleep(seconds)
used, since = time.process_time() - used, time.monotonic() - since
resident = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
print(json.dumps([acquired, used / since, int(resident[0].split()[1]) / 1024]))
sys.stdout.flush()
elector.stop()
"""


ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    # A program that is installed has its bytecode; some test machines write none.
    if name != "PYTHONDONTWRITEBYTECODE"
}


def _wall(code: str) -> float:
    """Return the milliseconds that a Python program takes from exec to exit."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT)
    return 1000 * (time.perf_counter() - began)


def _more(code: str, base: str, n: int) -> list[float]:
    """Return how much longer one program takes than another, in turns."""
    for program in (code, base):
        _wall(program)
    return [_wall(code) - _wall(base) for _ in range(n)]


def measure_imports(n: int) -> list[Figure]:
    """Compare importing with not importing."""
    return [
        figure(
            "import kubernetes_leader_election, over a bare start",
            _more(PACKAGE, BARE, n),
            unit="ms",
            limit=40.0,
        ),
        figure(
            "import Elector, over asyncio, ssl, json, http.client",
            _more(ELECTOR, STANDARD, n),
            unit="ms",
            limit=40.0,
        ),
    ]


def _lead(server: Questions, name: str, seconds: float, **more: object) -> list[float]:
    options = {
        **server.address.options(LEADER),
        "lease_name": name,
        "identity": "five-lines",
        **more,
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(options), str(seconds)],
        check=True,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    acquired, load, resident = json.loads(done.stdout)
    return [acquired - began, load, resident]


def measure_program(server: Questions, n: int, seconds: float) -> list[Figure]:
    """Run the program on a missing Lease: start, memory, processor."""
    _lead(server, "warm-up", 0.0)
    starts = [_lead(server, f"start-{i}", 0.0)[0] for i in range(n)]
    sizes = [
        _lead(server, f"size-{i}", 2.0, renew_interval_ms=500, lease_duration_sec=3)[2]
        for i in range(5)
    ]
    _, load, _ = _lead(server, "load", seconds)
    return [
        figure("exec to acquired event, missing Lease", starts, unit="s", limit=0.2),
        figure(
            "VmRSS of a leading threaded program over TLS",
            sizes,
            unit="MiB",
            limit=28.0,
            judged="p99",
        ),
        figure(
            f"processor of a leader, default options, {seconds:g} s",
            [100 * load],
            unit="% of a core",
            limit=0.1,
        ),
    ]


def bare_memory() -> float:
    """Return the memory of an interpreter with ssl and json, in MiB."""
    code = (
        "import ssl, json\n"
        "print([l for l in open('/proc/self/status') if l.startswith('VmRSS')][0])"
    )
    sizes = []
    for _ in range(5):
        out = subprocess.check_output([sys.executable, "-c", code], text=True)
        sizes.append(int(out.split()[1]) / 1024)
    return statistics.median(sizes)
