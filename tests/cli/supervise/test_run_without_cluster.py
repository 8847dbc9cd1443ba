"""``run`` outside a cluster, with a KUBECONFIG in the shell: it asks what is meant."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _outside(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("/home/a b/config", "--kubeconfig='/home/a b/config' "),
        ("/one:/two", "--context=NAME"),
    ],
    ids=["one file", "several"],
)
def test_run_refuses_to_guess_what_a_kubeconfig_is_for(call, variable, advice):
    """Two replicas would both work, while `status` shows a Lease that nobody holds."""
    result = call("run", "billing", "--", "true", KUBECONFIG=variable)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert advice in said
    assert "env -u KUBECONFIG" in said


def test_run_that_was_told_a_kubeconfig_does_not_ask(call, tmp_path):
    """What the refusal advises is taken: the file is looked for."""
    path = str(tmp_path / "gone")
    words = ("run", "billing", f"--kubeconfig={path}", "--", "true")
    result = call(*words, KUBECONFIG=path)
    assert result.exit_code != 0
    assert "unset KUBECONFIG" not in result.stderr
