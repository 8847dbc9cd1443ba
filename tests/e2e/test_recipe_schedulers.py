"""The recipes of schedulers that share a Redis: each task is sent once, by the leader."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from server_programs import Running
from test_recipe_fencing import redis_address
from test_recipes import (
    RECIPES,
    Recipe,
    first_and_second,
    hand_over,
    programs,
    replica,
    server,
    works,
)

from kubernetes_leader_election.testing import LeaseServer

__all__ = ["programs", "redis_address", "replica", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

SCHEDULERS = {
    "dramatiq": Recipe(
        "dramatiq", "python schedule.py", "sent", terminated=143, interrupted=0
    ),
    "rq": Recipe(
        "rq",
        "kle run shop -- rq cron schedule.py",
        "Enqueued job bill",
        terminated=0,
        interrupted=0,
    ),
    "arq": Recipe("arq", "python worker.py", "bills", terminated=143, interrupted=0),
}
QUEUES = {"dramatiq": "dramatiq:default", "rq": "rq:queue:default"}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_recipe_hands_over_and_sends_each_task_once(
    replica: Callable[..., Running],
    server: LeaseServer,
    programs: Path,
    redis_address: str,
    name: str,
) -> None:
    """As the other recipes; and the queue has as many tasks as were said to be sent."""
    recipe = SCHEDULERS[name]
    address = {"REDIS": redis_address, "RQ_REDIS_URL": redis_address}
    first, second = first_and_second(recipe, lambda: replica(recipe, **address))
    hand_over(recipe, server, first, second)
    if name in QUEUES:
        code = (
            "import redis; connection = redis.Redis.from_url("
            f"{redis_address!r}); print(connection.llen({QUEUES[name]!r}))"
        )
        asked = [str(programs / "python"), "-c", code]
        waiting = int(subprocess.check_output(asked, text=True))
        assert waiting == works(recipe, first) + works(recipe, second)


def test_schedulers_are_no_recipes_without_redis() -> None:
    """Each recipe is started by one test."""
    assert not SCHEDULERS.keys() & RECIPES.keys()
