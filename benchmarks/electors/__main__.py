"""
Measure the electors; print a table, write JSON.

Run on a quiet machine, from the folder of the project::

    make bench
    python -m benchmarks.electors --only hand-over --output bench.json
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.electors import costs, crowd, failover, handover, quiet
from benchmarks.electors.figures import Figure, machine, table, write_json
from benchmarks.electors.server import lease_server


def parts(options: argparse.Namespace) -> dict[str, Callable[[], list[Figure]]]:
    """Return everything that can be measured, by name."""

    def hand_over() -> list[Figure]:
        with lease_server() as server:
            return handover.measure(server, options.hand_overs)

    def fail_over() -> list[Figure]:
        with lease_server() as server:
            short = failover.measure(server, duration=3, rounds=5, leases=20)
            long = failover.measure(server, duration=20, rounds=2, leases=20)
            return [short, long]

    def requests() -> list[Figure]:
        with lease_server() as server:
            return quiet.measure(server)

    def program() -> list[Figure]:
        with lease_server() as server:
            return costs.measure_program(server, 20, options.seconds)

    def crowds() -> list[Figure]:
        with lease_server() as server:
            alone = crowd.measure(server, options.candidates)
        return [*crowd.simulate(20), *alone]

    return {
        "imports": lambda: costs.measure_imports(30),
        "program": program,
        "hand-over": hand_over,
        "requests": requests,
        "fail-over": fail_over,
        "crowd": crowds,
    }


def main() -> int:
    """Measure what was asked for; 1 if an aim was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.electors", description=__doc__)
    parser.add_argument("--only", action="append", help="a part; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--hand-overs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--candidates", type=int, default=1000)
    options = parser.parse_args()
    chosen = parts(options)
    unknown = set(options.only or ()) - set(chosen)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {list(chosen)}")
    print("  ".join(f"{key}: {value}" for key, value in machine().items()))
    figures: list[Figure] = []
    for name, measure in chosen.items():
        if options.only and name not in options.only:
            continue
        began = time.monotonic()
        print(f"measuring {name} ...", end=" ", flush=True)
        figures += measure()
        print(f"{time.monotonic() - began:.0f} s")
    print(f"\nbare interpreter with ssl and json: {costs.bare_memory():.1f} MiB\n")
    print(table(figures))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, figures)
    print(f"\nwritten to {options.output}")
    return 0 if all(one.met for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
