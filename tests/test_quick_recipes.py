"""A few recipes with their real frameworks, those that tests have anyway."""

from __future__ import annotations

import signal

import pytest

from tests.node_page import PATIENCE
from tests.programs import (
    ROOT,
    end,
    holder,
    program,
    wait_until_held,
)

FOLDER = ROOT / "recipes"
BEAT = ["-m", "celery", "--quiet", "-A", "shop", "beat", "-l", "INFO", "-S"]
SCHEDULER = "kubernetes_leader_election.contrib.celery:LeaderScheduler"
LEADERS = {
    "celery": (("celery", *BEAT, SCHEDULER), 0),
    "kr8s": (("controllers", "with_kr8s.py"), 143),
    "lightkube": (("controllers", "with_lightkube.py"), 143),
}
"""Folder and words of each, and its exit code after SIGTERM, as its page says."""


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), LEADERS.values(), ids=LEADERS)
def test_recipe_hands_over_at_a_rollout(lease_server, tmp_path, words, code):
    """SIGTERM to the one that leads: the other one does, and then nobody."""
    folder, *command = words
    server, cwd = lease_server, FOLDER / folder
    # None of them may write beside the recipe.
    with (
        program(server, tmp_path / "a", "-B", *command, cwd=cwd) as one,
        program(server, tmp_path / "b", "-B", *command, cwd=cwd) as two,
    ):
        first = wait_until_held(server, "shop", one)
        led, follows = (one, two) if first.endswith(f"-{one.pid}") else (two, one)
        _, errors, ended = end(led, signal.SIGTERM)
        assert ended == code, errors
        second = wait_until_held(server, "shop", follows)
        assert second.endswith(f"-{follows.pid}")
        _, errors, ended = end(follows, signal.SIGTERM)
        assert ended == code, errors
    assert holder(server, "shop") == ""


def test_recipe_of_migrations_migrates_once(lease_server, tmp_path):
    """The second replica finds nothing to do, and both end by themselves."""
    told = []
    words = ("-B", "migrate.py", tmp_path / "database")
    for _ in range(2):
        kubeconfig, cwd = tmp_path / "kubeconfig", FOLDER / "migrations"
        with program(lease_server, kubeconfig, *words, cwd=cwd) as replica:
            output, errors = replica.communicate(timeout=PATIENCE)
        assert replica.returncode == 0, errors
        told.append(output)
    assert told == ["migrated\n", "nothing to migrate\n"]
    assert holder(lease_server, "shop-migration") == ""
