"""What the recipes' pages say of work that is under way at a rollout or at a crash."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from controlplane.processes import wait_until
from discord_gateway import Gateway
from server_programs import PATIENCE, Running
from test_recipe_crashes import (
    ALL,
    copy,
    database,
    fast,
    gateway,
    kill_all,
    programs,
    redis_address,
    replica,
    s3_variables,
    server,
    tables,
    token,
    variables,
)
from test_recipe_fencing import ask
from test_recipes import Recipe, first_and_second, wait_for_work, works
from tests.programs import holder

from kubernetes_leader_election.testing import Answer, Fault, LeaseServer

__all__ = [
    "copy",
    "database",
    "fast",
    "gateway",
    "programs",
    "redis_address",
    "replica",
    "s3_variables",
    "server",
    "tables",
    "variables",
]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def change(file: Path, *changes: tuple[str, str]) -> None:
    """Replace texts of a file, each of which is there once."""
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def wait_for_line(replica: Running, line: str) -> None:
    """Wait until a replica says this."""
    wait_until(lambda: line in replica.lines, within=PATIENCE, what=f"it says {line!r}")


SLOW_JOBS = {
    "apscheduler": (
        "jobs.py",
        'print("bills at", datetime.now().astimezone().second, flush=True)',
        (
            'print("bills at", flush=True); import time; '
            "time.sleep(2); "  # the length of the job, in which SIGTERM comes
            'print("finished", flush=True)'
        ),
    ),
    "dramatiq": (
        "schedule.py",
        "    bill.send()\n    print(",
        (
            '    print("sent", flush=True); import time\n'
            "    time.sleep(2)\n"  # the length of the job, in which SIGTERM comes
            '    bill.send(); print("finished", flush=True)\n    print('
        ),
    ),
}
"""How a job becomes one that takes its time, and tells of its end."""


@pytest.mark.parametrize("name", SLOW_JOBS)
def test_job_that_runs_at_a_rollout_ends_before_the_release(
    fast: Callable[..., Running], copy: Path, server: LeaseServer, name: str
) -> None:
    """SIGTERM waits for it, and the next replica for both."""
    recipe = ALL[name]
    file, old, new = SLOW_JOBS[name]
    change(copy / file, (old, new))
    first = fast(recipe)
    wait_for_work(recipe, first)
    assert "finished" not in first.lines
    first.process.send_signal(signal.SIGTERM)
    wait_until(
        lambda: not holder(server, "shop"), within=PATIENCE, what="it is released"
    )
    assert "finished" in first.lines
    assert first.finish() == recipe.terminated


@pytest.mark.parametrize("name", ["apscheduler4"])
def test_job_that_runs_at_a_rollout_is_cancelled(
    fast: Callable[..., Running], copy: Path, server: LeaseServer, name: str
) -> None:
    """The job sees its cancellation before the Lease is released."""
    recipe = ALL[name]
    change(
        copy / "jobs.py",
        (
            'print("bills at", datetime.now().astimezone().second, flush=True)',
            (
                'print("bills at", flush=True)\n'
                "    try:\n        await asyncio.sleep(3600)\n"  # until it is cancelled
                '    finally:\n        print("cancelled", flush=True)'
            ),
        ),
    )
    first = fast(recipe)
    wait_for_work(recipe, first)
    first.process.send_signal(signal.SIGTERM)
    wait_until(
        lambda: not holder(server, "shop"), within=PATIENCE, what="it is released"
    )
    assert "cancelled" in first.lines
    assert first.finish() == 143


ARQ_JOB = """print("bills", flush=True)
    if os.environ["POD_NAME"] == "shop-0":
        await asyncio.sleep(3600)  # until it is cancelled, or killed"""
"""A job that does not end in the first replica."""
LEFT_ALONE = 3 + 10
"""Seconds for which arq leaves a job alone: its timeout, here 3 s, and 10 s more."""


def have_one_job(copy: Path, more: str = "") -> None:
    """Have one job that does not end in the first replica, and is always the same."""
    change(
        copy / "worker.py",
        ('print("bills", flush=True)', ARQ_JOB),
        ("second=set(range(60))", f'second=set(range(60)), job_id="one"{more}'),
    )


@pytest.mark.parametrize("name", ["arq"])
def test_job_of_arq_that_runs_at_a_rollout_is_done_by_the_next_leader(
    fast: Callable[..., Running], copy: Path, name: str
) -> None:
    """It is cancelled, and the worker of the next leader begins it anew, at once."""
    recipe = ALL[name]
    have_one_job(copy)
    first, second = first_and_second(recipe, lambda: fast(recipe))
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == 143, first.lines
    wait_for_work(recipe, second)
    assert works(recipe, first) == 1


@pytest.mark.parametrize("name", ["arq"])
def test_job_of_arq_that_ran_at_a_crash_is_left_alone_for_its_timeout_and_more(
    fast: Callable[..., Running], copy: Path, server: LeaseServer, name: str
) -> None:
    """The next leader's worker waits, as it cannot know that the first one is gone."""
    recipe = ALL[name]
    have_one_job(copy, more=", timeout=3")
    first = fast(recipe)
    wait_for_work(recipe, first)
    began = time.monotonic()
    kill_all(first)
    second = fast(recipe)
    wait_until(
        lambda: "elector-shop-1" in holder(server, "shop"),
        within=PATIENCE,
        what="the second one leads",
    )
    wait_for_work(recipe, second)
    assert time.monotonic() - began > LEFT_ALONE - 1


ALREADY_PAID = """
print(*[row[0] for row in connection.execute("SELECT token FROM payments")])
"""
OPEN = """connection.execute("INSERT INTO payments VALUES (%s, %s)", (token, text))
        if os.environ["POD_NAME"] == "shop-0":
            print("paid with token", token, "soon", flush=True)
            import time
            time.sleep(float(os.environ["OPEN_FOR"]))  # its length is what is tested"""


def open_transaction(copy: Path) -> None:
    """Have the first replica keep a transaction open for a while."""
    change(
        copy / "worker.py",
        (
            'connection.execute("INSERT INTO payments VALUES (%s, %s)", (token, text))',
            OPEN,
        ),
    )


@pytest.mark.parametrize("name", ["postgresql"])
def test_transaction_that_is_open_at_a_rollout_is_committed(
    fast: Callable[..., Running],
    copy: Path,
    programs: Path,
    tables: str,
    name: str,
) -> None:
    """The Lease is released after it."""
    recipe = ALL[name]
    open_transaction(copy)
    first = fast(recipe, OPEN_FOR="2")
    wait_for_work(recipe, first)
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == 143, first.lines
    assert ask(programs, tables, ALREADY_PAID) == [str(token(first))]


@pytest.mark.parametrize("name", ["postgresql"])
def test_transaction_that_is_open_at_a_crash_is_rolled_back(
    fast: Callable[..., Running],
    copy: Path,
    programs: Path,
    tables: str,
    name: str,
) -> None:
    """Nothing of it is stored, and it keeps nobody from the fence."""
    recipe = ALL[name]
    open_transaction(copy)
    first, second = first_and_second(recipe, lambda: fast(recipe, OPEN_FOR="3600"))
    kill_all(first)
    wait_for_work(recipe, second)
    assert set(ask(programs, tables, ALREADY_PAID)) == {str(token(second))}


MIGRATES = """print("migrates", flush=True)
        if os.environ["POD_NAME"] == "shop-0":
            time.sleep(float(os.environ["MIGRATES_FOR"]))  # its length is what is tested
        database.execute("PRAGMA user_version = 1")"""


def migrating(copy: Path, database: Path) -> Recipe:
    """Have the first replica take a while for its migration."""
    change(
        copy / "migrate.py",
        ("import logging\n", "import logging\nimport os\n"),
        ("import sys\n", "import sys\nimport time\n"),
        ('database.execute("PRAGMA user_version = 1")', MIGRATES),
        ('"shop-migration"', '"shop", preset="fast"'),
    )
    return Recipe(
        "migrations", f"python migrate.py {database}", "migrates", 143, interrupted=130
    )


@pytest.mark.parametrize("name", ["migrations"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_migration_that_runs_comes_to_its_end(
    fast: Callable[..., Running],
    copy: Path,
    tmp_path: Path,
    name: str,
    number: signal.Signals,
) -> None:
    """And the exit code says that it was to stop."""
    recipe = migrating(copy, tmp_path / "shop.db")
    first = fast(recipe, MIGRATES_FOR="2")
    wait_for_line(first, "migrates")
    first.process.send_signal(number)
    expected = 143 if number == signal.SIGTERM else 130
    assert first.finish() == expected, first.lines
    assert "migrated" in first.lines
    assert "Traceback" not in "\n".join(first.lines)


@pytest.mark.parametrize("name", ["migrations"])
def test_migration_goes_on_after_a_crash_where_the_database_says(
    fast: Callable[..., Running], copy: Path, tmp_path: Path, name: str
) -> None:
    """What was not committed is made by the next one, when the Lease has run out."""
    recipe = migrating(copy, tmp_path / "shop.db")
    first, second = first_and_second(recipe, lambda: fast(recipe, MIGRATES_FOR="3600"))
    kill_all(first)
    assert second.finish() == 0, second.lines
    assert "migrated" in second.lines


WORKERS = {"dramatiq": "dramatiq shop --processes 1", "rq": "rq worker"}
"""What takes the tasks that a scheduler sends, as the pages have it."""


@pytest.mark.parametrize("name", WORKERS)
def test_workers_do_each_task_once_while_schedulers_crash(
    fast: Callable[..., Running], name: str
) -> None:
    """They know nothing of the election, and go on."""
    recipe = ALL[name]
    worker_recipe = recipe._replace(command=WORKERS[name], works="bills")
    first, second = first_and_second(recipe, lambda: fast(recipe))
    worker = fast(worker_recipe)
    wait_for_work(worker_recipe, worker)
    kill_all(first)
    wait_for_work(recipe, second)
    second.process.send_signal(signal.SIGTERM)
    second.finish()
    sent = works(recipe, first) + works(recipe, second)
    wait_until(
        # One more was sent if the first scheduler was killed before it said so.
        lambda: done(worker) in {sent, sent + 1},
        within=PATIENCE,
        what="the worker does what was sent",
    )


def done(worker: Running) -> int:
    """
    Return how many tasks a worker has done.

    Its threads print at once, and the end of a line is a write of its own there: two
    words may come before two ends of lines.
    """
    return "".join(worker.lines).count("bills")


def test_no_page_speaks_of_a_worker_that_is_not_run() -> None:
    """The commands of workers are those of the pages."""
    pages = Path(__file__).parents[2] / "docs" / "recipes"
    for name, command in WORKERS.items():
        words = " ".join(command.split()[:2])
        assert f"the workers, `{words}`, run" in (pages / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ["discord"])
def test_bot_that_is_cut_off_leaves_before_another_one_may_lead(
    fast: Callable[..., Running], server: LeaseServer, gateway: Gateway, name: str
) -> None:
    """It closes its connection while the Lease still has its name."""
    first, second = first_and_second(ALL[name], lambda: fast(ALL[name]))
    away = server.faults.add(Fault(Answer(503), verb="update", times=None))
    wait_until(lambda: gateway.open == 0, within=PATIENCE, what="it leaves")
    assert "elector-shop-0" in holder(server, "shop")
    server.faults.remove(away)
    wait_until(lambda: gateway.opened == 2, within=PATIENCE, what="one is back")
    assert gateway.most == 1
    assert works(ALL[name], first) + works(ALL[name], second) <= 2


@pytest.mark.parametrize("name", ["discord"])
def test_bot_that_was_frozen_leaves_when_it_goes_on(
    fast: Callable[..., Running], gateway: Gateway, name: str
) -> None:
    """Until then there are two, which no election prevents."""
    first, second = first_and_second(ALL[name], lambda: fast(ALL[name]))
    first.process.send_signal(signal.SIGSTOP)
    wait_for_work(ALL[name], second)
    assert gateway.open == 2
    first.process.send_signal(signal.SIGCONT)
    wait_until(lambda: gateway.open == 1, within=PATIENCE, what="the first one leaves")
    assert first.process.poll() is None
