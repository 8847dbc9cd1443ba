"""
Failing worlds: explained in a page of text, and kept so that they never fail again.

A file of regressions has one line for each world that once broke a promise: its seed,
its profile, and why it is there, with commas between. Lines that begin with ``#`` are
for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast, get_args

from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.cores import MakeElection
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Plan, Profile
from kubernetes_leader_election.testing.simulation.shrink import SECONDS, shrink
from kubernetes_leader_election.testing.simulation.timeline import timeline_svg
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import Outcome, run_plan

LINES = 80
"""Lines of a trace that are shown at most: the last ones."""


class Regression(NamedTuple):
    """One world that once broke a promise."""

    seed: int
    profile: Profile
    why: str

    def __str__(self) -> str:
        return f"{self.seed}, {self.profile}, {self.why}"


def read_regressions(path: Path) -> list[Regression]:
    """
    Read a file of regressions; none where there is no such file.

    Raises:
        ValueError: a line is not ``seed, profile, why``.

    """
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        seed, _, rest = line.partition(",")
        profile, _, why = (part.strip() for part in rest.partition(","))
        if not seed.strip().isdigit() or profile not in get_args(Profile) or not why:
            raise ValueError(
                f"{path}:{number}: {line!r} is not `seed, profile, why` with one of "
                f"the profiles {', '.join(get_args(Profile))}"
            )
        found.append(Regression(int(seed), cast("Profile", profile), why))
    return found


def keep_regression(path: Path, outcome: Outcome) -> bool:
    """Add a failed world to a file of regressions; False when it is there already."""
    plan, violation = outcome.plan, outcome.violations[0]
    if any(r[:2] == (plan.seed, plan.profile) for r in read_regressions(path)):
        return False
    text = " ".join(str(violation).split())
    line = Regression(plan.seed, plan.profile, f"found by a soak: {text}")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    return True


def describe(plan: Plan) -> str:
    """Show a plan: who takes part and what goes wrong."""
    lines = []
    for node in plan.nodes:
        versions = ", ".join(str(version) for version in node.versions)
        mixed = f" of versions {versions} in turn" if any(node.versions) else ""
        lines.append(
            f"  {node.name}: {node.kind}{mixed} as {node.settings.identity}, "
            f"from {node.starts:g} s, clock rate {node.rate:g}, {node.timing}"
        )
    lines += [f"  {fault.at:9.3f} s: {fault}" for fault in plan.faults]
    lines.append(f"  {plan.heal_at:9.3f} s: everything heals")
    if plan.probes:
        lines.append(f"  then: {', '.join(plan.probes)}")
    return "\n".join(lines)


def explain(
    plan: Plan,
    *,
    make_election: MakeElection = Election,
    tries: int = 400,
    seconds: float = SECONDS,
    lines: int = LINES,
    pictures: Path | None = None,
) -> str:
    """
    Shrink a failing plan and tell its story: what is left of it, and its trace.

    Args:
        plan: a plan that breaks a guarantee.
        make_election: gives the core that fails in it.
        tries: how many smaller worlds are run at most.
        seconds: how long it is shrunk at most.
        lines: how many lines of the trace are shown at most.
        pictures: a folder in which the shrunk world is drawn, too; the story names
            the file.

    Raises:
        ValueError: ``plan`` breaks nothing.

    """
    small = shrink(plan, make_election=make_election, tries=tries, seconds=seconds)
    recorder = Recorder()
    outcome = run_plan(small, make_election=make_election, recorder=recorder)
    violation = outcome.violations[0]
    drawn = ""
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        path = pictures / f"{plan.profile.replace(' ', '-')}-{plan.seed}.svg"
        title = (
            f"World {plan.seed} ({plan.profile}), shrunk: breaks {violation.guarantee}"
        )
        path.write_text(timeline_svg(recorder, title=title), encoding="utf-8")
        drawn = f"Drawn in {path}\n"
    return (
        f"{violation}\n"
        f"{drawn}"
        f"The world of seed {plan.seed}, profile {plan.profile}, as far as it takes "
        f"to break this ({len(plan.faults)} faults shrunk to {len(small.faults)}, "
        f"{len(plan.nodes)} nodes to {len(small.nodes)}):\n"
        f"{describe(small)}\n"
        f"What happened:\n{recorder.text(last=lines)}"
    )


def explain_seed(
    seed: int,
    profile: Profile = "default",
    *,
    make_election: MakeElection = Election,
    pictures: Path | None = None,
) -> str:
    """Tell the story of the failing world that a seed stands for, as ``explain``."""
    plan = make_plan(seed, profile)
    return explain(plan, make_election=make_election, pictures=pictures)
