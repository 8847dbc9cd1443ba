"""The pytest plugin: fixtures for those who ask, and nothing for the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import pytest

LEASES = "/apis/coordination.k8s.io/v1/leases"


def status(url: str) -> int:
    """Ask, and give the status."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # loopback
        return answer.status


def test_lease_server_answers(lease_server):
    """``lease_server`` runs and lets everybody in."""
    assert status(lease_server.url + LEASES) == 200


def test_lease_server_is_fresh(lease_server):
    """``lease_server`` is another one for each test."""
    assert lease_server.leases() == []
    assert len(lease_server.requests) == 0


def test_lease_server_factory_takes_options(lease_server_factory):
    """``lease_server_factory`` starts as many as are wanted."""
    first, second = lease_server_factory(namespaces=["jobs"]), lease_server_factory()
    assert status(f"{first.url}/api/v1/namespaces/jobs") == 200
    assert first.port != second.port


def test_lease_server_proxy_stands_before_the_server(lease_server, lease_server_proxy):
    """``lease_server_proxy`` leads to ``lease_server``."""
    assert status(lease_server_proxy.url + LEASES) == 200
    assert lease_server.requests.counts()["list"] == 1


def test_lease_server_kubeconfig_is_a_file(lease_server, lease_server_kubeconfig):
    """``lease_server_kubeconfig`` is the path of a kubeconfig for it."""
    document = json.loads(lease_server_kubeconfig.read_text())
    assert document["clusters"][0]["cluster"]["server"] == lease_server.url


@pytest.mark.slow
def test_plugin_costs_nothing_unless_used(tmp_path):
    """A project that uses no fixture gets no heavy import and no other change."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it(request):\n"
        "    assert request.config.pluginmanager.has_plugin("
        "'kubernetes_leader_election')\n"
        "    for heavy in ('aiohttp', 'yaml', 'cryptography', 'trustme'):\n"
        "        assert heavy not in sys.modules\n"
    )
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"
    }
    done = subprocess.run(  # noqa: S603  # this very interpreter
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout
