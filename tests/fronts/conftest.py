"""A Lease in memory for both fronts."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.engine import Engine
from tests.engine.fake_client import FakeClient
from tests.fronts.driven import OnLoop, OnThreads
from tests.fronts.stages import PATIENCE


@pytest.fixture
def client(monkeypatch):
    """Give a Lease API in memory, which every elector of the test asks."""
    client = FakeClient()
    monkeypatch.setattr(Engine, "client_for", lambda *_: client)
    return client


@pytest.fixture(params=[OnLoop, OnThreads], ids=["asyncio", "threads"])
def front(request, client):
    """Give one front after the other; its electors are stopped after the test."""
    front = request.param()
    yield front
    for elector in front.made:
        elector.stop(timeout=PATIENCE)
    front.close()
