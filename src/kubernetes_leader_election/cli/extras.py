"""Say clearly which extra a command needs where it is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from kubernetes_leader_election.cli import exit_codes


class MissingExtraError(click.ClickException):
    """Say what to install."""

    exit_code = exit_codes.USAGE


@contextlib.contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """
    Import inside this block what ``extra`` brings along.

    Raises:
        MissingExtraError: it is not installed.

    """
    try:
        yield
    except ImportError as error:
        # The embedded server raises an ImportError of its own, from that of aiohttp.
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        missing = cause.name or "a part of it"
        if missing.startswith("kubernetes_leader_election"):
            raise
        raise MissingExtraError(
            f"{what} needs the extra `{extra}` ({missing} is missing): "
            f"pip install 'kubernetes-leader-election[{extra}]'"
        ) from error
