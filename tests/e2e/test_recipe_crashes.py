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
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
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
    end,
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
SLACK = 6.0
"""Seconds by which a busy machine may wake a candidate late."""


@pytest.fixture
def variables(request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    """Give what a recipe needs to find its server, which is started for it."""
    match name:
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
def copy(tmp_path: Path, name: str) -> Path:
    """Give a copy of a recipe with short times, which a test may change."""
    copy = tmp_path / "copy"
    page = ALL[name].page if name in ALL else name
    shutil.copytree(FOLDER / page, copy)
    shorten(copy)
    return copy


@pytest.fixture
def fast(
    replica: Callable[..., Running], copy: Path, variables: dict[str, str]
) -> Callable[..., Running]:
    """Give a function that starts a replica of that copy."""

    def start(recipe: Recipe, **more: str) -> Running:
        return replica(recipe, copy, **{"KLE_PRESET": "fast", **variables, **more})

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


SECONDLY = {"apscheduler", "apscheduler4", "celery", "celery, run", "dramatiq", "arq"}
"""Recipes that work each second, and do not do late what came due with no leader."""


def exported(replica: Running) -> list[str]:
    """Return the values that a replica of OpenTelemetry's recipe has exported."""
    name = "leader_election_leader "
    return [line.removeprefix(name) for line in replica.lines if line.startswith(name)]


def ask_for_leader(replica: Running) -> str:
    """Ask a server who leads."""
    words = replica.process.args
    assert isinstance(words, list)
    port = words[words.index("--port") + 1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/leader", timeout=10) as found:
        answer: bytes = found.read()
    return answer.decode()


@pytest.mark.parametrize("name", ALL)
def test_replica_that_was_killed_is_followed_when_its_lease_has_run_out(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """Fault 1: nothing is released; the other one leads in time, with a larger token."""
    recipe = ALL[name]
    first, second = first_and_second(recipe, lambda: fast(recipe))
    wait_for_renewals(server)
    if name == "opentelemetry":
        wait_until(lambda: "1" in exported(first), within=PATIENCE, what="it exports")
    kill_all(first)
    assert "elector-shop-0" in holder(server, "shop")
    done = works(recipe, first)
    if name == "fastapi":
        assert "elector-shop-0" in ask_for_leader(second)
    gap, leader = wait_for_next_leader(server, idle=lambda: not works(recipe, second))
    since = time.monotonic()
    assert FAST.lease_duration_sec <= gap <= PROMISED + SLACK
    assert "elector-shop-1" in leader
    wait_for_work(recipe, second)
    if name in SECONDLY:  # what came due between, or just before, is not made up for
        assert works(recipe, second) <= time.monotonic() - since + 2
    assert works(recipe, first) == done
    assert token(second) > token(first)
    second.process.send_signal(signal.SIGTERM)
    check_end(recipe, second, signal.SIGTERM)
    if name == "opentelemetry":  # the value of a leader that was killed gets stale
        assert [exported(replica)[-1] for replica in (first, second)] == ["1", "0"]


WAITING = {"kopf": (143, 0), "celery, run": (143, 130), "rq": (143, 130)}
"""Exit codes of replicas that wait, where they differ: after SIGTERM, after Ctrl-C."""


@pytest.mark.parametrize("name", ALL)
def test_replica_that_waits_ends_quietly(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """Ctrl-C and SIGTERM come to those that do not lead, too; the leader goes on."""
    recipe = ALL[name]
    first, second = first_and_second(recipe, lambda: fast(recipe))
    terminated, interrupted = WAITING.get(name, (recipe.terminated, recipe.interrupted))
    recipe = recipe._replace(terminated=terminated, interrupted=interrupted)
    third = fast(recipe)
    wait_until(
        lambda: "held by 'elector-shop-0" in "\n".join(third.lines),
        within=PATIENCE,
        what="the third replica sees the first one lead",
    )
    end(recipe, second, signal.SIGINT)
    end(recipe, third, signal.SIGTERM)
    assert works(recipe, second) == works(recipe, third) == 0
    assert "elector-shop-0" in holder(server, "shop")
    assert first.process.poll() is None


WORKERS = {
    "django": None,
    "flask": None,
    "gevent": None,
    "uwsgi": None,
    "fastapi": "--workers 2",
}
"""Recipes with a parent that starts workers anew, and the options for that."""


def with_workers(name: str) -> Recipe:
    """Return the recipe, with its workers."""
    options = WORKERS.get(name)
    recipe = ALL[name]
    return recipe._replace(command=f"{recipe.command} {options}") if options else recipe


def children(process: int) -> set[int]:
    """Return the processes that one has started, and that run."""
    tasks = Path(f"/proc/{process}/task/{process}/children")
    return {int(word) for word in tasks.read_text(encoding="ascii").split()}


@pytest.mark.parametrize("name", WORKERS)
def test_workers_that_were_killed_are_followed_by_new_ones(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """The Lease runs out; the parent starts workers anew, and one of these leads."""
    recipe = with_workers(name)
    replica = fast(recipe)
    wait_for_work(recipe, replica)
    leader = int(holder(server, "shop").rpartition("-")[2])
    wait_for_renewals(server)
    old = children(replica.process.pid)
    assert leader in old
    done = works(recipe, replica)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    gap, new = wait_for_next_leader(server, idle=lambda: works(recipe, replica) == done)
    # They wait from when they see the Lease, which is after their start.
    assert FAST.lease_duration_sec <= gap
    assert int(new.rpartition("-")[2]) in children(replica.process.pid) - old
    wait_until(lambda: works(recipe, replica) > done, within=PATIENCE, what="it works")
    assert replica.process.poll() is None


PARENTS = ["django", "flask", "gevent", "uwsgi"]
"""Recipes whose workers end, in order, when they see that their parent is gone."""


@pytest.mark.parametrize("name", PARENTS)
def test_workers_without_a_parent_end_and_release(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """Where only the parent was killed, as no container does it: nobody works twice."""
    recipe = ALL[name]._replace(quiet=False)
    first, second = first_and_second(recipe, lambda: fast(recipe))
    first.process.kill()
    first.finish()
    wait_until(
        lambda: works(recipe, second) or not first.processes,
        within=PATIENCE,
        what="its workers end",
    )
    wait_for_work(recipe, second)
    assert any("gave up leadership" in line for line in first.lines)
    wait_until(lambda: not first.processes, within=PATIENCE, what="all are gone")


@pytest.mark.parametrize("name", ["fastapi"])
def test_workers_without_a_parent_go_on_where_the_page_says_so(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """The leader leads on, and the other replica waits."""
    recipe = with_workers(name)
    first, second = first_and_second(recipe, lambda: fast(recipe))
    leader = holder(server, "shop")
    first.process.kill()
    first.finish()
    wait_for_renewals(server)
    assert holder(server, "shop") == leader
    assert works(recipe, second) == 0
    kill_all(first)
    wait_for_work(recipe, second)


RUN = ["celery, run", "rq"]
"""Recipes that are started by `kle run`."""


@pytest.mark.parametrize("name", RUN)
def test_command_of_a_run_that_was_killed_ends_before_the_next_one_begins(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """Only `kle run` was killed: its watchdog ends the command, and the Lease runs out."""
    recipe = ALL[name]
    first, second = first_and_second(recipe, lambda: fast(recipe))
    wait_for_renewals(server)
    first.process.kill()
    first.finish()
    gap, _ = wait_for_next_leader(
        server, idle=lambda: bool(first.processes) or not works(recipe, second)
    )
    assert FAST.lease_duration_sec <= gap <= PROMISED + SLACK
    assert not first.processes
    wait_for_work(recipe, second)


@pytest.mark.parametrize("name", RUN)
def test_command_that_was_killed_alone_is_followed_at_once(
    fast: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """`kle run` sees that, releases the Lease, and ends as its command did."""
    recipe = ALL[name]
    first, second = first_and_second(recipe, lambda: fast(recipe))
    (command,) = (pid for pid in first.processes if words(pid)[1:2] == [script(recipe)])
    os.kill(command, signal.SIGKILL)
    wait_for_work(recipe, second)
    assert first.finish() == 128 + signal.SIGKILL
    told = "\n".join(second.lines)
    assert "since the release" in told, told


def script(recipe: Recipe) -> str:
    """Return the program that `kle run` starts."""
    return recipe.command.partition(" -- ")[2].split()[0]


def words(pid: int) -> list[str]:
    """Return the command of a process, its programs by their names alone."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        return [Path(word).name for word in line.split("\0")]
    return []
