"""
``kubectl_complete-leader``: what kubectl calls at a press of Tab behind its plugin.

kubectl looks on PATH for a program of this name, calls it with the words behind
``kubectl leader`` (the last one is what is to be completed, perhaps empty), and takes a
proposal a line, with a tab before its description. A last line ``:N`` is a directive of
cobra: 4 keeps the shell from offering files, 0 lets it.
"""

from __future__ import annotations

import sys
from typing import Final

import click

NO_FILES: Final = 4
FILES: Final = 0


def proposals(words: list[str]) -> list[str]:
    """Return the lines to print for the words behind ``kubectl leader``."""
    from click.shell_completion import ShellComplete  # noqa: PLC0415 - only here

    from kubernetes_leader_election.cli.main import cli  # noqa: PLC0415 - the group

    before, incomplete = words[:-1], (words or [""])[-1]
    shell = ShellComplete(cli, {"auto_envvar_prefix": "KLE"}, "kubectl leader", "")
    found = shell.get_completions(before, incomplete)
    lines = [
        f"{item.value}\t{_first_line(item.help)}" if item.help else str(item.value)
        for item in found
        if item.type == "plain"
    ]
    wants_files = any(item.type in {"file", "dir"} for item in found)
    return [*lines, f":{FILES if wants_files else NO_FILES}"]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].partition("\t")[0]


def main() -> None:
    """Print what may come next; without any complaint, whatever happens."""
    try:
        lines = proposals(sys.argv[1:])
    except Exception:  # noqa: BLE001 - a complaint would land in somebody's command line
        lines = [f":{NO_FILES}"]
    click.echo("\n".join(lines))
