"""
The recipes of docs/recipes/, each with its real framework, as two replicas.

What a page shows is what runs here: it includes the files, the command and the output.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from controlplane.processes import free_port, wait_until
from lacking import leave_out
from server_programs import PATIENCE, ROOT, Running
from tests.programs import holder, pod_environment

from kubernetes_leader_election.testing import LeaseServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = ROOT / "recipes"
PAGES = ROOT / "docs" / "recipes"


KLE = Path(sys.executable).parent / "kle"


class Recipe(NamedTuple):
    """A program of a page, and how it ends."""

    page: str
    """The page, and the folder of the program."""
    command: str
    """As the page has it, with a port of its own in the place of 8000."""
    works: str
    """What is in the line that the work of the leader prints."""
    terminated: int
    """Its exit code after SIGTERM."""
    interrupted: int
    """Its exit code after Ctrl-C."""
    to_all: bool = True
    """Whether Ctrl-C comes to all of its processes, as from a terminal."""
    ours_alone: bool = False
    """Whether the page leaves out what the framework prints of itself."""
    output: str | None = "output.txt"
    """The file with what one replica prints from its start to SIGTERM, if it is shown."""
    environment: str | None = None
    """The one of its own that it needs, as its framework excludes another one's."""
    quiet: bool = True
    """Whether it ends without a traceback."""


RECIPES = {
    "fastapi": Recipe(
        "fastapi",
        "uvicorn main:app --port 8000 --log-level warning",
        "tidies up",
        terminated=-signal.SIGTERM,
        interrupted=0,
    ),
    "django": Recipe("django", "gunicorn", "tidies up", terminated=0, interrupted=0),
    "django, command": Recipe(
        "django",
        "python manage.py bill",
        "bills",
        terminated=143,
        interrupted=0,
        output="command-output.txt",
    ),
    "flask": Recipe(
        "flask", "gunicorn app:app", "tidies up", terminated=0, interrupted=0
    ),
    "apscheduler": Recipe(
        "apscheduler",
        "python jobs.py",
        "bills at",
        terminated=143,
        interrupted=0,
    ),
    "apscheduler4": Recipe(
        "apscheduler4",
        "python jobs.py",
        "bills at",
        terminated=143,
        interrupted=0,
        environment="recipes-apscheduler4",
    ),
    "celery": Recipe(
        "celery",
        "celery --quiet -A shop beat -S "
        "kubernetes_leader_election.contrib.celery:LeaderScheduler -l INFO",
        "Sending due task bill",
        terminated=0,
        interrupted=0,
    ),
    "celery, run": Recipe(
        "celery",
        "kle run shop -- celery --quiet -A shop beat -S celery.beat:Scheduler -l INFO",
        "Sending due task bill",
        terminated=0,
        interrupted=0,
        output="run-output.txt",
    ),
    **{
        f"controllers, {client}": Recipe(
            "controllers",
            command,
            "reconciles shop",
            terminated=143,
            interrupted=0,
        )
        for client, command in {
            "kubernetes": "python with_kubernetes.py",
            "kr8s": "python with_kr8s.py",
            "lightkube": "python with_lightkube.py",
        }.items()
    },
    "opentelemetry": Recipe(
        "opentelemetry",
        "python worker.py",
        "works",
        terminated=143,
        interrupted=0,
    ),
    "structlog": Recipe(
        "structlog",
        "python worker.py",
        "bill sent",
        terminated=143,
        interrupted=0,
    ),
    "kopf": Recipe("kopf", "python main.py", "handles", terminated=0, interrupted=0),
    "gevent": Recipe(
        "gevent",
        "gunicorn app:app",
        "tidies up",
        terminated=0,
        interrupted=0,
        # At its end gevent tells of threads that it did not start.
        ours_alone=True,
        quiet=False,
    ),
    "uwsgi": Recipe(
        "uwsgi",
        "uwsgi --ini uwsgi.ini --http-socket 127.0.0.1:8000",
        "tidies up",
        terminated=0,
        interrupted=0,
        # From a terminal it comes twice to the workers: see docs/beside-servers.md.
        to_all=False,
        ours_alone=True,
    ),
}


def environment(name: str, program: str) -> Path:
    """Return the folder of programs of an environment that `make recipes` makes."""
    found = os.environ.get(f"{name.upper().replace('-', '_')}_ENVIRONMENT")
    folder = Path(found or ROOT / f".venv-{name}") / "bin"
    if not (folder / program).exists():
        reason = f"{folder / program} is not there: make recipes"
        leave_out(reason)
    return folder


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder of programs of the environment of most recipes."""
    return environment("recipes", "uvicorn")


@pytest.fixture
def server() -> Iterator[LeaseServer]:
    """Give a Lease API."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def replica(
    programs: Path, server: LeaseServer, tmp_path: Path
) -> Iterator[Callable[..., Running]]:
    """Give a function that starts a replica of a recipe, as a pod."""
    variables = pod_environment(server, tmp_path / "kubeconfig")
    running: list[Running] = []

    def start(recipe: Recipe, where: Path | None = None, **more: str) -> Running:
        folder = tmp_path / f"replica-{len(running)}"
        folder.mkdir()
        program, *words = recipe.command.replace("8000", str(free_port())).split()
        if "gunicorn" in recipe.command:
            words += ["--bind", f"127.0.0.1:{free_port()}"]  # beside its configuration
        folder_of_programs = (
            environment(recipe.environment, "python")
            if recipe.environment
            else programs
        )
        own = {
            "POD_NAME": f"shop-{len(running)}",
            "PATH": f"{folder_of_programs}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'src'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        # kle is that of the tests, as where it is installed beside a program.
        known = (folder_of_programs / program).exists()
        found = folder_of_programs if known else KLE.parent
        command = [str(found / program), *words]
        running.append(
            Running(
                command,
                {**variables, **own, **more},
                folder,
                where=where or FOLDER / recipe.page,
                merged=True,
            )
        )
        return running[-1]

    yield start
    for one in running:
        one.close()


def works(recipe: Recipe, replica: Running) -> int:
    """Return how many lines of work a replica has printed."""
    return sum(recipe.works in line for line in replica.lines)


def wait_for_work(recipe: Recipe, replica: Running) -> None:
    """Wait until a replica has printed a line of work."""

    def working() -> bool:
        assert replica.process.poll() is None, replica.lines
        return works(recipe, replica) > 0

    wait_until(working, within=PATIENCE, what=f"a line has {recipe.works!r}")


MAY_BE_MISSING = (
    # What is seen after the release is told only if the process is still there.
    "held by nobody",
    # Told with the first renewal, which a short run does not see; on the page of Kopf.
    "is handled by what was added to an event loop",
    # kr8s warns of Kubernetes newer than it knows, and Python shows where.
    "Supported versions for kr8s",
    "await self._check_version()",
    # A server whose own handler ends its worker may exit before a thread has told it.
    "stopping because of a signal",
)
NUMBER = r"(?<=CronScheduler )\S+(?=:)|\d+(\.\d+)?"
"""What differs from run to run; RQ draws a name for each of its schedulers."""


def shape(lines: list[str]) -> set[str]:
    """Return lines as they are compared: without numbers, in any order, each once."""
    # Workers and threads print beside each other, and a job as often as it comes due.
    # Whether work has still to end when the signal is told depends on the moment.
    return {
        re.sub(NUMBER, "N", line.partition("; the work has")[0]).rstrip()
        for line in lines
        if line and not any(words in line for words in MAY_BE_MISSING)
    }


def check_order(recipe: Recipe, lines: list[str]) -> None:
    """See that a replica leads before it gives up, and works no more when it released."""
    # What comes between is told by several threads, or processes, as each gets to it.
    leads, gives_up, works, released = (
        [number for number, line in enumerate(lines) if words in line]
        for words in (
            "is the leader",
            "gave up leadership",
            recipe.works,
            "held by nobody",
        )
    )
    assert max(leads) < min(gives_up), lines
    assert not released or max(works) < min(released), lines


def as_on_the_page(recipe: Recipe, lines: list[str]) -> list[str]:
    """Leave out what the page leaves out."""
    if not recipe.ours_alone:
        return lines
    return [line for line in lines if "Lease " in line or recipe.works in line]


def end(recipe: Recipe, replica: Running, number: signal.Signals) -> None:
    """Send a signal as a kubelet or a terminal does, and check how it ends."""
    send(recipe, replica, number)
    check_end(recipe, replica, number)


def send(recipe: Recipe, replica: Running, number: signal.Signals) -> None:
    """Send a signal as a kubelet or a terminal does."""
    if number == signal.SIGINT and recipe.to_all:
        os.killpg(replica.process.pid, number)
    else:
        replica.process.send_signal(number)


def check_end(recipe: Recipe, replica: Running, number: signal.Signals) -> None:
    """See that it ends with its exit code, quietly, and leaves no process behind."""
    code = recipe.interrupted if number == signal.SIGINT else recipe.terminated
    assert replica.finish() == code, replica.lines
    wait_until(
        lambda: not replica.processes, within=PATIENCE, what="all of it has ended"
    )
    assert not recipe.quiet or "Traceback" not in "\n".join(replica.lines)


def first_and_second(
    recipe: Recipe, start: Callable[[], Running]
) -> tuple[Running, Running]:
    """Start a replica, and when it works another one, which sees that it leads."""
    first = start()
    wait_for_work(recipe, first)
    second = start()
    wait_until(
        lambda: "held by 'elector-shop-0" in "\n".join(second.lines),
        within=PATIENCE,
        what="the second replica sees the first one lead",
    )
    return first, second


def hand_over(
    recipe: Recipe, server: LeaseServer, first: Running, second: Running
) -> None:
    """End both, the first one by SIGTERM and the other one, when it leads, by Ctrl-C."""
    assert works(recipe, second) == 0
    send(recipe, first, signal.SIGTERM)
    wait_for_work(recipe, second)
    done = works(recipe, first)
    check_end(recipe, first, signal.SIGTERM)
    assert works(recipe, first) == done, "both of them worked"
    assert "elector-shop-1" in holder(server, "shop")
    end(recipe, second, signal.SIGINT)
    assert holder(server, "shop") == "", second.lines
    check_order(recipe, first.lines)
    if recipe.output is not None:
        shown = (FOLDER / recipe.page / recipe.output).read_text(encoding="utf-8")
        told = as_on_the_page(recipe, first.lines)
        assert shape(told) == shape(shown.splitlines()), "\n".join(told)
        check_order(recipe, shown.splitlines())


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_hands_over_and_releases(
    replica: Callable[..., Running], server: LeaseServer, name: str
) -> None:
    """One replica works; at a rollout the other one does; Ctrl-C releases as well."""
    recipe = RECIPES[name]
    hand_over(recipe, server, *first_and_second(recipe, lambda: replica(recipe)))


def test_migration_is_made_once_and_found_by_the_next(
    replica: Callable[..., Running], server: LeaseServer, tmp_path: Path
) -> None:
    """Of two that start at once one migrates, and the other one sees that it has."""
    # The page's command, with a database of the test's own.
    assert "python migrate.py shop.db" in (PAGES / "migrations.md").read_text()
    recipe = Recipe(
        "migrations", f"python migrate.py {tmp_path}/shop.db", "migrat", 0, 0
    )
    both = [replica(recipe), replica(recipe)]
    assert [one.finish() for one in both] == [0, 0], [one.lines for one in both]
    lines = [line for one in both for line in one.lines]
    assert sorted(line for line in lines if line.endswith(("migrated", "migrate"))) == [
        "migrated",
        "nothing to migrate",
    ]
    assert holder(server, "shop-migration") == ""
    (first,) = (one for one in both if "migrated" in one.lines)
    shown = (FOLDER / "migrations" / "output.txt").read_text(encoding="utf-8")
    # The other one may have led before, and is named then.
    told = [line for line in first.lines if "held by" not in line]
    assert shape(told) == {
        one for one in shape(shown.splitlines()) if "held by" not in one
    }


def test_tests_of_a_program_pass(replica: Callable[..., Running]) -> None:
    """As a user's pytest runs them; the plugin is named, as nothing is installed here."""
    command = "pytest -q"
    plugin = "kubernetes_leader_election.testing.pytest_plugin"
    options = f"{command} -p {plugin} -p no:cacheprovider"
    running = replica(Recipe("testing", options, "", 0, 0))
    assert running.finish() == 0, running.lines
    shown = (FOLDER / "testing" / "output.txt").read_text(encoding="utf-8")
    assert shape(running.lines) == shape(shown.splitlines())
