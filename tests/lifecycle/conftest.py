"""A Lease in memory for both fronts."""

from __future__ import annotations

import zlib
from contextlib import ExitStack

import pytest

from kubernetes_leader_election.engine.engine import Engine
from kubernetes_leader_election.testing import LeaseServer
from tests.engine.fake_client import FakeClient
from tests.lifecycle.driven import OnLoop, OnThreads
from tests.lifecycle.programs import Program
from tests.lifecycle.stages import PATIENCE


@pytest.fixture
def client(monkeypatch):
    """Give a Lease API in memory, which every elector of the test asks."""
    client = FakeClient()
    monkeypatch.setattr(
        Engine, "client_for", lambda _, credentials: client.of(credentials)
    )
    return client


@pytest.fixture(params=[OnLoop, OnThreads], ids=["asyncio", "threads"])
def front(request, client):
    """Give one front after the other; its electors are stopped after the test."""
    front = request.param()
    yield front
    for elector in front.made:
        elector.stop(timeout=PATIENCE)
    front.close()


@pytest.fixture(scope="session")
def lease_api():
    """Give an embedded Lease API to all programs of the run."""
    with LeaseServer() as server:
        yield server


@pytest.fixture
def program(lease_api, request):
    """Give a function that starts a program; it is ended after the test."""
    with ExitStack() as started:
        lease = f"l-{zlib.crc32(request.node.nodeid.encode())}"

        def start(source="", **named):
            made = Program(lease_api, lease, source, **named)
            started.callback(made.close)
            return made

        yield start
