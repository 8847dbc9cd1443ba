"""A certificate authority of the server's own, made in a few milliseconds."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kubernetes_leader_election.errors import ConfigurationError

__all__ = ["Authority"]

LIFETIME = timedelta(days=365)


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
            ConfigurationError: The package ``cryptography`` is missing.
        """
        try:
            from cryptography import x509  # noqa: PLC0415  # an extra, TLS only
            from cryptography.hazmat.primitives import (  # noqa: PLC0415  # same
                hashes,
                serialization,
            )
            from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # same
                ec,
            )
            from cryptography.x509.oid import NameOID  # noqa: PLC0415  # same
        except ImportError as error:
            raise ConfigurationError(
                "TLS needs the package cryptography: "
                "pip install 'kubernetes-leader-election[testing]'",
                option="tls",
            ) from error

        now = datetime.now(UTC)

        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def base(
            subject: str, public: ec.EllipticCurvePublicKey
        ) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(name(subject))
                .issuer_name(name("embedded-lease-api-ca"))
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + LIFETIME)
            )

        ca_key = ec.generate_private_key(ec.SECP256R1())
        own = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
        ca = (
            base("embedded-lease-api-ca", ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(own, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for one in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(one)))
            except ValueError:
                alternatives.append(x509.DNSName(one))
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        certificate = (
            base("embedded-lease-api", key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(issuer, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        return cls(
            ca=ca.public_bytes(pem).decode(),
            certificate=certificate.public_bytes(pem).decode(),
            key=key.private_bytes(
                pem,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
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
