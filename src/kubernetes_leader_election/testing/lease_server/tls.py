"""A certificate authority of the server's own, made in a few milliseconds."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubernetes_leader_election.errors import ConfigurationError

__all__ = ["Authority"]


@dataclass(frozen=True, slots=True)
class Authority:
    """
    A certificate authority and one server certificate signed by it, as PEM.

    .. code-block:: python

        authority = Authority.create(["127.0.0.1", "localhost"])
        context = authority.server_context()
        Path("ca.crt").write_text(authority.ca)
    """

    ca: str
    certificate: str
    key: str

    @classmethod
    def create(cls, names: Sequence[str]) -> Authority:
        """
        Make a new authority, and a certificate for these host names and addresses.

        Raises:
            ConfigurationError: The package ``trustme`` is missing.
        """
        try:
            import trustme  # noqa: PLC0415 - an extra, for TLS alone
        except ImportError as error:
            raise ConfigurationError(
                "TLS needs the package trustme: "
                "pip install 'kubernetes-leader-election[testing]'",
                option="tls",
            ) from error

        ca = trustme.CA(organization_name="embedded-lease-api")
        issued = ca.issue_cert(*names, common_name="embedded-lease-api")
        return cls(
            ca=ca.cert_pem.bytes().decode(),
            certificate=issued.cert_chain_pems[0].bytes().decode(),
            key=issued.private_key_pem.bytes().decode(),
        )

    def load_into(self, context: ssl.SSLContext) -> None:
        """Make a context show this certificate; also while connections are open."""
        # The ssl module reads certificates from files only.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "server.pem")
            file.touch(mode=0o600)
            file.write_text(self.certificate + self.key)
            context.load_cert_chain(file)

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_into(context)
        return context
