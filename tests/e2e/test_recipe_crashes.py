"""
What the recipes' pages say of a crash: the leader is killed, and another replica leads.

Each recipe runs with its real framework, from a copy that differs from the page in its
times alone, which are short.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from controlplane.processes import wait_until
from server_programs import PATIENCE, Running
from test_recipe_fencing import (
    POSTGRESQL,
    REDIS,
    S3,
    database,
    redis_address,
    s3_variables,
    tables,
)
from test_recipe_gateway import BOT, gateway
from test_recipe_schedulers import SCHEDULERS
from test_recipes import (
    FOLDER,
    RECIPES,
    Recipe,
    check_end,
    first_and_second,
    programs,
    replica,
    server,
    wait_for_work,
    works,
)
from tests.programs import holder

from kubernetes_leader_election.settings import resolve_settings
from kubernetes_leader_election.testing import LeaseServer

__all__ = [
    "database",
    "gateway",
    "programs",
    "redis_address",
    "replica",
    "s3_variables",
    "server",
    "tables",
]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

ALL = {
    **RECIPES,
    **SCHEDULERS,
    "postgresql": POSTGRESQL,
    "redis": REDIS,
    "s3": S3,
    "discord": BOT,
}
"""All recipes whose work goes on until it is ended."""
FAST = resolve_settings(lease_name="shop", preset="fast")
PROMISED = 5.9
"""Seconds from the last renewal to the next leader, as docs/recipes/index.md has it."""
SLACK = 1.0
"""Seconds by which a busy machine may wake a candidate late."""


@pytest.fixture
def variables(request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    """Give what a recipe needs to find its server, which is started for it."""
    match ALL[name].page:
        case "dramatiq" | "rq" | "arq" | "redis":
            address = request.getfixturevalue("redis_address")
            return {"REDIS": address, "RQ_REDIS_URL": address}
        case "postgresql":
            return {"DATABASE": request.getfixturevalue("tables")}
        case "s3":
            return dict(request.getfixturevalue("s3_variables"))
        case "discord":
            return dict(request.getfixturevalue("gateway").variables)
    return {}


@pytest.fixture
def fast(
    replica: Callable[..., Running], tmp_path: Path, variables: dict[str, str]
) -> Callable[..., Running]:
    """Give a function that starts a replica of a recipe, with short times."""

    def start(recipe: Recipe) -> Running:
        copy = tmp_path / recipe.page
        if not copy.exists():
            shutil.copytree(FOLDER / recipe.page, copy)
            shorten(copy)
        return replica(recipe, copy, KLE_PRESET="fast", **variables)

    return start


def shorten(copy: Path) -> None:
    """Give the elector of a recipe short times."""
    for path in copy.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        text = text.replace('lease_name="shop"', 'lease_name="shop", preset="fast"')
        text = text.replace(
            '{"lease_name": "shop"}', '{"lease_name": "shop", "preset": "fast"}'
        )
        path.write_text(text, encoding="utf-8")


def kill_all(replica: Running) -> None:
    """End a replica as the end of its pod does: all of its processes, without a word."""
    # Stopped first, so that none sees another one die, and releases in its exit.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in replica.processes:
            os.kill(pid, number)
    replica.finish()
    wait_until(lambda: not replica.processes, within=PATIENCE, what="all are gone")


def token(replica: Running) -> int:
    """Return the newest fencing token that a replica tells of."""
    told: list[str] = []

    def tells() -> list[str]:  # from a thread of its own, maybe after the first work
        told[:] = re.findall(r"fencing token (\d+)", "\n".join(replica.lines))
        return told

    wait_until(tells, within=PATIENCE, what="it tells of its token")
    return int(told[-1])


def renewed(record: dict[str, str]) -> float:
    """Return when a Lease was renewed, by its holder's clock, which is ours."""
    return datetime.fromisoformat(record["renewTime"]).timestamp()


def wait_for_renewals(server: LeaseServer) -> None:
    """Wait for two renewals: whoever watches by now has surely heard of one of them."""
    for _ in range(2):
        before = renewed(server.lease("shop")["spec"])
        wait_until(
            lambda before=before: renewed(server.lease("shop")["spec"]) > before,
            within=PATIENCE,
            what="the Lease is renewed",
        )


def wait_for_next_leader(
    server: LeaseServer, *, idle: Callable[[], bool]
) -> tuple[float, str]:
    """
    Wait until another one holds the Lease, and see that nobody works before.

    Returns:
        The seconds since the last renewal of the one before, and who it is.

    """
    before = server.lease("shop")["spec"]
    assert before["holderIdentity"], "it was released"

    def followed() -> bool:
        was_idle = idle()
        if server.lease("shop")["spec"]["holderIdentity"] != before["holderIdentity"]:
            return True
        assert was_idle, "another replica worked before it led"
        return False

    wait_until(followed, within=PATIENCE, what="another one leads")
    after = server.lease("shop")["spec"]
    return renewed(after) - renewed(before), after["holderIdentity"]


@pytest.mark.parametrize("name", ALL)
def test_replica_that_was_killed_is_followed_when_its_lease_has_run_out(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """Fault 1: nothing is released; the other one leads in time, with a larger token."""
    recipe = ALL[name]
    first, second = first_and_second(recipe, lambda: fast(recipe))
    wait_for_renewals(server)
    kill_all(first)
    assert "elector-shop-0" in holder(server, "shop")
    done = works(recipe, first)
    gap, leader = wait_for_next_leader(server, idle=lambda: not works(recipe, second))
    assert FAST.lease_duration_sec <= gap <= PROMISED + SLACK
    assert "elector-shop-1" in leader
    wait_for_work(recipe, second)
    assert works(recipe, first) == done
    assert token(second) > token(first)
    second.process.send_signal(signal.SIGTERM)
    check_end(recipe, second, signal.SIGTERM)
