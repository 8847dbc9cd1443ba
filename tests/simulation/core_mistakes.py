"""
One-line mistakes of the core, as replacements of its text.

Written by going through the core line by line: each condition dropped or turned round,
each clock, uid and version taken for another, each thing that protects something left
out. A mistake is found when a world breaks a guarantee with it; which worlds are tried
says :func:`worlds`. A text that is not found exactly once fails loudly, so that the list
is kept when the core changes.

Not here is what changes nothing that anybody could see from outside:

- the request ids of answers are not compared: a driver passes no answer on that was
  abandoned, and there is one request of a kind at a time;
- CLOCK_MONOTONIC is left out of a belief: it never shows more than CLOCK_BOOTTIME;
- a belief without the limit of how far the wall clock may be ahead: its deadline by the
  wall clock, which is no later, ends a term that a pause outlasted;
- later tries of a term are forgotten when one is confirmed: each is on a version that
  the confirmed one replaced, so none can land;
- doubt is not ended by a proof, or by the end of a release: the read that is due ends it
  a moment later, or the state that follows does;
- a wish to step down is heard while draining: it is for this very term;
- a release goes on after the driver failed: the same write is made, or given up;
- a write under way is not forgotten with its term: its answer finds no term;
- a term counts as alive that was seen so before the Lease went back: when the distrust
  is over, its record has run out, or was renewed since, which shows it alive anyway;
- who may not contend seeks a proof, or asks: the states in which that is done are left
  by the very words that forbid it;
- a proof is not void when the Lease is gone: nothing is noted then, and whatever is
  created next is a change of the record, which voids it;
- the proof of a pod that is watched no more counts: as with the ids of other answers.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.plan import Profile
from kubernetes_leader_election.testing.simulation.world import run_plan
from kubernetes_leader_election.values import hasten

CORE: Final = Path(messages.__file__).parent
LIST: Final = Path(__file__).with_suffix(".txt")
_HEAD: Final = re.compile(
    r"(\w+)( with proof)?: (.+?)(?: \[(>?)(\d+)\])?",
).fullmatch
COPIED: Final = (
    "timing",
    "record",
    "annotations",
    "pod_notes",
    "states",
    "observation",
    "in_flight",
    "term",
    "own_writes",
    "cut_record",
    "gap",
    "notices",
    "participation",
    "retry",
    "schedule",
    "watch_policy",
    "contending",
    "hearing",
    "challenge",
    "standing",
    "observed",
    "outcomes",
    "commands",
    "lease_writes",
    "conclusions",
    "election",
)
"""Modules of a mistaken core, lower ones first; messages are shared with the worlds."""

ORDER: Final[tuple[Profile, ...]] = (
    "hands",
    "default",
    "quiet",
    "words",
    "hands",
    "default",
    "default",
    "slow sends",
    "hands",
    "crowd",
    *("default", "hands", "default", "rivals", "default", "storm") * 2,
    *("default", "default", "words", "hands", "races", "races"),
    *("meddling", "meddling", "old news"),
)
"""Profiles in the order in which their worlds are tried, again and again."""

WITH_PROOF: Final[tuple[Profile, ...]] = (
    *("proofs", "lies", "proofs", "answered lies", "lies", "proofs"),
    *("lies", "answered lies", "proofs", "lies"),
)
"""The same for mistakes of the take-over with proof, which few other worlds reach."""

SHARE: Final = 0.85
"""
Share of the mistakes that 5,000 worlds have to find at least.

Of those of the take-over with proof, and of all others: of each by itself.
"""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One line of the core, and what is written there instead."""

    name: str
    module: str
    right: str
    wrong: str
    worlds: int | None = None
    """How many worlds it took when that was measured; None: it was not found."""
    survived: int | None = None
    """How many worlds it survived; None: it was found, or that was not measured."""
    with_proof: bool = False
    """Whether it is one of the take-over with proof, and looked for in its worlds."""

    @property
    def head(self) -> str:
        """Return what the list names it by."""
        return f"= {self.module}{' with proof' * self.with_proof}: {self.name}"

    @property
    def order(self) -> tuple[Profile, ...]:
        """Return the profiles whose worlds it is looked for in, one after the other."""
        return WITH_PROOF if self.with_proof else ORDER


def planted(mistake: Mistake) -> str:
    """
    Return the text of a mistake's module with the mistake in it.

    Raises:
        ValueError: the core does not have the text, or has it more than once.

    """
    text = (CORE / f"{mistake.module}.py").read_text(encoding="utf-8")
    found = text.count(mistake.right)
    if found != 1:
        msg = f"{mistake.name!r}: its text is {found} times in core/{mistake.module}.py"
        raise ValueError(msg)
    return text.replace(mistake.right, mistake.wrong)


def mistaken(mistake: Mistake) -> type[Election]:
    """
    Return a core with one mistake: a copy of the real one under another name.

    Raises:
        ValueError: the core does not have the text, or has it more than once.

    """
    package = f"mistaken_core_{next(_numbers)}"
    parent = ModuleType(package)
    parent.__path__ = []
    sys.modules[package] = parent
    sys.modules[f"{package}.messages"] = messages
    parent.messages = messages
    for name in COPIED:
        if name == mistake.module:
            text = planted(mistake)
        else:
            text = (CORE / f"{name}.py").read_text(encoding="utf-8")
        if name == "states":
            # The worlds compare states with those of the real core.
            text, cuts = re.subn(
                r"(?s)class State\(enum.Enum\):.*?(?=# Members by names)",
                "from kubernetes_leader_election.core_.states import Fact, State\n",
                text,
            )
            assert cuts == 1
        text = text.replace("kubernetes_leader_election.core.", f"{package}.")
        text = text.replace(
            "kubernetes_leader_election.core import", f"{package} import"
        )
        text = text.replace(
            "kubernetes_leader_election.core_.", "kubernetes_leader_election.core."
        )
        module = ModuleType(f"{package}.{name}")
        sys.modules[module.__name__] = module
        setattr(parent, name, module)
        code = compile(text, f"{package}/{name}.py", "exec")
        exec(code, module.__dict__)  # noqa: S102 - our own text, with one line changed
    hasten(
        parent.in_flight.PendingRead,
        parent.in_flight.PendingWrite,
        parent.term.Try,
    )
    return parent.election.Election


def read_mistakes(text: str) -> dict[str, Mistake]:
    """
    Read a list of mistakes.

    Raises:
        ValueError: a name is there twice, or there is nothing to replace.

    """
    mistakes: dict[str, Mistake] = {}
    for part in re.split(r"(?m)^= ", text)[1:]:
        head, *lines = part.splitlines()
        module, with_proof, name, more, worlds = _HEAD(head).groups()
        right = [line[1:] for line in lines if line.startswith("-")]
        wrong = [line[1:] for line in lines if line.startswith("+")]
        if name in mistakes or not right:
            msg = f"the mistake {name!r} is there twice, or replaces nothing"
            raise ValueError(msg)
        mistakes[name] = Mistake(
            name=name,
            module=module,
            right="\n".join(right),
            wrong="\n".join(wrong),
            worlds=None if worlds is None or more else int(worlds),
            survived=int(worlds) if more else None,
            with_proof=with_proof is not None,
        )
    return mistakes


MISTAKES: Final = read_mistakes(LIST.read_text(encoding="utf-8"))


def worlds(
    count: int, order: tuple[Profile, ...] = ORDER
) -> Iterator[tuple[Profile, int]]:
    """Give the worlds that a mistake is looked for in, most of them default ones."""
    numbers = {profile: itertools.count() for profile in order}
    for profile in itertools.islice(itertools.cycle(order), count):
        yield profile, next(numbers[profile])


@dataclass(frozen=True, slots=True)
class Found:
    """The first world in which a mistake broke a guarantee."""

    worlds: int
    """How many worlds it took, this one included."""
    profile: Profile
    seed: int
    violation: Violation

    def __str__(self) -> str:
        world = f"{self.profile} {self.seed}"
        return f"found in world {self.worlds} ({world}): {self.violation}"


def search(name: str, count: int) -> Found | None:
    """
    Try so many worlds with a mistake; None: it survived them all.

    A world in which the core as it is fails, too, says nothing about the mistake.

    Raises:
        ValueError: the mistake uses a name that the core does not have, and any world
            finds that.

    """
    mistake = MISTAKES[name]
    election = mistaken(mistake)
    for number, (profile, seed) in enumerate(worlds(count, mistake.order), 1):
        plan = make_plan(seed, profile)
        violations = run_plan(plan, make_election=election).violations
        if violations and "the core raised NameError" in str(violations[0]):
            msg = f"{name!r} is none of the rules: {violations[0]}"
            raise ValueError(msg)
        if violations and not run_plan(plan).violations:
            return Found(number, profile, seed, violations[0])
    return None


def _search(name_and_count: tuple[str, int]) -> tuple[str, Found | None]:
    name, count = name_and_count
    return name, search(name, count)


def note(found: dict[str, int | None], tried: int) -> None:
    """Write down how many worlds each mistake took, or survived of those ``tried``."""
    text = LIST.read_text(encoding="utf-8")
    for name, worlds in found.items():
        head = MISTAKES[name].head
        end = f" [>{tried}]" if worlds is None else f" [{worlds}]"
        text = re.sub(f"(?m)^{re.escape(head)}( \\[>?\\d+\\])?$", head + end, text)
    LIST.write_text(text, encoding="utf-8")


def main() -> None:
    """Look for each mistake, tell which were found, where and by what, and note it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="worlds for each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--only", default="", help="a part of the heads in the list")
    parser.add_argument("--note", action="store_true", help="write it into the list")
    parser.add_argument(
        "--survivors", action="store_true", help="only what was not found before"
    )
    asked = parser.parse_args()
    tasks = [
        (name, asked.seeds)
        for name, mistake in MISTAKES.items()
        if asked.only in mistake.head and not (asked.survivors and mistake.worlds)
    ]
    found: dict[str, int | None] = {}
    with multiprocessing.Pool(asked.jobs) as pool:
        for name, first in pool.imap_unordered(_search, tasks):
            found[name] = None if first is None else first.worlds
            sys.stdout.write(f"{name}: {first or 'SURVIVED'}\n")
            sys.stdout.flush()
            if asked.note:
                note({name: found[name]}, asked.seeds)
    count = sum(worlds is not None for worlds in found.values())
    sys.stdout.write(f"{count} of {len(found)} mistakes found\n")
    if asked.only or asked.survivors:
        return
    for with_proof in (False, True):
        kind = [
            w for name, w in found.items() if MISTAKES[name].with_proof is with_proof
        ]
        if sum(worlds is not None for worlds in kind) < SHARE * len(kind):
            sys.exit(f"fewer than {SHARE:.0%}: the worlds have become weaker")


if __name__ == "__main__":
    main()
