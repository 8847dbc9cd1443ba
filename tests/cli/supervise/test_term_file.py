"""What a command is told of its term, and who may believe it."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubernetes_leader_election.cli.supervise import linux, term_file
from kubernetes_leader_election.cli.supervise.term_deadline import Deadline
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.errors import ConfigurationError, NotLeaderError

UNSHARE = shutil.which("unshare")
LONG = 60.0

Changes = dict[str, Any]


def _facts(left: float = LONG, **changes: Any) -> term_file.TermFacts:
    now = linux.read_clocks()
    facts: dict[str, Any] = {
        "lease": "x",
        "namespace": "default",
        "identity": "ada",
        "token": 7,
        "deadline": Deadline(
            now.boottime + left,
            now.monotonic + left,
            now.wall / 1e6 + left,
            now.wall / 1e6 - now.boottime + 5.0,
        ),
        "renew_deadline": LONG,
        "origin": linux.clock_origin(),
    }
    return term_file.TermFacts(**{**facts, **changes})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place of the file that the variable names."""
    path = tmp_path / "term.json"
    monkeypatch.setenv(term_file.FILE_VARIABLE, str(path))
    return path


def _move(monkeypatch: pytest.MonkeyPatch, **clocks: float) -> None:
    """Move the clocks that a reader sees by so many seconds."""
    real = linux.read_clocks()
    moved = Now(
        real.boottime + clocks.get("boottime", 0.0),
        real.monotonic + clocks.get("monotonic", 0.0),
        real.wall + int(clocks.get("wall", 0.0) * 1e6),
    )
    monkeypatch.setattr(term_file, "read_clocks", lambda: moved)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b"9" * 60_000,
        b" " * (1 << 20) + b"{}",
        b'{"lease": "x", "namespace": "n", "identity": "a", "token": 7, "deadline": 1e9}',
    ],
    ids=["empty", "list", "cut", "no text", "deep", "large number", "long", "old form"],
)
def test_term_file_that_is_odd_is_no_leadership(path: Path, content: bytes) -> None:
    """Whatever stands in the file: no traceback, and never a yes."""
    path.write_bytes(content)
    with pytest.raises(NotLeaderError, match="has no term that `run` wrote"):
        term_file.read()


def test_term_file_that_cannot_be_read_says_why(path: Path) -> None:
    """In the words of the system alone, without its number."""
    path.symlink_to(path)
    why = "cannot be read: Too many levels of symbolic links"
    with pytest.raises(NotLeaderError, match=rf"{why}\.$"):
        term_file.read()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1},
        {"version": 2.0},
        {"version": True},
        {"version": None},
        {"token": True},
        {"token": -1},
        {"token": "7"},
        {"lease": None},
        {"identity": 7},
        {"boot_id": None},
        {"time_namespace": 3},
        {"deadline": None},
        {"deadline": True},
        {"deadline": "soon"},
        {"deadline": math.nan},
        {"monotonic_deadline": math.inf},
        {"wall_deadline": 10**400},
        {"wall_ahead_limit": math.inf},
        {"wall_ahead_limit": None},
        {"renew_deadline": math.inf},
        {"renew_deadline": None},
        {"deadline": [1], "wall_deadline": {}},
    ],
    ids=str,
)
def test_term_file_that_was_changed_is_no_leadership(
    path: Path, changes: Changes
) -> None:
    """Each field is checked: its kind, and that a time is a finite number."""
    content = json.loads(_facts().as_text())
    path.write_text(json.dumps({**content, **changes}))
    with pytest.raises(NotLeaderError):
        term_file.read()


@pytest.mark.parametrize("field", list(json.loads(_facts().as_text())))
def test_term_file_that_lacks_a_field_is_no_leadership(path: Path, field: str) -> None:
    """Nothing is guessed: a field that is not there is no default."""
    content = json.loads(_facts().as_text())
    del content[field]
    path.write_text(json.dumps(content))
    with pytest.raises(NotLeaderError):
        term_file.read()


def test_term_file_that_is_a_pipe_is_no_leadership(path: Path) -> None:
    """A pipe without a writer is refused, not waited for."""
    os.mkfifo(path)
    with pytest.raises(NotLeaderError, match="regular file"):
        term_file.read()


@pytest.mark.parametrize("field", ["deadline", "monotonic_deadline"])
def test_deadline_that_no_renewal_gives_is_refused(path: Path, field: str) -> None:
    """No renewal is good for longer than L: such a deadline is of other clocks."""
    content = json.loads(_facts().as_text())
    path.write_text(json.dumps({**content, field: content[field] + 1000.0}))
    with pytest.raises(ConfigurationError, match="other clocks"):
        term_file.read().remaining()


@pytest.mark.parametrize(
    ("clocks", "least", "most"),
    [
        ({}, 55, 60),
        ({"boottime": 50.0, "wall": 50.0}, 5, 10),
        ({"boottime": 50.0, "monotonic": 50.0, "wall": 50.0}, 5, 10),
        ({"wall": 4.0}, 51, 56),
        ({"wall": 6.0}, 0, 0),
        ({"wall": -3600.0}, 55, 60),
        ({"boottime": 61.0, "wall": 61.0}, 0, 0),
        ({"monotonic": 61.0}, 0, 0),
        ({"wall": 61.0}, 0, 0),
    ],
    ids=[
        "nothing happened",
        "a suspend",
        "time went by",
        "the wall clock stepped by less than D - L",
        "the wall clock jumped by more",
        "the wall clock stepped back",
        "over by the boot time",
        "over by the monotonic clock",
        "a paused guest",
    ],
)
def test_check_counts_the_largest_elapsed_time(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clocks: dict[str, float],
    least: float,
    most: float,
) -> None:
    """Rule 14, faults 03, 04 and 19, for a command: each clock can end the term."""
    path.write_text(_facts().as_text())
    _move(monkeypatch, **clocks)
    assert least <= term_file.read().remaining() <= most


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (("other", linux.clock_origin()[1]), "another machine"),
        (("", linux.clock_origin()[1]), "another machine"),
        ((linux.clock_origin()[0], "time:[1]"), "time namespace"),
        ((linux.clock_origin()[0], ""), "time namespace"),
    ],
    ids=["another boot", "no /proc there", "another namespace", "an older kernel"],
)
def test_term_of_other_clocks_is_refused(
    path: Path, origin: tuple[str, str], words: str
) -> None:
    """A copied file, a reboot, another time namespace: an error, never a yes."""
    path.write_text(_facts(origin=origin).as_text())
    with pytest.raises(ConfigurationError, match=words):
        term_file.read().remaining()
    assert term_file.read().token == 7  # is the same everywhere


def test_term_that_is_over_is_over_everywhere(path: Path) -> None:
    """What `run` itself noted as ended needs no clock."""
    path.write_text(_facts(origin=("other", "other")).ended().as_text())
    assert term_file.read().remaining() == 0.0


def test_check_exits_with_2_where_it_cannot_know(call, path: Path) -> None:
    """0 is yes, 1 is no, 2 is: ask elsewhere; each other than 0 stops a script's &&."""
    path.write_text(_facts().as_text())
    assert call("check", "--seconds=5").exit_code == 0
    assert call("check", "--seconds=61").exit_code == 1
    path.write_text(_facts(origin=("other", "other")).as_text())
    refused = call("check", "--seconds=5")
    assert refused.exit_code == 2
    assert "another machine" in refused.stderr
    assert call("token").exit_code == 0


def test_term_off_cluster_has_no_end(call, path: Path) -> None:
    """Where leadership is assumed there is neither token nor deadline."""
    path.write_text(_facts(token=None, deadline=None).as_text())
    assert term_file.read().remaining() == float("inf")
    assert call("check", "--seconds=1000").exit_code == 0


def test_elected_term_without_a_token_does_not_look_off_cluster(
    call, path: Path
) -> None:
    """G3: `none` stands for the token, and `kle token` says why there is none."""
    facts = _facts(token=None)
    path.write_text(facts.as_text())
    assert facts.variables(path)["LEADER_ELECTION_TOKEN"] == "none"
    assert term_file.read() == facts
    assert "not numbers" in call("token").stderr
    path.write_text(facts.ended().as_text())
    assert "the term is over" in call("token").stderr
    assert (
        _facts(token=None, deadline=None).variables(None)["LEADER_ELECTION_TOKEN"] == ""
    )


def test_term_without_a_file_is_known_by_its_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no folder is writable: the deadline at the start still holds, and no later."""
    for name, value in _facts().variables(None).items():
        monkeypatch.setenv(name, value)
    assert term_file.read().token == 7
    assert 55 < term_file.read().remaining() <= 60
    _move(monkeypatch, boottime=60.0)
    assert term_file.read().remaining() <= 0


@pytest.mark.parametrize("value", [None, "", "soon", "{}"])
def test_term_without_a_file_is_none_without_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """The variable is read as the file is: what is odd is no leadership."""
    for name, text in _facts().variables(None).items():
        monkeypatch.setenv(name, text)
    if value is None:
        monkeypatch.delenv(term_file.TERM_VARIABLE)
    else:
        monkeypatch.setenv(term_file.TERM_VARIABLE, value)
    with pytest.raises(NotLeaderError):
        term_file.read()


def test_deadline_in_the_variables_is_never_a_later_one() -> None:
    """G2: three digits are what fits into a variable, and the rest is cut off."""
    facts = _facts(deadline=Deadline(9.9999, 9.9999, 9.9999, 1.0))
    assert facts.variables(None)["LEADER_ELECTION_DEADLINE"] == "9.999"


def test_term_file_goes_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes folders and no text: the next place is tried, nothing is left."""
    full, free = tmp_path / "full", tmp_path / "free"
    full.mkdir()
    free.mkdir()
    write = Path.write_bytes

    def refuse(path: Path, data: bytes) -> int:
        if full in path.parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setenv("TMPDIR", str(full))
    monkeypatch.setattr(term_file, "FOLDERS", (str(free),))
    file = term_file.TermFile()
    assert file.folder.parent == free
    assert list(full.iterdir()) == []
    file.remove()
    assert list(free.iterdir()) == []


def test_term_that_is_over_is_told_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G1: where the end cannot be written the file goes, and `check` says no at once."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = term_file.TermFile()
    file.write(_facts())
    monkeypatch.setenv(term_file.FILE_VARIABLE, str(file.path))

    def refuse(path: Path, *_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match="No space"):
        file.write(_facts())
    assert term_file.read().remaining() > 0  # the older deadline still holds
    with pytest.raises(OSError, match="No space"):
        file.write(_facts().ended())
    with pytest.raises(NotLeaderError, match="over"):
        term_file.read()


def test_clocks_of_run_count_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 14, fault 03: `run` and what it tells go by CLOCK_BOOTTIME, which slept."""
    real = time.clock_gettime

    def slept(clock: int) -> float:
        return real(clock) + (1000.0 if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", slept)
    now = linux.read_clocks()
    assert linux.boottime() - real(time.CLOCK_BOOTTIME) > 999
    assert now.boottime - now.monotonic - _offset(real) > 999


def _offset(real: Any) -> float:
    """Give how far the boot time is ahead on this machine already."""
    return float(real(time.CLOCK_BOOTTIME) - time.monotonic())


@pytest.mark.slow
@pytest.mark.skipif(
    UNSHARE is None or os.geteuid() != 0,
    reason="a time namespace needs root and `unshare`",
)
@pytest.mark.parametrize(
    "offsets",
    [("--boottime=1000",), ("--boottime=50", "--monotonic=50"), ("--monotonic=9",)],
    ids=["boot time ahead", "both ahead", "monotonic ahead"],
)
def test_check_in_another_time_namespace_is_refused(
    path: Path, offsets: tuple[str, ...]
) -> None:
    """The same file, read by other clocks: exit code 2 and a reason, never a yes."""
    path.write_text(_facts().as_text())
    kle = [sys.executable, "-m", "kubernetes_leader_election"]
    done = subprocess.run(
        [str(UNSHARE), "--time", "--fork", *offsets, *kle, "check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, term_file.FILE_VARIABLE: str(path)},
    )
    assert done.returncode == 2, done
    assert "time namespace" in done.stderr
