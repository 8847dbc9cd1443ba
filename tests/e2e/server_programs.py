"""
Programs of an environment of their own, in which applications run: servers and libraries.

Fixtures for the tests that start them, and what a program that runs shows of itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from controlplane.processes import wait_until
from lacking import leave_out

from kubernetes_leader_election.testing import LeaseServer

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "servers"
PATIENCE = 90.0
"""Seconds to wait for what has to come."""


@pytest.fixture(scope="session")
def environment() -> Path:
    """Return the folder of programs of the environment that `make e2e` makes."""
    name = os.environ.get("SERVERS_ENVIRONMENT") or str(ROOT / ".venv-servers")
    folder = Path(name) / "bin"
    if not (folder / "gunicorn").exists():
        reason = f"{folder} is not there: make .venv-servers/.done"
        leave_out(reason)
    return folder


@pytest.fixture
def server() -> Iterator[LeaseServer]:
    """Give a Lease API over TLS, which is where a patch matters most."""
    with LeaseServer(tls=True) as server:
        yield server


class Running:
    """
    A program that runs.

    Args:
        command: of it.
        variables: of its environment, beside those of the tests.
        folder: of its own, where what it writes goes.
        where: the folder that it works in.
        merged: whether what it complains of goes where what it says goes.

    """

    def __init__(
        self,
        command: list[str],
        variables: dict[str, str],
        folder: Path,
        *,
        where: Path = PROGRAMS,
        merged: bool = False,
    ) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=where,
                stdout=out,
                stderr=out if merged else errors,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT / 'src'}:{PROGRAMS}",
                    **variables,
                },
                start_new_session=True,
            )

    @property
    def lines(self) -> list[str]:
        """What it said so far."""
        return self._out.read_text(encoding="utf-8").splitlines()

    @property
    def errors(self) -> str:
        """What it complained of so far."""
        return self._errors.read_text(encoding="utf-8")

    def wait_for(self, line: str) -> None:
        """Wait until it has said this."""
        wait_until(
            lambda: line in self.lines, within=PATIENCE, what=f"it says {line!r}"
        )

    def finish(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE)

    @property
    def processes(self) -> list[int]:
        """The processes of its session that run, itself and what it has started."""
        return [pid for pid in _running() if _session(pid) == self.process.pid]

    def close(self) -> None:
        """End it, and all that it has started; show what it said, if the test failed."""
        for pid in self.processes:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        print(*self.lines, self.errors, sep="\n")


@pytest.fixture
def run(
    environment: Path, server: LeaseServer, tmp_path: Path
) -> Iterator[Callable[..., Running]]:
    """Give a function that starts a program of the environment."""
    path, running = tmp_path / "kubeconfig", list[Running]()
    server.kubeconfig(path=path)

    def start(
        program: str,
        *words: str,
        config: Path = path,
        where: Path = PROGRAMS,
        **more: str,
    ) -> Running:
        command = [str(environment / program), *words]
        folder = tmp_path / f"program-{len(running)}"
        folder.mkdir()
        variables = {"KUBECONFIG": str(config), **more}
        running.append(Running(command, variables, folder, where=where))
        return running[-1]

    yield start
    for one in running:
        one.close()


def _running() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _session(pid: int) -> int | None:
    """Return the session of a process; None: it has ended, and may wait for its parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, _parent, _group, session = text.rpartition(")")[2].split()[:4]
    return None if state in "ZX" else int(session)
