"""The torture in short: its judge, then real candidates on both servers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from torture.__main__ import embedded, parse, real, torture
from torture.arena import ATTACKS, marked
from torture.judge import judge, read_lives

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

BUDGET = 0.5


def lives_of(folder: Path, **logs: str) -> list:
    """Return the lives in logs given as text, one line of it a mark."""
    found = []
    for name, text in logs.items():
        path = folder / f"{name}.log"
        lines = [line.strip() for line in text.split(";")]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        found += read_lives(path)
    return found


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 3 asked 5 3.1; 3 act 5 -",
                "b": "1 began - 2; 4 asked 6 4.1; 5 asked 6 5.1; 4 act 6 -",
            },
            "",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 4 asked 5 4.1",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "belief overlaps (G1)",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 4 asked 5 4.1",
                "b": "1 began - 2; 3 asked 6 3.1",
            },
            "said yes under token 6",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 3.5 act 5 -",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "work overlaps (G2)",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 1.2 stall - 3.4 gap; 3.5 act 5 -",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1; 1.2 stall - 3.4 gap; 4.0 act 5 -",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "work overlaps (G2)",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 7 1.1; 1.2 stall - 3.4 gap; 3.5 act 7 -",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "the fencing would not refuse",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 7 1.1; 2 asked 7 2.1",
                "b": "1 began - 2; 3 asked 6 3.1; 5 asked 6 5.1",
            },
            "token did not grow (G3)",
        ),
        (
            {
                "a": "1 began - 1; 1 asked 5 1.1",
                "b": "1 began - 2; 3 asked 5 3.1",
            },
            "two lives have token 5",
        ),
        ({"a": "1 began - 1; 2 acquired 5 -; 3 acquired 6 -"}, "unpaired (G4)"),
        ({"a": "1 began - 1; 2 acquired 5 -; 3 lost 4 -"}, "unpaired (G4)"),
        ({"a": "1 began - 1; 2 acquired 5 -; 3 ended - -"}, "without lost"),
        ({"a": "1 began - 1; 2 acquired 5 -; 3 lost 5 x; 4 ended - -"}, ""),
        ({"a": "1 began - 1; 2 acquired 5 -; 9 began - 2; 9 acquired 6 -"}, ""),
        ({"a": "1 began - 1; 2 child - no fork; 3 child - yes c-fork"}, "child of a#1"),
    ],
    ids=[
        "one after the other",
        "two believe",
        "one yes inside another's belief",
        "work in another's term",
        "work just after a standstill",
        "work long after a standstill",
        "work after a standstill with the larger token",
        "tokens that fall",
        "one token, two lives",
        "acquired twice",
        "lost of another term",
        "ended while it led",
        "ended in good order",
        "killed while it led",
        "child that leads",
    ],
)
def test_judge_finds_what_it_says_and_nothing_else(tmp_path, logs, said):
    """A judge that cannot find anything proves nothing."""
    verdict = judge(lives_of(tmp_path, **logs), stop_budget=BUDGET)
    if said:
        assert said in "\n".join(verdict.violations)
    else:
        assert verdict.violations == []


def test_line_that_was_torn_by_a_kill_is_left_out(tmp_path):
    """A worker may die in the middle of a line."""
    (tmp_path / "a.log").write_text("1 began - 1\n2 asked 5 2.1\n3 ask", "utf-8")
    (life,) = read_lives(tmp_path / "a.log")
    assert life.asked == {5: [(2.0, 2.1)]}


def test_attacks_can_be_left_out_and_unknown_ones_are_refused(capsys):
    """A name that is mistyped would else leave nothing out."""
    assert parse(["--without", "forks,held"]).without == {"forks", "held"}
    with pytest.raises(SystemExit):
        parse(["--without", "forkz"])
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_candidates_under_torture_never_lead_both(
    tmp_path: Path, tell: Callable[[str], None], request: pytest.FixtureRequest, kind
) -> None:
    """
    G1 to G5 for processes, faults 01, 02, 06, 15, 25, 28, 29, 30, 39 and 40.

    Frozen, killed, forked and lied to for 40 s.
    """
    said: list[str] = []
    with ExitStack() as stack:
        if kind == "embedded":
            server = stack.enter_context(embedded(tmp_path))
        else:
            request.getfixturevalue("start_control_plane")  # skips where there is none
            server = stack.enter_context(real())
        violations = torture(
            [server], tmp_path, seconds=40, seed=1, candidates=3, say=said.append
        )
    assert violations == [], "\n".join(said)
    # Nothing is left behind, children that hung when they were forked neither.
    assert marked(f"TMPDIR={tmp_path / kind}".encode()) == []
    assert any(attack in said[-1] for attack in ATTACKS)
    tell(said[-1].partition("\n")[0])
