"""A Lease in memory for both fronts."""

from __future__ import annotations

import pytest

from kubernetes_leader_election.engine import Engine
from tests.engine.fake_client import FakeClient


@pytest.fixture
def client(monkeypatch):
    """Give a Lease API in memory, which every elector of the test asks."""
    client = FakeClient()
    monkeypatch.setattr(Engine, "client_for", lambda *_: client)
    return client
