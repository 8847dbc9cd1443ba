"""One-line mistakes of the core: random worlds alone find most of them, some at once."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.world import run_plan
from tests.simulation import core_mistakes
from tests.simulation.core_mistakes import (
    MISTAKES,
    SHARE,
    Mistake,
    mistaken,
    planted,
    read_mistakes,
    search,
)

QUICK = [
    name
    for name, mistake in MISTAKES.items()
    if (mistake.worlds or 99) <= (4 if mistake.with_proof else 12)
]
"""What was found within few worlds; the others are for ``make core-mistakes``."""
WORLDS = 40
"""In so many worlds at most: another version of the core lives other lives."""


@pytest.mark.parametrize("name", QUICK)
def test_worlds_find_a_mistake_of_the_core(name):
    """A core with one line changed breaks a guarantee within a few worlds."""
    found = search(name, WORLDS)
    assert found is not None, "the worlds or their checkers have become weaker"


@pytest.mark.parametrize(
    ("name", "guarantee"),
    [
        ("overtaken 404 is believed", "G8"),
        ("a watch that has passed what is seen is kept", "G7"),
        ("a watch is kept when the Lease that it brought is gone", "G7"),
    ],
)
def test_worlds_of_old_news_find_who_goes_by_them(name, guarantee):
    """Rules 11 and 16: answers that are overtaken, and watches that a restore silenced."""
    election = mistaken(MISTAKES[name])
    plans = [make_plan(seed, "old news") for seed in range(6)]
    found = [run_plan(plan, make_election=election).violations for plan in plans]
    assert guarantee in {v.guarantee for violations in found for v in violations}


def test_each_mistake_is_one_of_the_core_as_it_is():
    """A text that the core does not have any more is put right in the list."""
    for mistake in MISTAKES.values():
        compile(planted(mistake), f"core/{mistake.module}.py", "exec")


@pytest.mark.parametrize("with_proof", [False, True])
def test_there_are_mistakes_enough_and_most_of_them_are_found(with_proof):
    """At least 45 of each kind, and of them no fewer than the share that is promised."""
    kind = [
        mistake for mistake in MISTAKES.values() if mistake.with_proof is with_proof
    ]
    found = [mistake for mistake in kind if mistake.worlds is not None]
    assert len(kind) >= 45
    assert len(found) >= SHARE * len(kind)
    assert all(0 < mistake.worlds <= 5000 for mistake in found)


@pytest.mark.parametrize(
    ("right", "times"), [("no such line", 0), ("standing = self._standing", r"\d\d?")]
)
def test_mistake_whose_text_is_not_there_once_is_refused(right, times):
    """What is replaced is in the core exactly once."""
    mistake = Mistake(name="m", module="observed", right=right, wrong="pass")
    with pytest.raises(ValueError, match=f"'m': its text is {times} times in"):
        mistaken(mistake)


def test_mistake_that_uses_a_name_that_is_not_there_is_refused(monkeypatch):
    """Any world finds that, and nothing of the checkers is shown by it."""
    right = (
        "self._retry.answered()\n        snapshot = rec.read_snapshot(message.lease)\n"
    )
    wrong = right.replace("message", "massage")
    mistake = Mistake(name="m", module="outcomes", right=right, wrong=wrong)
    monkeypatch.setitem(MISTAKES, "m", mistake)
    with pytest.raises(ValueError, match=r"'m' is none of the rules: .*'massage'"):
        search("m", 1)


@pytest.mark.parametrize(
    "text",
    ["= standing: x\n-a\n= standing: x\n-b\n", "= standing: x\n+a\n"],
)
def test_list_with_an_entry_that_means_nothing_is_refused(text):
    """Each mistake has a name of its own, and something to replace."""
    with pytest.raises(ValueError, match="'x' is there twice, or replaces nothing"):
        read_mistakes(text)


def test_what_was_measured_is_noted_in_the_list(tmp_path, monkeypatch):
    """How many worlds a mistake took, or survived; all else stays as it is."""
    text = core_mistakes.LIST.read_text(encoding="utf-8")
    copy = tmp_path / "list.txt"
    copy.write_text(text, encoding="utf-8")
    monkeypatch.setattr(core_mistakes, "LIST", copy)
    first, second = list(MISTAKES)[:2]
    core_mistakes.note({first: 4321, second: None}, 400)
    noted = read_mistakes(copy.read_text(encoding="utf-8"))
    assert (noted[first].worlds, noted[first].survived) == (4321, None)
    assert (noted[second].worlds, noted[second].survived) == (None, 400)
    core_mistakes.note({name: MISTAKES[name].worlds for name in (first, second)}, 1)
    assert copy.read_text(encoding="utf-8") == text
