"""
Fixtures for pytest: an embedded Lease API, and a proxy that fails on order.

pytest loads this module in every run where the package is installed, so it imports
nothing heavy and changes nothing: what it offers costs only those who ask for it.

- ``lease_server``: a fresh :class:`LeaseServer` on plain http for one test.
- ``lease_server_factory``: a function which starts servers with options of your own.
- ``lease_server_proxy``: a :class:`TcpProxy` in front of ``lease_server``.
- ``lease_server_kubeconfig``: the path of a kubeconfig for ``lease_server``.
- ``elector_clocks``: an :class:`ElectorClocks`; suspends this process's electors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kubernetes_leader_election.testing.elector_clocks import ElectorClocks
    from kubernetes_leader_election.testing.lease_server import LeaseServer
    from kubernetes_leader_election.testing.tcp_proxy import TcpProxy


@pytest.fixture
def lease_server_factory() -> Iterator[Callable[..., LeaseServer]]:
    """Yield a function that starts a Lease server; all are stopped after the test."""
    from kubernetes_leader_election.testing import LeaseServer  # noqa: PLC0415  # only on use

    with ExitStack() as stack:

        def start(**options: Any) -> LeaseServer:
            return stack.enter_context(LeaseServer(**options))

        yield start


@pytest.fixture
def lease_server(lease_server_factory: Callable[..., LeaseServer]) -> LeaseServer:
    """Return a running embedded Lease API; everybody is let in."""
    return lease_server_factory()


@pytest.fixture
def lease_server_proxy(lease_server: LeaseServer) -> Iterator[TcpProxy]:
    """Yield a TCP proxy in front of ``lease_server``."""
    from kubernetes_leader_election.testing import TcpProxy  # noqa: PLC0415  # only on use

    with TcpProxy(lease_server.url) as proxy:
        yield proxy


@pytest.fixture
def lease_server_kubeconfig(lease_server: LeaseServer, tmp_path: Path) -> Path:
    """Return the path of a kubeconfig that leads to ``lease_server``."""
    path = tmp_path / "lease-server.kubeconfig"
    lease_server.kubeconfig(path=path)
    return path


@pytest.fixture
def elector_clocks() -> Iterator[ElectorClocks]:
    """Yield the clocks of this process's electors, to be moved on order."""
    from kubernetes_leader_election.testing import ElectorClocks  # noqa: PLC0415  # only on use

    with ElectorClocks() as clocks:
        yield clocks
