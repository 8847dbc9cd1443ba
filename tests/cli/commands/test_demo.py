"""``kle demo``: its picture, and what it does when a promise is broken."""

from __future__ import annotations

import time

import pytest
from rich.console import Console

from kubernetes_leader_election.cli.demo import story, table
from kubernetes_leader_election.cli.demo.story import BrokenPromiseError, Result


def test_demo_reads_a_log_as_it_grows(tmp_path):
    """A lane takes in whole lines only, each once, and only what was believed."""
    path = tmp_path / "ada.log"
    lane = table.Lane(path, begin=100.0)
    lane.read()
    path.write_bytes(b"100.1 belief yes\n100.6 belief no\n101.2 bel")
    lane.read()
    assert lane.cells == {0}
    with path.open("ab") as file:
        file.write(b"ief yes\n102.0 work yes\n")
    lane.read()
    assert lane.cells == {0, 2}
    assert lane.last == 101.2


def played(monkeypatch, tmp_path, play, *, width: int = 110) -> tuple[table.Stage, str]:
    """Play another story; give the stage and what was drawn."""
    monkeypatch.setattr(story, "play", play)
    monkeypatch.setattr(table, "REDRAW", 0.01)
    console = Console(width=width, height=24, force_terminal=True, record=True)
    stage = table.Stage(tmp_path)
    stage.show(console)
    return stage, console.export_text()


def test_demo_draws_who_leads_and_what_became_of_whom(monkeypatch, tmp_path):
    """The picture shows a leader, a frozen one, a killed one and an API that hangs."""

    def play(folder, tell, introduce):
        crew = story.Crew(folder, folder / "kubeconfig")
        introduce(crew)
        crew.conditions = {"ada": "runs", "bob": "frozen", "cyd": "killed"}
        crew.api = "hangs"
        now = time.monotonic() + 60  # whatever the draws' instants are, it leads
        crew.log_of("ada").write_text(f"{now:.6f} belief yes\n")
        tell("ada leads")
        yield Result("something", 0.012, "soon", kept=True)

    stage, drawn = played(monkeypatch, tmp_path, play)
    assert [result.what for result in stage.results] == ["something"]
    for words in (
        "ada  LEADS",
        "bob  frozen",
        "cyd  killed",
        "API  hangs",
        "ada leads",
    ):
        assert words in drawn
    assert stage.error is None


@pytest.mark.parametrize("width", [60, 80])
def test_demo_fits_the_terminal(monkeypatch, tmp_path, width):
    """The picture is narrower then, and the newest lines of the story are not cut."""

    def play(folder, tell, introduce):
        introduce(story.Crew(folder, folder / "kubeconfig"))
        for number in range(30):
            tell(
                f"what happened as number {number}, told in more than one line {'x' * 40}"
            )
        yield Result("something", 0.012, "soon", kept=True)

    _, drawn = played(monkeypatch, tmp_path, play, width=width)
    last = drawn[drawn.rindex("three processes") :].split("Every promise")[0]
    edges = [line for line in last.splitlines() if line.startswith(("│", "╰"))]
    assert edges
    assert all(line.endswith(("│", "╯")) for line in edges)
    assert max(map(len, edges)) <= width
    assert "as number 29" in last
    assert len(last.splitlines()) <= 24


def test_demo_tells_of_a_broken_promise(monkeypatch, tmp_path):
    """A story that cannot go on ends the drawing with what went wrong."""

    def play(_folder, _tell, _introduce):
        yield Result("something", None, "never", kept=False)
        raise BrokenPromiseError("nobody led")

    stage, _ = played(monkeypatch, tmp_path, play)
    assert stage.error == "nobody led"


def test_demo_exits_with_1_when_a_promise_was_broken(call, monkeypatch):
    """The table says NO and the exit code is 1, in lines as well."""

    def play(_folder, tell):
        tell("once upon a time")
        yield Result("hand-over", 2.5, "under 1 s", kept=False)

    monkeypatch.setattr(story, "play", play)
    result = call("demo")
    assert result.exit_code == 1
    assert "once upon a time" in result.stdout
    assert "2.50 s" in result.stdout
    assert result.stdout.rstrip().endswith("NO")
