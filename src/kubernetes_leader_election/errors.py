"""
Every error of this package.

.. code-block:: text

    LeaderElectionError
    ├── ConfigurationError (also ValueError)   an option, or options together, cannot work
    ├── CredentialsError                       no usable way to the API server was found
    ├── ProtocolMisuseError                    this package was called in a way it forbids
    ├── LeaseApiError                          a request to the API server failed
    ├── NotLeaderError                         leadership, or enough of it, is not held
    ├── LeadershipLostError                    a term ended while its work was running
    └── NoFencingTokenError                    the server's versions are not numbers
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "ConfigurationError",
    "CredentialsError",
    "LeaderElectionError",
    "LeadershipLostError",
    "LeaseApiError",
    "NoFencingTokenError",
    "NotLeaderError",
    "Outcome",
    "ProtocolMisuseError",
]

Outcome = Literal["done", "not done", "unknown"]
"""What is known of a request: was it applied by the server?"""


class LeaderElectionError(Exception):
    """The base class of every error that this package raises."""


class ConfigurationError(LeaderElectionError, ValueError):
    """
    An option, or a combination of options, cannot work.

    The message says what is wrong, shows the arithmetic where there is one, and
    suggests values that work.
    """

    def __init__(self, message: str, *, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


class CredentialsError(LeaderElectionError):
    """
    The API server, or the credentials for it, could not be found.

    ``source`` names the file, variable or client that was looked at.
    """

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source


class ProtocolMisuseError(LeaderElectionError):
    """A call is not allowed in the state that the object is in."""


class LeaseApiError(LeaderElectionError):
    """
    A request to the API server failed.

    ``status`` is the HTTP status if there was an answer, ``reason`` the reason of
    its ``Status`` body, ``retry_after`` the seconds the server asked to wait, and
    ``outcome`` what is known of a write. The error of the layer below is
    ``__cause__``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
        outcome: Outcome = "unknown",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.outcome = outcome


class NotLeaderError(LeaderElectionError):
    """
    Leadership is not held, or provably not for the time that was asked for.

    ``term`` is the term that was asked, or that was in progress, if there was one;
    ``remaining`` the seconds that were left of it.
    """

    def __init__(
        self, message: str, *, term: object = None, remaining: float = 0.0
    ) -> None:
        super().__init__(message)
        self.term = term
        self.remaining = remaining


class LeadershipLostError(LeaderElectionError):
    """
    A term ended while its work was running.

    ``reason`` is the reason of the ``leadership_lost`` event, ``term`` the term.
    """

    def __init__(
        self, message: str, *, reason: str | None = None, term: object = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.term = term


class NoFencingTokenError(LeaderElectionError):
    """
    A term has no fencing token, although it was won in an election.

    The resourceVersions of the server are not numbers, so nobody can tell which of two
    is later. ``term`` is the term that was asked, or its number.
    """

    def __init__(self, message: str, *, term: object = None) -> None:
        super().__init__(message)
        self.term = term

    @classmethod
    def of(cls, where: str, term: object = None) -> NoFencingTokenError:
        """Return the error for a term of that Lease."""
        return cls(
            f"{where}: the resourceVersions of this server are not numbers, so the "
            "term has no token to fence with. Leadership itself is not affected. Fence "
            "by other means, or use a server whose versions grow, as those of etcd do.",
            term=term,
        )
