"""The picture of a run: every process, every belief, every fault, every violation."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from kubernetes_leader_election.testing.belief_log import BeliefLog, read_log
from kubernetes_leader_election.testing.simulation.assumptions import Violation
from kubernetes_leader_election.testing.simulation.generate import make_plan
from kubernetes_leader_election.testing.simulation.timeline import (
    belief_logs_svg,
    main,
    timeline_svg,
)
from kubernetes_leader_election.testing.simulation.trace import Recorder
from kubernetes_leader_election.testing.simulation.world import run_plan


def texts(svg):
    """Give all texts of a picture."""
    root = ET.fromstring(svg)  # noqa: S314 - our own file
    return [node.text for node in root.iter() if node.tag.endswith("}text")]


def test_picture_shows_each_process_and_each_violation():
    """G1: a broken guarantee is seen at once, with its time and its name."""
    recorder = Recorder()
    run_plan(make_plan(11), recorder=recorder)
    recorder.violation(Violation(20.0, "G1", "a", "leads while b still believes"))
    svg = timeline_svg(recorder, title="<odd> & title")
    shown = texts(svg)
    assert "<odd> & title" in shown
    assert "breaks G1" in shown
    assert {span.who for span in recorder.lives} <= set(shown)
    assert {span.text for span in recorder.faults} <= set(shown)


def test_picture_of_real_processes_is_drawn_from_their_logs(tmp_path):
    """Belief logs of processes that ran are drawn in the same way."""
    for name in ("one", "two"):
        log = BeliefLog(tmp_path / f"{name}.log")
        log.note("began")
        log.check("belief", lambda: True)
        log.check("work", lambda: True)
        log.check("belief", lambda: False)
        log.close()
    logs = {name: read_log(tmp_path / f"{name}.log") for name in ("one", "two")}
    svg = belief_logs_svg(logs)
    assert {"one", "two"} <= set(texts(svg))
    belief_bars = svg.count('height="14.0" fill="#') - 2  # less those of the legend
    assert belief_bars == 2


def test_command_draws_a_seed_and_logs_and_says_where(tmp_path):
    """The path that is printed is the path of the picture."""
    out = tmp_path / "run.svg"
    package = "kubernetes_leader_election.testing.simulation"
    command = [sys.executable, "-W", "error", "-m", package, "11", "-o", str(out)]
    told = subprocess.check_output(command, text=True)  # noqa: S603 - our own command
    assert told == f"{out}\n"
    assert any(text.startswith("World 11") for text in texts(out.read_text()))
    log = tmp_path / "w.log"
    log.write_text("1.0 belief yes\n2.0 belief no\n")
    assert main(["--logs", str(log), "-o", str(out)]) == 0
    assert "w" in texts(out.read_text())


def test_command_wants_a_seed_or_logs():
    """Neither, or both, is refused."""
    with pytest.raises(SystemExit):
        main([])
