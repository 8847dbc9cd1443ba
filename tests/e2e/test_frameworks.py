"""
Work of the leader beside real servers: it begins, ends in order, and never overlaps.

Each program notes when its work begins and ends, in one file: see ``servers/beside.py``. The recipes
are those of docs/beside-servers.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from controlplane.processes import free_port, wait_until
from server_programs import PATIENCE, PROGRAMS, Running, environment, run, server
from tests.programs import holder

from kubernetes_leader_election.testing import LeaseServer

__all__ = ["environment", "run", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

GUNICORN = f"gunicorn -w 2 -b 127.0.0.1:0 -c {PROGRAMS}/beside_gunicorn.py"
UVICORN = "uvicorn --port 0 beside_asgi:app"
RUNSERVER = f"python {PROGRAMS}/beside_django.py runserver 0"


class Server(NamedTuple):
    """A server, and how it is to end."""

    command: str
    workers: int
    terminated: int
    """Its exit code after SIGTERM."""
    interrupted: int
    """Its exit code after Ctrl-C."""
    to_all: bool = True
    """Whether Ctrl-C comes to all of its processes, as from a terminal."""
    quiet: bool = True
    """Whether nothing is told of an exception that came up anywhere."""
    until: str = "begins"
    """What is noted before the signal comes."""


SERVERS = {
    "gunicorn": Server(f"{GUNICORN} -k sync beside_wsgi:application", 2, 0, 0),
    "gunicorn, threads": Server(
        f"{GUNICORN} -k gthread --threads 4 beside_wsgi:application", 2, 0, 0
    ),
    "gunicorn, preload": Server(
        f"{GUNICORN} -k sync --preload beside_wsgi:application", 2, 0, 0
    ),
    "gunicorn, uvicorn": Server(
        f"{GUNICORN} -k uvicorn_worker.UvicornWorker beside_asgi:plain",
        2,
        0,
        0,
        # uvicorn raises the signal once more when it has served: our exception comes up
        # wherever it is by then, and Python may tell of a loop that was half closed.
        quiet=False,
    ),
    "uvicorn": Server(UVICORN, 1, -signal.SIGTERM, 0),
    "uvicorn, workers": Server(f"{UVICORN} --workers 2", 2, 0, 0),
    "uvicorn, reload": Server(f"{UVICORN} --reload", 1, 0, 0),
    "uwsgi": Server(
        "uwsgi --master --processes 2 --enable-threads --die-on-term "
        f"--wsgi-file {PROGRAMS}/beside_wsgi.py --http-socket 127.0.0.1:{{port}}",
        2,
        0,
        0,
        # It would pass on another one to workers that are in their exit by then, and
        # that ends them at once.
        to_all=False,
    ),
    "celery": Server(
        "celery -A beside_celery worker -c 2 --without-gossip --without-mingle", 2, 0, 1
    ),
    "django": Server(f"{RUNSERVER} --noreload", 1, 143, 0),
    "apscheduler": Server(
        f"python {PROGRAMS}/beside_apscheduler.py",
        1,
        143,
        -signal.SIGINT,
        until="job-begins",
    ),
}


class Beside:
    """
    A program that leads beside something else, and what it has noted.

    Args:
        start: starts a program.
        command: of it.
        folder: an empty one.

    """

    def __init__(
        self, start: Callable[..., Running], command: str, folder: Path
    ) -> None:
        self._stamp, self._notes = folder / "stamp.py", folder / "notes"
        self._notes.touch()
        self.stamp("first")
        self.program = start(
            *command.format(port=free_port()).split(),
            where=folder,
            NOTES=str(self._notes),
            PYTHONPATH=f"{PROGRAMS.parents[2] / 'src'}:{PROGRAMS}:{folder}",
            FLASK_APP="beside_flask",
        )

    def stamp(self, version: str) -> None:
        """Change the source of the program."""
        self._stamp.write_text(f"VERSION = {version!r}\n")

    @property
    def notes(self) -> list[list[str]]:
        """The words of each line that was noted."""
        return [line.split() for line in self._notes.read_text().splitlines()]

    def count(self, what: str) -> int:
        """Return how often this was noted."""
        return sum(note[0] == what for note in self.notes)

    def wait_for(self, what: str, count: int = 1) -> None:
        """Wait until this was noted so often."""

        def noted() -> bool:
            assert self.program.process.poll() is None, self.program.errors
            return self.count(what) >= count

        wait_until(noted, within=PATIENCE, what=f"{count} x {what!r} is noted")

    def check_end(self, *, cut: bool = False) -> None:
        """
        See that nothing of it runs any more, and that no work overlapped.

        ``cut``: the last of it may have been killed before its end.
        """
        wait_until(
            lambda: not self.program.processes,
            within=PATIENCE,
            what="every process has ended",
        )
        works = None
        for what, pid, *_ in self.notes:
            if what == "begins":
                assert works is None, self.notes
                works = pid
            elif what == "ends":
                assert works == pid, self.notes
                works = None
        assert works is None or cut, self.notes
        assert self.count("job-begins") == self.count("job-ends"), self.notes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", SERVERS)
def test_server_leads_ends_its_work_and_releases(
    run: Callable[..., Running],
    server: LeaseServer,
    tmp_path: Path,
    name: str,
    number: signal.Signals,
) -> None:
    """One worker leads; a signal ends its work, in its own time, and then all of it."""
    found = SERVERS[name]
    folder = tmp_path / "site"
    folder.mkdir()
    beside = Beside(run, found.command, folder)
    beside.wait_for("starts", found.workers)
    beside.wait_for("begins")
    beside.wait_for(found.until)
    interrupts = number == signal.SIGINT
    if interrupts and found.to_all:
        os.killpg(beside.program.process.pid, number)
    else:
        beside.program.process.send_signal(number)
    expected = found.interrupted if interrupts else found.terminated
    assert beside.program.finish() == expected
    beside.check_end()
    assert holder(server, "beside") == "", beside.program.errors
    # Python itself prints one where it ends by KeyboardInterrupt, which is no fault.
    tracebacks = int(expected == -signal.SIGINT)
    assert beside.program.errors.count("Traceback") == tracebacks or not found.quiet


class Reloader(NamedTuple):
    """A server that starts its application anew when its source changes."""

    command: str
    kills: bool
    """Whether its end kills the application, which can release nothing then."""
    interrupted: int
    """Its exit code after Ctrl-C."""


RELOADERS = {
    "gunicorn": Reloader(
        f"gunicorn -b 127.0.0.1:0 -c {PROGRAMS}/beside_gunicorn.py --reload "
        "--reload-engine poll beside_wsgi:application",
        kills=False,
        interrupted=0,
    ),
    "uvicorn": Reloader(f"{UVICORN} --reload", kills=False, interrupted=0),
    "django": Reloader(RUNSERVER, kills=True, interrupted=0),
    "flask": Reloader("flask run --debug --port 0", kills=True, interrupted=0),
}


@pytest.mark.parametrize("name", RELOADERS)
def test_reloader_has_one_leader_with_the_newest_source(
    run: Callable[..., Running], server: LeaseServer, tmp_path: Path, name: str
) -> None:
    """The work of the old source ends before that of the new one; the parent has none."""
    found = RELOADERS[name]
    folder = tmp_path / "site"
    folder.mkdir()
    beside = Beside(run, found.command, folder)
    beside.wait_for("begins")

    def reloads() -> bool:
        if beside.count("ends"):
            return True
        beside.stamp("second")  # again: it sees no change from before its first look
        return False

    wait_until(reloads, within=PATIENCE, what="the old source ends", every=0.5)
    beside.wait_for("begins", 2)
    assert beside.count("starts") == 2, beside.notes  # none of them by the parent
    works = [note for note in beside.notes if note[0] in {"begins", "ends"}]
    first, second = works[0][1], works[2][1]
    assert works == [
        ["begins", first, "first"],
        ["ends", first],
        ["begins", second, "second"],
    ]
    assert str(beside.program.process.pid) not in {first, second}
    os.killpg(beside.program.process.pid, signal.SIGINT)
    assert beside.program.finish() == found.interrupted
    beside.check_end(cut=found.kills)
    if not found.kills:
        assert holder(server, "beside") == "", beside.program.errors


def test_commands_of_django_do_not_contend(
    run: Callable[..., Running], server: LeaseServer, tmp_path: Path
) -> None:
    """`manage.py check` loads the project, and not what servers load."""
    folder = tmp_path / "site"
    folder.mkdir()
    beside = Beside(run, f"python {PROGRAMS}/beside_django.py check", folder)
    assert beside.program.finish() == 0, beside.program.errors
    assert beside.notes == []
    assert server.lease("beside") is None


@pytest.mark.parametrize(("name", "ended"), [("kopf", 0), ("aiogram", 143)])
def test_framework_that_is_asked_in_its_own_way_works_in_each_term(
    run: Callable[..., Running],
    server: LeaseServer,
    tmp_path: Path,
    name: str,
    ended: int,
) -> None:
    """It works, hands over when it is asked to, works again, and ends by SIGTERM."""
    folder = tmp_path / "site"
    folder.mkdir()
    beside = Beside(run, f"python {PROGRAMS}/asked_{name}.py", folder)
    beside.wait_for("works")
    beside.program.process.send_signal(signal.SIGUSR1)
    beside.wait_for("asked")
    beside.wait_for("works", 2)
    assert [note[0] for note in beside.notes] == [
        *("begins", "works", "asked", "ends"),
        *("begins", "works"),
    ]
    beside.program.process.send_signal(signal.SIGTERM)
    assert beside.program.finish() == ended, beside.program.errors
    beside.check_end()
    assert holder(server, "beside") == "", beside.program.errors


def test_recipe_for_trio_leads_and_releases(
    run: Callable[..., Running], server: LeaseServer, tmp_path: Path
) -> None:
    """As the page has it: work in a thread calls back, and the end of the server ends it."""
    folder = tmp_path / "site"
    folder.mkdir()
    beside = Beside(run, f"python {PROGRAMS}/trio_recipe.py", folder)
    beside.wait_for("works", 2)
    assert holder(server, "beside")
    beside.program.process.send_signal(signal.SIGTERM)
    assert beside.program.finish() == 0, beside.program.errors
    assert beside.notes[-1][0] == "left"
    beside.check_end()
    assert holder(server, "beside") == "", beside.program.errors
