"""What tests of the command line share: a way to call it, and a server to call it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kubernetes_leader_election.cli import shell_completion
from kubernetes_leader_election.cli.main import cli
from kubernetes_leader_election.testing import LeaseServer

Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    """Call the command line as a user would; give what came out of it."""

    def run(*words: str, answer: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(
            cli,
            [str(word) for word in words],
            input=answer,
            env=environ,
            auto_envvar_prefix="KLE",
            prog_name="kle",
        )

    return run


@pytest.fixture(autouse=True)
def _patient_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell wait for what it completes: on a busy machine nothing comes in 2 s."""
    monkeypatch.setattr(shell_completion, "PATIENCE", 30.0)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LeaseServer]:
    """Run one embedded Lease API for the tests of a module."""
    with LeaseServer(control=True) as server:
        yield server


@pytest.fixture
def server(shared_server: LeaseServer) -> Iterator[LeaseServer]:
    """Lend the module's server, without the faults of the test before."""
    yield shared_server
    shared_server.faults.clear()


@pytest.fixture
def kubeconfig(server: LeaseServer, tmp_path: Path) -> Path:
    """Give a kubeconfig for the server."""
    path = tmp_path / "kubeconfig"
    server.kubeconfig(path=path)
    return path
