"""``python -m kubernetes_leader_election``: the command line."""

from __future__ import annotations

import sys

_NAMES = {"kle": "kle", "kubectl-leader": "kubectl leader"}


def main() -> None:
    """Run the command line and exit with its code."""
    from kubernetes_leader_election.cli.main import cli  # noqa: PLC0415 - the package itself needs no click

    called = sys.argv[0].rpartition("/")[2]
    name = _NAMES.get(called, "kubernetes-leader-election")
    # kubectl starts its plugin by the file's name, which is what shells complete.
    variable = f"_{name.replace(' ', '-').replace('-', '_').upper()}_COMPLETE"
    cli(prog_name=name, complete_var=variable, auto_envvar_prefix="KLE")


if __name__ == "__main__":
    main()
