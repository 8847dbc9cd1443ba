"""
How long it takes from nothing to a first elected leader: ``python -m benchmarks.first_leader``.

Three commands, as a new user types them, in an empty folder with an empty HOME: a virtual
environment, ``pip install`` (of a wheel that is built here first, which is not counted, and
of what it needs from the package index), and an election on the embedded Lease API, whose
leader says so. Exits with 1 where it takes longer than ``--limit`` seconds. The second
column is processor time: on a machine that is busy with other work it says more.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAID = "this replica leads"
LIMIT = 30.0


def build(folder: Path) -> Path:
    """Return a wheel of the working tree."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def clean(home: Path) -> Mapping[str, str]:
    """Return the variables of a new user: what pip needs to find its index stays."""
    kept = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    named = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {
        "HOME": str(home),
        **{
            name: value
            for name, value in os.environ.items()
            if name in kept or name.upper().startswith(named)
        },
    }


def commands(wheel: Path) -> dict[str, list[str]]:
    """Return the three commands, by what each is for."""
    return {
        "a virtual environment": [sys.executable, "-m", "venv", "trial"],
        "pip install": ["trial/bin/pip", "install", "--quiet", f"{wheel}[testing]"],
        "a leader": [
            *("trial/bin/kle", "dev", "--"),
            *("trial/bin/kle", "run", "billing", "--", "echo", SAID),
        ],
    }


def processor() -> float:
    """Return the seconds of a processor that commands have taken until now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure() -> dict[str, tuple[float, float]]:
    """Return the seconds of each command, and those of the processor."""
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder) / "dist")
        home = Path(folder) / "home"
        home.mkdir()
        for what, words in commands(wheel).items():
            begin, used = time.monotonic(), processor()
            done = subprocess.run(
                words,
                cwd=home,
                env=clean(home),
                capture_output=True,
                text=True,
                check=False,
            )
            took[what] = time.monotonic() - begin, processor() - used
            if done.returncode != 0:
                raise SystemExit(f"{what}: {done.stdout}{done.stderr}")
        assert SAID in done.stdout, done.stdout
        assert "is the leader, fencing token " in done.stderr, done.stderr
    return took


def main() -> int:
    """Measure, print, and say whether it was soon enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds in all")
    limit = parser.parse_args().limit
    took = measure()
    for what, (seconds, used) in took.items():
        print(f"{seconds:6.1f} s {used:6.1f} s  {what}")
    total, used = (sum(column) for column in zip(*took.values(), strict=True))
    print(f"{total:6.1f} s {used:6.1f} s  in all, {limit:g} s at most")
    return int(total > limit)


if __name__ == "__main__":
    sys.exit(main())
