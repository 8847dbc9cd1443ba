"""Where the API server is, as it was said on the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from kubernetes_leader_election.errors import CredentialsError

if TYPE_CHECKING:
    from kubernetes_leader_election.credentials.base import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What was said about where the API server is."""

    kubeconfig: Path | None = None
    context: str | None = None
    server: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    as_uid: str | None = None

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take its parts out of the options of a command."""
        given = {part.name: options.pop(part.name, None) for part in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value})

    @property
    def named(self) -> bool:
        """Whether a server was named at all."""
        parts = (self.kubeconfig, self.context, self.server, self.token_file)
        return any((*parts, self.ca_file))

    def as_library(self) -> Credentials | None:
        """
        Find credentials as the library does; None where there is no cluster.

        ``KUBECONFIG`` alone does not put a laptop's program into an election.

        Raises:
            CredentialsError: they cannot be used; or a cluster is there without them.
            click.UsageError: options that exclude each other.

        """
        from kubernetes_leader_election import credentials  # noqa: PLC0415 - slow

        if self.kubeconfig is None and self.context is None:
            found = credentials.discover(
                server=self.server, token_file=self.token_file, ca_file=self.ca_file
            )
            return None if found is None else self._acting(found)
        if self.server or self.token_file or self.ca_file:
            raise click.UsageError(
                "--kubeconfig or --context name a server already: leave out --server, "
                "--token-file and --ca-file."
            )
        return self._acting(credentials.kubeconfig(self.kubeconfig, self.context))

    def _acting(self, found: Credentials) -> Credentials:
        """Return the same login, acting as whom --as names; see kubectl's."""
        if self.as_user:
            return found.impersonating(
                self.as_user, groups=self.as_groups, uid=self.as_uid or ""
            )
        if self.as_groups or self.as_uid:
            raise click.UsageError(
                "--as-group and --as-uid need --as: the server is asked to act as a "
                "user, who is in those groups."
            )
        return found

    def as_kubectl(self) -> Credentials:
        """
        Find credentials as kubectl does: outside a cluster, those of the kubeconfig.

        Raises:
            CredentialsError: there are none, or they cannot be used.
            click.UsageError: options that exclude each other.

        """
        from kubernetes_leader_election import credentials  # noqa: PLC0415 - slow

        found = self.as_library()
        if found is not None:
            return found
        try:
            return self._acting(credentials.kubeconfig())
        except CredentialsError as error:
            raise CredentialsError(
                f"{error} Name a kubeconfig with --kubeconfig or KUBECONFIG, or a "
                "server with --server; `kle dev` gives one that needs no cluster.",
                source=error.source,
            ) from error
