"""``python -m kubernetes_leader_election``: the command line."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from kubernetes_leader_election.cli.main import cli  # noqa: PLC0415 - the package itself needs no click

    cli(prog_name="kubernetes-leader-election", auto_envvar_prefix="KLE")


if __name__ == "__main__":
    main()
