"""The server and the CA of the tests of the Lease API client, for these tests too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_FILE = Path(__file__).parent.parent / "kube_api" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("lease_api_fixtures", _FILE)
_FIXTURES = importlib.util.module_from_spec(_SPEC)
sys.modules["lease_api_fixtures"] = _FIXTURES  # dataclasses look their module up
_SPEC.loader.exec_module(_FIXTURES)

serve = _FIXTURES.serve
connect = _FIXTURES.connect
call = _FIXTURES.call
authority = _FIXTURES.authority
other_authority = _FIXTURES.other_authority
lease_fixture = _FIXTURES.lease_fixture
status_fixture = _FIXTURES.status_fixture
eventually_fixture = _FIXTURES.eventually_fixture


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch):
    """Keep the variables of whoever runs the tests out of them."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve_lease(serve, lease):
    """Give a function that starts a server which gives the Lease to everybody."""

    def start(*, tls):
        def handle(peer):
            while peer.read() is not None:
                peer.reply(200, lease())

        return serve(handle, tls=tls)

    return start


@pytest.fixture
def mount(tmp_path, authority):
    """Mount a service account as Kubernetes does, with its chain of links."""

    def make(namespace="apps"):
        directory = tmp_path / "serviceaccount"
        first = directory / "..2026_01_01"
        first.mkdir(parents=True)
        (directory / "..data").symlink_to(first.name)
        for name, text in (
            ("token", "pod-token"),
            ("ca.crt", authority.ca_file.read_text()),
            ("namespace", namespace),
        ):
            if text is not None:
                (first / name).write_text(text)
                (directory / name).symlink_to(Path("..data") / name)
        return directory

    return make
