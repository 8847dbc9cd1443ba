"""The program that kubectl calls to complete its plugin: its protocol, and its quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kubernetes_leader_election.cli import kubectl_completion, main
from tests.cli.observe.leases import write_lease

ROOT = Path(__file__).parents[2]


def complete(*words):
    """Give the proposals, without their descriptions, and the directive."""
    *lines, directive = kubectl_completion.proposals(list(words))
    return [line.partition("\t")[0] for line in lines], directive


def test_commands_are_proposed_with_what_they_do():
    """A line each, with a tab before the description; no files (directive 4)."""
    *lines, directive = kubectl_completion.proposals(["st"])
    assert [line.partition("\t")[0] for line in lines] == ["status", "step-down"]
    assert all(line.count("\t") == 1 for line in lines)
    assert directive == ":4"
    assert complete()[0] == complete("")[0] == list(main.COMMANDS)


def test_names_of_leases_are_proposed_where_the_options_say(server, kubeconfig):
    """Also where these stand before the command, as kubectl users type them."""
    write_lease(server, "tab-one")
    given = ("--kubeconfig", str(kubeconfig))
    assert complete("status", *given, "tab-") == (["tab-one"], ":4")
    assert complete(*given, "status", "tab-") == (["tab-one"], ":4")
    assert complete("-n", "kube-system", *given, "status", "tab-") == ([], ":4")


def test_options_and_files_are_proposed():
    """An option that takes a file leaves it to the shell (directive 0)."""
    assert "--all-namespaces" in complete("status", "--al")[0]
    assert complete("status", "--kubeconfig", "") == ([], ":0")


@pytest.mark.parametrize(
    "words", [["nothing", ""], ["status", "--nothing", ""], ["--"]]
)
def test_what_is_wrong_is_no_complaint(words, capsys, monkeypatch):
    """Whatever is printed lands in somebody's command line."""
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-leader", *words])
    kubectl_completion.main()
    assert capsys.readouterr().out.endswith(":4\n")
    monkeypatch.setattr(kubectl_completion, "proposals", lambda _: 1 / 0)
    kubectl_completion.main()
    assert capsys.readouterr() == (":4\n", "")


@pytest.mark.slow
def test_program_has_the_name_that_kubectl_looks_for():
    """As a script of the package, beside the plugin itself."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["kubectl_complete-leader"].partition(":")
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import {function}; {function}()", "wa"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KUBECONFIG": "/nowhere"},
    )
    name, about = done.stdout.splitlines()[0].split("\t")
    assert (name, bool(about)) == ("watch", True)
