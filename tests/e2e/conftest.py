"""
Fixtures of the end-to-end tests: a real kube-apiserver with etcd.

``control_plane`` is shared by all tests of a run: every test takes a namespace of
its own and harms nobody. ``fresh_control_plane`` belongs to one test, which may
freeze, kill and restart it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from controlplane import binaries
from controlplane.access import Cluster
from controlplane.control_plane import ControlPlane
from controlplane.external import ExternalCluster
from electors import node_package
from electors.candidates import ClientGo, NodePackage, Official, Setting
from electors.fleet import Fleet
from electors.mixed import RHYTHM, Start
from lacking import leave_out

from kubernetes_leader_election.testing import LeaseServer

FLEET = pytest.StashKey[Fleet]()
TOLD = "told"


def programs(*names: str) -> dict[str, Path]:
    """Return the programs; skip the test where there are none, fail in CI."""
    try:
        return binaries.find(names)
    except binaries.MissingProgramError as error:
        leave_out(f"no control plane: {error}")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """
    Lend the server shared by the tests of this run.

    ``E2E_KUBECONFIG``, and that variable alone, names a cluster to use instead of
    starting one; its current context is taken, and new namespaces are made in it.
    """
    if external := os.environ.get("E2E_KUBECONFIG"):
        kubectl = programs("kubectl")["kubectl"]
        with ExternalCluster(Path(external), kubectl=kubectl) as cluster:
            yield cluster
        return
    programs("etcd", "kube-apiserver", "kubectl")
    with ControlPlane() as started:
        yield started


@pytest.fixture
def start_control_plane() -> Iterator[Callable[..., ControlPlane]]:
    """Give a function that starts a pair with the options it is given."""
    programs("etcd", "kube-apiserver", "kubectl")
    with ExitStack() as started:
        yield lambda **options: started.enter_context(ControlPlane(**options))


@pytest.fixture
def fresh_control_plane(
    start_control_plane: Callable[..., ControlPlane],
) -> ControlPlane:
    """Start a pair that belongs to one test."""
    return start_control_plane()


@pytest.fixture
def namespace(control_plane: Cluster) -> str:
    """Make a namespace for one test on the shared server."""
    return control_plane.namespace()


@dataclass(frozen=True, slots=True)
class RunPlace:
    """A server on which `run` is tested: its address, and a kubeconfig for it."""

    url: str
    kubeconfig: Callable[..., Path]
    """Takes ``server``: another address for the same server, that of a proxy."""


@pytest.fixture(params=["embedded", "real"])
def run_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunPlace]:
    """Give the embedded Lease API, then a namespace of the real control plane."""
    if request.param == "real":
        cluster: Cluster = request.getfixturevalue("control_plane")
        space = cluster.namespace()
        verbs = ["get", "create", "update", "watch"]
        cluster.allow("alice", verbs, namespace=space, name="run-test")
        yield RunPlace(
            cluster.server_url, partial(cluster.kubeconfig, "alice", namespace=space)
        )
        return
    with LeaseServer() as embedded:

        def kubeconfig(*, server: str = embedded.url) -> Path:
            path = tmp_path / f"embedded-{len(list(tmp_path.iterdir()))}.kubeconfig"
            text = embedded.kubeconfig(path=path)
            path.write_text(text.replace(embedded.url, server))
            return path

        yield RunPlace(embedded.url, kubeconfig)


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Lend the processes of one election; show their output if the test fails."""
    with Fleet(tmp_path) as processes:
        request.node.stash[FLEET] = processes
        yield processes


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give a function for what a test has to tell beside that it passed."""
    return lambda text: record_property(TOLD, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests had to tell: repetitions, times, instants looked at."""
    told = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for report in terminalreporter.stats.get("passed", [])
        for name, text in report.user_properties
        if name == TOLD
    ]
    if told:
        terminalreporter.section("what was repeated and measured")
        terminalreporter.write("\n".join([*told, ""]))


@pytest.fixture(scope="session")
def clientgo_elector() -> Path:
    """Return the program that contends with client-go."""
    return programs("clientgo-elector")["clientgo-elector"]


@pytest.fixture(scope="session")
def node_home() -> Path:
    """Return the folder of the candidate with the Node package."""
    try:
        return node_package.install()
    except node_package.NotInstalledError as error:
        pytest.skip(f"no Node candidate: {error}")


@pytest.fixture
def mixed_setting(control_plane: Cluster, namespace: str) -> Setting:
    """Give what all candidates share; some rivals create by POST, and list."""
    verbs = ["get", "list", "create", "update", "watch"]
    control_plane.allow("carol", verbs, namespace=namespace)
    return Setting(
        kubeconfig=control_plane.kubeconfig("carol"),
        namespace=namespace,
        rhythm=RHYTHM,
    )


@pytest.fixture(params=["client-go", "official Python package", "Node package"])
def rival(request: pytest.FixtureRequest, fleet: Fleet) -> Start:
    """Give a function that starts a rival of one kind."""
    if request.param == "client-go":
        program: Path = request.getfixturevalue("clientgo_elector")
        return partial(fleet.start, kind=ClientGo, program=program)
    if request.param == "Node package":
        home: Path = request.getfixturevalue("node_home")
        return partial(fleet.start, kind=NodePackage, home=home)
    return partial(fleet.start, kind=Official)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show all logs with a test that failed; let CI skip nothing."""
    report = yield
    if report.skipped and binaries.in_ci():
        report.outcome = "failed"
    if report.failed and (fleet := item.stash.get(FLEET, None)) is not None:
        report.sections.append(("candidates", fleet.outputs()))
    if report.failed:
        for server in ControlPlane.living:
            report.sections.append((f"servers at {server.server_url}", server.logs()))
    return report
