"""
Mutants of every kind, made by cosmic-ray: how many live through the tests of a part.

``make mutation-testing`` tries as many as the time allows, drawn at random over all
parts, and shows each that no test noticed. Such a one changes nothing that matters, or
shows a test that is missing: a person has to look. So nothing fails here.

cosmic-ray makes the mutants. It does not run the tests itself: as it starts pytest anew
for each, it would spend its time on that. Annotations, which nobody runs, are left out.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.mutants.__main__ import PRELOADED, Run, copies, dates
from tests.mutants.mistakes import PACKAGE, ROOT

ONE_TEST = 40.0
"""Seconds that one test may take with a mutant; the slowest takes four."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some files, and the tests that are to notice their mutants, quick ones first."""

    name: str
    files: str
    """Below the package, as a pattern."""
    tests: tuple[str, ...]


PARTS = (
    Part(
        "core",
        "core/*.py",
        (
            "tests/core/test_rules_of_clocks.py",
            "tests/core/test_rules_of_contending.py",
            "tests/core/test_rules_of_observation.py",
            "tests/core/test_rules_of_own_records.py",
            "tests/core/test_rules_of_short_records.py",
            "tests/core/test_rules_of_watching.py",
            "tests/core/test_rules_of_outcomes.py",
            "tests/core/test_rules_of_writing.py",
            "tests/core/test_assumed.py",
            "tests/core/test_annotated_token.py",
            "tests/core/test_observation.py",
            "tests/core/test_in_flight.py",
            "tests/core/test_states.py",
            "tests/core/test_term.py",
            "tests/core/test_timing.py",
            "tests/core/test_annotations.py",
            "tests/core/test_contending.py",
            "tests/core/test_election_state.py",
            "tests/core/test_record.py",
            "tests/test_scenarios.py",
            "tests/core/test_election_machine.py",
        ),
    ),
    Part(
        "engine",
        "engine/*.py",
        (
            "tests/engine/test_requests.py",
            "tests/engine/test_clocks.py",
            "tests/engine/test_waking.py",
            "tests/engine/test_calls.py",
            "tests/engine/test_driver.py",
            "tests/engine/test_engine.py",
        ),
    ),
    Part(
        "leadership",
        "lifecycle/base_term.py",
        (
            "tests/lifecycle/test_term_work.py",
            "tests/lifecycle/test_scopes.py",
            "tests/lifecycle/test_elections.py",
        ),
    ),
    Part(
        "front",
        "lifecycle/base_elector.py",
        (
            "tests/settings/test_options.py",
            "tests/test_parity.py",
            "tests/lifecycle/test_handlers.py",
            "tests/lifecycle/test_elections.py",
        ),
    ),
    Part(
        "run",
        "cli/supervise/*.py",
        (
            "tests/cli/supervise/test_restart_policy.py",
            "tests/cli/supervise/test_run_command.py",
            "tests/cli/supervise/test_run_leadership.py",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed place, as cosmic-ray names it."""

    part: Part
    file: str
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.file}: {self.operator.removeprefix('core/')} {self.occurrence}"

    def code(self, right: str) -> str | None:
        """Return the source with the change; None where it makes none."""
        return mutate_code(right, get_operator(self.operator)(), self.occurrence)


def unrun_places(right: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where annotations begin and end: (line, column), as cosmic-ray counts."""
    found = []
    for node in ast.walk(ast.parse(right)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                begin = (part.lineno, part.col_offset)
                found.append((begin, (part.end_lineno, part.end_col_offset)))
    return found


def mutants_of(part: Part) -> Iterator[Mutant]:
    """Return every mutant of a part."""
    for path in sorted((ROOT / "src" / PACKAGE).glob(part.files)):
        right = path.read_text(encoding="utf-8")
        unrun, tree, lines = unrun_places(right), get_ast(right), right.splitlines()
        for name in operator_names():
            kind = get_operator(name)
            if kind.arguments():
                continue
            places = [
                start
                for node in ast_nodes(tree)
                for start, _ in kind().mutation_positions(node)
            ]
            for occurrence, start in enumerate(places):
                # Nor is the star of a signature, which stands before a comma, a product.
                star = lines[start[0] - 1][start[1] :].startswith("*,")
                if not star and not any(b <= start < end for b, end in unrun):
                    file = str(path.relative_to(ROOT / "src" / PACKAGE))
                    yield Mutant(part, file, name, occurrence)


def survives(copy: Path, mutant: Mutant, code: str, right: str) -> bool:
    """Tell whether all tests of its part pass with a mutant."""
    path = copy / "src" / PACKAGE / mutant.file
    times = path.stat()
    path.write_text(code, encoding="utf-8")
    second = next(dates)
    os.utime(path, (second, second))
    try:
        status = Run(copy, mutant.part.tests, limit=ONE_TEST).wait()
    finally:
        path.write_text(right, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return os.waitstatus_to_exitcode(status) == 0


def change(right: str, code: str, file: str) -> str:
    """Return the change as people read it."""
    lines = difflib.unified_diff(
        right.splitlines(), code.splitlines(), file, file, n=0, lineterm=""
    )
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def draw(parts: list[Part], seed: int) -> list[Mutant]:
    """Return all mutants of these parts, in an order that a seed repeats."""
    found = [mutant for part in parts for mutant in mutants_of(part)]
    random.Random(seed).shuffle(found)  # noqa: S311 - a sample, no secret
    return found


def main(words: list[str]) -> int:
    """Try mutants for as long as was asked for, and tell which of them live."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=8 * 3600.0)
    parser.add_argument("--seed", type=int, default=int(time.time_ns() % 10_000))
    parser.add_argument("parts", nargs="*", metavar="PART", help="all unless named")
    asked = parser.parse_args(words)
    parts = [part for part in PARTS if not asked.parts or part.name in asked.parts]
    mutants = draw(parts, asked.seed)
    print(f"{len(mutants)} mutants can be made; seed {asked.seed}", flush=True)
    for name in PRELOADED:
        importlib.import_module(name)
    tried = {part.name: 0 for part in parts}
    lived = {part.name: 0 for part in parts}
    with copies(1) as (copy,):
        for part in parts:
            run = Run(copy, part.tests, limit=120.0)
            if run.wait() != 0:
                raise SystemExit(
                    f"Without any mutant the tests of {part.name} fail:\n{run.output}"
                )
        until = time.monotonic() + asked.seconds
        for mutant in mutants:
            if time.monotonic() >= until:
                break
            right = (copy / "src" / PACKAGE / mutant.file).read_text(encoding="utf-8")
            code = mutant.code(right)
            if code is None or code == right:
                continue
            tried[mutant.part.name] += 1
            if sum(tried.values()) % 50 == 0:
                print(
                    f"{sum(tried.values())} tried, {sum(lived.values())} live ...",
                    flush=True,
                )
            if survives(copy, mutant, code, right):
                lived[mutant.part.name] += 1
                print(
                    f"LIVES: {mutant}\n{change(right, code, mutant.file)}", flush=True
                )
    for name, number in tried.items():
        share = 100 * lived[name] / max(1, number)
        print(f"{name:<12}{number:>6} tried{lived[name]:>5} live{share:>7.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
