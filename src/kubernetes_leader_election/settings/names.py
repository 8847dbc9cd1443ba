"""The names of an election: of its Lease, of the namespace, and of the candidate."""

from __future__ import annotations

import os
import re
from typing import Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.text import shown

DEFAULT_LEASE_NAME: Final = "python-leader-election"
"""Node package: nodejs-leader-election."""


class UnsaidNamespace(str):
    """A namespace that nobody named: a variable may name one, and a doubt be said."""

    __slots__ = ()


DEFAULT_NAMESPACE: Final = UnsaidNamespace("default")
"""Node package: default."""
NAMESPACE_VARIABLE: Final = "KLE_NAMESPACE"
"""Names the namespace where the program does not, as for the command line."""
MAX_IDENTITY: Final = 253
"""Characters: the length of a DNS name, so that every pod and host name fits."""
_SUBDOMAIN: Final = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def text(name: str, value: object, *, example: str) -> str:
    """
    Take a text, and nothing else.

    Raises:
        ConfigurationError: it is none; with an example.

    """
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{name} must be text, not {shown(value)}. Use {name}={example!r}.",
            option=name,
        )
    return value


def lease_name(value: object) -> str:
    """
    Read the name of a Lease.

    Raises:
        ConfigurationError: it is none; with the nearest one that is.

    """
    name = text("lease_name", value, example=DEFAULT_LEASE_NAME)
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise ConfigurationError(
            f"lease_name={shown(name)} is not a valid name for a Lease: use at most 253 "
            "characters, only a-z, 0-9, '-' and '.', and each part between dots starts "
            "and ends with a letter or digit. "
            f"Use lease_name={_repaired(name, 253, DEFAULT_LEASE_NAME)!r}.",
            option="lease_name",
        )
    return name


def namespace_of_environment(given: str | None) -> str | None:
    """
    Return the namespace that was given; else that of ``KLE_NAMESPACE``, if it is set.

    Raises:
        ConfigurationError: the variable's is no name of a namespace.

    """
    variable = os.environ.get(NAMESPACE_VARIABLE)
    if not isinstance(given, UnsaidNamespace) or not variable:
        return given
    return namespace_found(variable, f"The variable {NAMESPACE_VARIABLE}")


def namespace_found(name: str, place: str) -> str:
    """
    Return a namespace that was found, rather than given as an option.

    Raises:
        ConfigurationError: it is no name of a namespace; says the ``place``, too.

    """
    try:
        return _namespace(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}", option="namespace") from error


def optional_namespace(value: object) -> str | None:
    """
    Read the name of a namespace; None: it is to be found.

    Raises:
        ConfigurationError: it is none; with the nearest one that is.

    """
    # A plain one from here on: serializers refuse what only inherits from a text.
    return None if value is None else str(_namespace(value))


def _namespace(value: object) -> str:
    name = text("namespace", value, example=DEFAULT_NAMESPACE)
    if len(name) > 63 or not _LABEL.fullmatch(name):
        repaired = _repaired(name.replace(".", "-"), 63, DEFAULT_NAMESPACE)
        raise ConfigurationError(
            f"namespace={shown(name)} is not a valid name for a namespace: use at most 63 "
            "characters, only a-z, 0-9 and '-', and starts and ends with a letter or "
            f"digit. Use namespace={repaired!r}.",
            option="namespace",
        )
    return name


def _repaired(name: str, limit: int, default: str) -> str:
    """Return the nearest name that the API server takes."""
    parts = re.sub(r"[^a-z0-9.-]+", "-", name.lower()[:limit]).split(".")
    kept = [part.strip("-") for part in parts]
    return ".".join(part for part in kept if part) or default


def identity(value: object) -> str | None:
    """
    Read the name of a candidate; None: :func:`default_identity`.

    Raises:
        ConfigurationError: it cannot stand in a Lease, or not be shown.

    """
    if value is None:
        return None
    name, better = text("identity", value, example="my-app-0"), default_identity()
    if not name.strip():
        wrong = (
            " must not be empty: in a Lease, an empty holder means that nobody leads"
        )
    elif len(name) > MAX_IDENTITY:
        wrong = f" has {len(name)} characters, more than {MAX_IDENTITY}"
    elif not name.isprintable():
        wrong = f"={shown(name)} holds characters that cannot be shown, as a line break"
        better = "".join(c for c in name if c.isprintable()).strip() or better
    else:
        return name
    raise ConfigurationError(
        f"identity{wrong}. Use identity={better!r}, or leave it out.", option="identity"
    )


def default_identity() -> str:
    """
    Return ``elector-{hostname}-{pid}`` of this process, fit to be an identity.

    ``POD_NAME`` stands in for the host name: pods with ``hostNetwork`` share that of
    their node, and each of them has a process 1.
    """
    name = os.environ.get("POD_NAME", "").strip() or os.uname().nodename
    host = "".join(c for c in name if c.isprintable())
    pid = str(os.getpid())
    return f"elector-{host[: MAX_IDENTITY - len(pid) - len('elector--')]}-{pid}"
