"""``check``: its exit code is the answer, whatever else it says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kubernetes_leader_election.cli.supervise import term_file


@pytest.mark.parametrize("output", ["text", "json", "quiet"])
@pytest.mark.parametrize(
    ("left", "needed", "code"),
    [
        (10.0, None, 0),
        (10.0, "10", 0),
        (10.0, "10.001", 1),
        (0.0, None, 1),
        (-1.0, "0", 1),
        (float("inf"), "1e6", 0),
    ],
    ids=["enough", "just enough", "too little", "over", "long over", "no end"],
)
def test_check_asks_for_the_time_that_is_needed(
    call, monkeypatch, left, needed, code, output
):
    """G2: yes only if the term is not over, and has as much left as is asked for."""
    term = SimpleNamespace(remaining=lambda: left)
    monkeypatch.setattr(term_file, "read", lambda: term)
    words = [] if needed is None else [f"--seconds={needed}"]
    words.append("--quiet" if output == "quiet" else f"--output={output}")
    assert call("check", *words).exit_code == code
