"""The serving certificates of an authority, and keys for tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["serving_certificate", "write_key_pair"]


def serving_certificate(
    name: str, identities: Sequence[str]
) -> tuple[bytes, bytes, bytes]:
    """
    Return certificate, key and authority, as PEM, of a server under some names.

    The authority is a new one with a name of its own: OpenSSL picks the issuer by name,
    so two of one name would be reported as a bad signature, not as an unknown issuer.
    """
    authority = trustme.CA(organization_name=f"authority of {name}")
    issued = authority.issue_cert(*identities, common_name=name)
    return (
        issued.cert_chain_pems[0].bytes(),
        issued.private_key_pem.bytes(),
        authority.cert_pem.bytes(),
    )


def write_key_pair(private: Path, public: Path) -> None:
    """Write a new RSA key pair, as service account tokens are signed with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
