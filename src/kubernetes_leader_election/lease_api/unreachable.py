"""Say why a request could not even be sent, and what to do about it."""

from __future__ import annotations

import socket
import ssl

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import CredentialsError, LeaseApiError
from kubernetes_leader_election.lease_api.call import CallOverError
from kubernetes_leader_election.lease_api.classify import Request, without_frames
from kubernetes_leader_election.lease_api.results import NotSent

__all__ = ["not_sent"]


def not_sent(
    request: Request, cause: Exception, *, credentials: Credentials
) -> NotSent:
    """Give the result of a request of which not a byte was sent."""
    error = LeaseApiError(
        f"Could not {request} at {credentials.server.url}: "
        f"{_why(cause, credentials)} Nothing was sent.",
        outcome="not done",
    )
    error.__cause__ = without_frames(cause)
    return NotSent(error=error)


def _why(cause: Exception, credentials: Credentials) -> str:
    server, proxy = credentials.server, credentials.proxy
    host = server.host if proxy is None else f"{proxy.host} (the proxy)"
    way = server.authority if proxy is None else f"the proxy {proxy.authority}"
    match cause:
        case CredentialsError():
            return str(cause)
        case CallOverError():
            return f"{cause} before the request was sent."
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not accepted: {cause.verify_message.rstrip('.')}. "
                f"Check the CA and the server's name in {credentials.source}."
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return f"what listens at {way} does not speak TLS. Is it meant for http://?"
        case ssl.SSLError():
            return f"the TLS handshake failed ({cause.reason or 'connection lost'})."
        case socket.gaierror():
            return f"the name {host} cannot be looked up ({cause.strerror})."
        case TimeoutError():
            return f"no connection to {way} within the time given. Is it firewalled?"
        case ConnectionRefusedError() if cause.errno is not None:
            return f"nothing listens at {way} (connection refused)."
        case OSError():
            return f"no connection to {way}: {cause.strerror or cause}."
        case _:
            return f"{cause}."
