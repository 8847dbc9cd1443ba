"""Credentials given one by one: a server, a token, a CA."""

from __future__ import annotations

import os

from kubernetes_leader_election.credentials.base import (
    Credentials,
    Login,
    Server,
    StaticLogin,
    bearer,
)
from kubernetes_leader_election.credentials.tokens import TokenFile
from kubernetes_leader_election.credentials.trust import Trust
from kubernetes_leader_election.errors import CredentialsError

__all__ = ["explicit"]

_SOURCE = "the options given"


def explicit(
    *,
    server: str,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    ca_data: str | None = None,
    client_certificate: str | os.PathLike[str] | None = None,
    client_key: str | os.PathLike[str] | None = None,
    tls_server_name: str | None = None,
    insecure_skip_tls_verify: bool = False,
    namespace: str | None = None,
) -> Credentials:
    """
    Return credentials made of the parts named.

    .. code-block:: python

        explicit(server="https://10.0.0.1:6443", token_file="token", ca_file="ca.crt")

    Args:
        server: URL of the API server. Plain http goes with a token to this machine
            only.
        token: A bearer token.
        token_file: A file with one, read again when it changes.
        ca_file: The CA of the server's certificate (PEM), read again when it changes;
            the system's CAs unless given.
        ca_data: The same as text.
        client_certificate: A file with a client certificate (PEM).
        client_key: The file with its key.
        tls_server_name: The name in the server's certificate, if not the host's.
        insecure_skip_tls_verify: Accept any certificate. For experiments only.
        namespace: The namespace to use where none is asked for.

    Raises:
        CredentialsError: the parts do not fit together, or are not safe together.
    """
    if token is not None and token_file is not None:
        raise CredentialsError("Give token or token_file, not both.", source=_SOURCE)
    if insecure_skip_tls_verify and (ca_file is not None or ca_data is not None):
        raise CredentialsError(
            "A CA and insecure_skip_tls_verify contradict each other.", source=_SOURCE
        )
    login: Login | None = None
    if token is not None:
        if not token.strip():
            raise CredentialsError("The token given is empty.", source=_SOURCE)
        login = StaticLogin(bearer(token.strip()), description="the token given")
    elif token_file is not None:
        login = TokenFile(os.fspath(token_file))
    return Credentials(
        server=Server.parse(server, source=_SOURCE),
        source=_SOURCE,
        login=login,
        trust=Trust(
            ca_file=_path(ca_file),
            ca_data=ca_data,
            insecure=insecure_skip_tls_verify,
            server_name=tls_server_name,
            certificate_file=_path(client_certificate),
            key_file=_path(client_key),
        ),
        namespace=namespace,
    )


def _path(value: str | os.PathLike[str] | None) -> str | None:
    return None if value is None else os.fspath(value)
