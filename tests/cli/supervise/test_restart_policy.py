"""What `run` decides, without any process: health, delays, exit codes, addresses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from kubernetes_leader_election.cli.supervise import linux, restart_policy
from kubernetes_leader_election.cli.supervise.health import (
    Fitness,
    HealthPlan,
    check_command,
)
from kubernetes_leader_election.cli.supervise.wiring import StderrLog


def _fitness(*, always: bool = True) -> Fitness:
    return Fitness(
        HealthPlan(
            command="true",
            url=None,
            interval=1.0,
            timeout=1.0,
            threshold=3,
            start_period=10.0,
            always=always,
            unhealthy_timeout=60.0,
        )
    )


def test_candidate_is_fit_only_after_its_first_success():
    """A candidate that is checked proves itself first; one that is not, is trusted."""
    fitness = _fitness()
    assert not fitness.fit
    fitness.take(ok=True, now=0.0)
    assert fitness.fit
    assert _fitness(always=False).fit


def test_leader_is_unfit_after_failures_in_a_row():
    """The threshold counts failures in a row; a success in between forgives them."""
    fitness = _fitness()
    for ok in (True, False, False, True, False, False):
        fitness.take(ok=ok, now=0.0)
    assert fitness.fit
    fitness.take(ok=False, now=0.0)
    assert not fitness.fit


def test_command_may_fail_its_checks_while_it_starts():
    """Until its first success, or the end of the start period, failures do not count."""
    fitness = _fitness(always=False)
    fitness.started(100.0)
    for now in (101.0, 102.0, 103.0, 109.9):
        fitness.take(ok=False, now=now)
    assert fitness.fit
    for now in (110.0, 111.0, 112.0):
        fitness.take(ok=False, now=now)
    assert not fitness.fit


def test_unhealthy_candidate_contends_when_nobody_led_for_long():
    """All unhealthy: after the time that is set they contend all the same."""
    fitness = _fitness()
    fitness.look(someone_leads=False, now=0.0)
    fitness.look(someone_leads=True, now=50.0)
    fitness.look(someone_leads=False, now=60.0)
    fitness.look(someone_leads=False, now=119.9)
    assert not fitness.fit
    fitness.look(someone_leads=False, now=120.0)
    assert fitness.fit
    assert fitness.desperate
    fitness.take(ok=True, now=121.0)
    assert fitness.fit
    assert not fitness.desperate


def test_health_command_that_hangs_has_failed():
    """A check that takes too long is ended, and counts as failed."""
    assert check_command(["true"], 5.0, {}) == ""
    assert check_command(["false"], 5.0, {}) == "exit code 1"
    assert "longer" in check_command(["sleep", "60"], 0.05, {})


def _a_loop(folder):
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    return folder / "one"


def _a_pipe(folder):
    os.mkfifo(folder / "pipe", 0o755)
    return folder / "pipe"


def _a_file(folder, mode=0o755, name="program"):
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(mode)
    return folder / name


def _below_a_file(folder):
    return _a_file(folder) / "program"


def _to_nowhere(folder):
    (folder / "link").symlink_to(folder / "nothing")
    return folder / "link"


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (_a_loop, 126, "Too many levels of symbolic links"),
        (_a_pipe, 126, "Permission denied"),
        (lambda folder: _a_file(folder, 0o644), 126, "Permission denied"),
        (lambda folder: folder / ("x" * 256), 126, "File name too long"),
        (lambda folder: folder, 126, "Is a directory"),
        (_below_a_file, 127, "not found"),
        (_to_nowhere, 127, "not found"),
    ],
)
def test_command_that_cannot_be_run_is_found_out_before_any_election(
    tmp_path, make, code, words
):
    """126 and 127 as shells give them: 126 where something is there, or may be."""
    found, text = restart_policy.find_problem(str(make(tmp_path)))
    assert (found, words in text) == (code, True), text


@pytest.fixture
def locked(tmp_path):
    """Give a folder that may not be searched, with a program in it."""
    folder = tmp_path / "locked"
    folder.mkdir()
    _a_file(folder)
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may search everything
    yield folder
    if user == 0:
        os.seteuid(0)
    folder.chmod(0o755)


@pytest.mark.parametrize("by_path", [False, True], ids=["by its name", "by PATH"])
def test_command_in_a_folder_that_may_not_be_searched_is_not_missing(
    locked, monkeypatch, by_path
):
    """As execvp(3) and shells have it: 126, since it may well be there."""
    monkeypatch.setenv("PATH", f"/no/such/folder:{locked}")
    command = "program" if by_path else str(locked / "program")
    code, text = restart_policy.find_problem(command)
    assert code == 126
    assert text.endswith("program: Permission denied.")


def test_command_is_found_behind_what_cannot_be_run(tmp_path, monkeypatch):
    """A folder, or a file without the right, of its name is not the end of the search."""
    places = [tmp_path / name for name in ("a", "b", "c")]
    for target in places:
        target.mkdir()
    (places[0] / "program").mkdir()
    _a_file(places[1], 0o644)
    monkeypatch.setenv("PATH", ":".join(map(str, places)))
    assert restart_policy.find_problem("program")[0] == 126
    _a_file(places[2])
    assert restart_policy.find_problem("program") is None


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("never", 1, False),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("always", 0, True),
    ],
)
def test_restart_follows_its_policy(policy, code, again):
    """--restart says for which exit codes a command is started again."""
    assert restart_policy.restarts(policy, code) is again


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (0, 0, "exited with 0"),
        (7 << 8, 7, "exited with 7"),
        (signal.SIGKILL, 137, "was ended by SIGKILL"),
        (signal.SIGTERM, 143, "was ended by SIGTERM"),
        (63, 191, "was ended by signal 63"),
    ],
)
def test_exit_code_of_a_command_is_that_of_shells(status, code, words):
    """128 + n for signal n; said in words, too."""
    assert restart_policy.code_of(status) == code
    assert restart_policy.describe(status) == words


def test_log_of_run_names_options_as_they_are_given(capfd):
    """What the library advises can be typed: --stop-budget-sec, not stop_budget_sec."""
    StderrLog(quiet=False).error("raise stop_budget_sec (now %g s)", 1)
    assert capfd.readouterr().err == "kle: raise --stop-budget-sec (now 1 s)\n"


@pytest.mark.slow
def test_descendants_are_found_below_this_process_alone():
    """Children and their children, with parents first; nobody else."""
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    process = subprocess.Popen([sys.executable, "-S", "-c", code])
    try:
        while len(linux.descendants(process.pid)) < 1:
            assert process.poll() is None
        (sleeper,) = linux.descendants(process.pid)
        own = [p.pid for p in linux.descendants(os.getpid())]
        assert own.index(process.pid) < own.index(sleeper.pid)
        assert linux.descendants(1) == []
    finally:
        linux.signal_all(linux.descendants(process.pid), signal.SIGKILL)
        process.kill()
        process.wait()
