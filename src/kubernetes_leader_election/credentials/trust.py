"""How TLS is set up: which servers are believed, and which certificate is shown."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import ssl
from collections.abc import Iterator

from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.process import native

__all__ = ["Trust", "read_pem", "read_text", "signature"]

_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)

Signature = tuple[int, int, int, int] | None


def signature(path: str | None) -> Signature:
    """Return what changes when a file is replaced or written; None when it is not there."""
    if path is None:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - a leaf of the hot path
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class Trust:
    """
    The TLS settings of one cluster entry, and the context made of them.

    Files are looked at before each use; a changed one makes a new context. Not safe
    for threads: :class:`.base.Credentials` holds its lock around it.

    Args:
        ca_file: The CA of the server's certificate (PEM).
        ca_data: The same as text. Goes before ``ca_file``; with neither, the system's
            CAs are believed.
        insecure: Accept any certificate (``insecure-skip-tls-verify``).
        server_name: The name to look for in the certificate, where it is not the
            host's.
        certificate_file: A client certificate (PEM).
        key_file: Its key.
        certificate_data: The certificate as text.
        key_data: The key as text.

    """

    __slots__ = (
        "_ca_text",
        "_context",
        "_made_of",
        "ca_data",
        "ca_file",
        "certificate_data",
        "certificate_file",
        "insecure",
        "key_data",
        "key_file",
        "server_name",
    )

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        ca_data: str | None = None,
        insecure: bool = False,
        server_name: str | None = None,
        certificate_file: str | None = None,
        key_file: str | None = None,
        certificate_data: str | None = None,
        key_data: str | None = None,
    ) -> None:
        self.ca_file, self.ca_data = ca_file, ca_data
        self.insecure, self.server_name = insecure, server_name
        self.certificate_file, self.key_file = certificate_file, key_file
        self.certificate_data, self.key_data = certificate_data, key_data
        self._context: ssl.SSLContext | None = None
        self._ca_text = ""
        self._made_of: tuple[object, ...] = ()

    @property
    def speaks_of_tls(self) -> bool:
        """Whether there is a certificate, or the wish not to check one."""
        return bool(
            self.ca_file
            or self.ca_data
            or self.insecure
            or self.certificate_file
            or self.certificate_data
        )

    def context(
        self, certificate: tuple[str, str] | None, *, source: str
    ) -> ssl.SSLContext:
        """
        Return the context; a new object if anything it was made of has changed.

        Args:
            certificate: A client certificate and key (PEM) to use instead of ours.
            source: What to name in errors.

        Raises:
            CredentialsError: a certificate or key cannot be read.
        """
        made_of = (
            signature(self.ca_file),
            signature(self.certificate_file),
            signature(self.key_file),
            certificate,
        )
        if self._context is None or made_of != self._made_of:
            try:
                context = self._make(certificate, source)
            except CredentialsError:
                # Half of a pair may have been replaced: what worked goes on working.
                if self._context is None:
                    raise
                return self._context
            self._context, self._made_of = context, made_of
        return self._context

    def ca_changed(self) -> bool:
        """
        Return whether the CA file holds something else than what is believed now.

        Some volumes bring a new file with the old times; so its text is compared.
        """
        if self.ca_data is not None or self.ca_file is None:
            return False
        try:
            changed = read_pem(self.ca_file) != self._ca_text
        except OSError:
            return False
        if changed:
            self._made_of = ()
        return changed

    def _make(self, certificate: tuple[str, str] | None, source: str) -> ssl.SSLContext:
        # Not create_default_context(): from Python 3.13 on it is stricter than what
        # issues the certificates of many clusters, and Go accepts those.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # As in Go: a certificate that is named as CA is believed, be it a root or not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            self._load_ca(context, source)
        if certificate is not None:
            _load_pair(context, certificate[0], certificate[1], source)
        else:
            self._load_own_pair(context, source)
        return context

    def _load_ca(self, context: ssl.SSLContext, source: str) -> None:
        if self.ca_data is None and self.ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            return
        try:
            text = self.ca_data
            if text is None:
                text = read_pem(self.ca_file or "")
            _believe(context, text)
            self._ca_text = text
        except (OSError, ValueError) as error:
            where = "the CA data" if self.ca_data is not None else self.ca_file
            if isinstance(error, ssl.SSLError):
                why = "it must be certificates in PEM form"
            else:
                why = getattr(error, "strerror", None) or "it has no certificates"
            raise CredentialsError(
                f"{source}: {where} cannot be used as the server's CA: {why}.",
                source=source,
            ) from error

    def _load_own_pair(self, context: ssl.SSLContext, source: str) -> None:
        have_certificate = self.certificate_data or self.certificate_file
        have_key = self.key_data or self.key_file
        if not have_certificate and not have_key:
            return
        if not have_certificate or not have_key:
            raise CredentialsError(
                f"{source}: a client certificate needs both a certificate and a key, "
                f"and the {'key' if have_certificate else 'certificate'} is missing.",
                source=source,
            )
        try:
            certificate = self.certificate_data or read_pem(self.certificate_file or "")
            key = self.key_data or read_pem(self.key_file or "")
        except OSError as error:
            raise CredentialsError(
                f"{source}: the client certificate cannot be read: "
                f"{error.filename}: {error.strerror}.",
                source=source,
            ) from error
        _load_pair(context, certificate, key, source)


def read_text(path: str) -> str:
    """
    Read a file of text.

    Raises:
        OSError: it cannot be read, or is not text. The error holds nothing of what was
            read: the one of the decoder would, and it may be a token (fault 50).
    """
    with open(path, "rb") as file:  # noqa: PTH123 - spares an import
        data = file.read()
    with contextlib.suppress(UnicodeError):
        return data.decode("utf-8")
    raise OSError(errno.EILSEQ, "it is not text", path)


def read_pem(path: str) -> str:
    """
    Read a file of certificates or keys: PEM is ASCII, what stands beside may be anything.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - spares an import
        return file.read().decode("latin-1")


def _believe(context: ssl.SSLContext, text: str) -> None:
    """
    Believe all certificates of a text; as Go, those that can be read if some cannot.

    Raises:
        ssl.SSLError: it has none that can be read.
    """
    ascii_text = text.encode("ascii", "ignore").decode()
    try:
        context.load_verify_locations(cadata=ascii_text)
    except ssl.SSLError:
        good = 0
        for block in _CERTIFICATE.findall(ascii_text):
            with contextlib.suppress(ssl.SSLError):
                context.load_verify_locations(cadata=block)
                good += 1
        if not good:
            raise


def _load_pair(
    context: ssl.SSLContext, certificate: str, key: str, source: str
) -> None:
    """Load a client certificate; ssl takes it from a file only."""

    def refuse_password() -> str:
        # Without this OpenSSL would ask for it on the terminal.
        raise CredentialsError(
            f"{source}: the client key is encrypted, which is not supported.",
            source=source,
        )

    try:
        with _private_file(certificate.rstrip("\n") + "\n" + key) as path:
            context.load_cert_chain(path, password=refuse_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CredentialsError(
            f"{source}: the client certificate and its key cannot be used "
            f"({getattr(error, 'reason', None) or type(error).__name__}). Both must be "
            "in PEM form, and belong together.",
            source=source,
        ) from error


@contextlib.contextmanager
def _private_file(text: str) -> Iterator[str]:
    """Lend a file that only this process can read; in memory where there is a way."""
    if hasattr(os, "memfd_create") and os.access("/proc/self/fd", os.R_OK):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            native.original("os", "close")(descriptor)
        return
    import tempfile  # noqa: PLC0415 - a pod on Linux never needs it

    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name
