"""Log in with a bearer token that lies in a file and is replaced there (fault 33)."""

from __future__ import annotations

from kubernetes_leader_election.credentials.base import Headers, Login, bearer
from kubernetes_leader_election.credentials.trust import Signature, read_text, signature
from kubernetes_leader_election.errors import CredentialsError

__all__ = ["TokenFile"]


class TokenFile(Login):
    """
    Send the token that a file holds, as it is at the time of each request.

    The file is looked at before each request, which costs microseconds, and read when
    it has changed; a 401 has it read in any case. If it cannot be read for a moment,
    the last token goes on being used.
    """

    def __init__(self, path: str, *, fallback: str | None = None) -> None:
        self._path = path
        self._fallback = fallback
        self._signature: Signature = None
        self._headers: Headers = ()
        self.description = f"the token in {path}"

    def headers(self, *, timeout: float | None) -> Headers:  # noqa: ARG002 - files do not wait
        """
        Return the header with the token.

        Raises:
            CredentialsError: there is no token in the file, and there never was.
        """
        # Looked at before it is read: a file replaced in between is read once more.
        now = signature(self._path)
        if now is None or now != self._signature or not self._headers:
            try:
                self._headers = bearer(self._read())
                self._signature = now
            except CredentialsError:
                if not self._headers and self._fallback is None:
                    raise
                if not self._headers and self._fallback is not None:
                    return bearer(self._fallback)
        return self._headers

    def refresh(self, *, timeout: float | None) -> None:  # noqa: ARG002 - files do not wait
        """Have the file read again, whatever its times say."""
        self._signature = None

    @property
    def is_secret(self) -> bool:
        """A token is a secret."""
        return True

    def _read(self) -> str:
        try:
            token = read_text(self._path).strip()
        except OSError as error:
            raise CredentialsError(
                f"The token file {self._path} cannot be read: {error.strerror}.",
                source=self._path,
            ) from error
        if not token:
            raise CredentialsError(
                f"The token file {self._path} is empty.", source=self._path
            )
        return token
