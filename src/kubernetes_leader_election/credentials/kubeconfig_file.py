"""
Credentials of a kubeconfig: files merged, a context chosen, its parts put together.

What is known and not supported is refused by name, in the entries that are used: a
setting that was quietly left out would log in as somebody else, or trust somebody else.
What kubectl does not know either is left out, as there, with a warning. Of several
documents the first counts, and entries that are not used may be anything.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from kubernetes_leader_election.credentials.base import (
    Credentials,
    Headers,
    Login,
    Proxy,
    Server,
    StaticLogin,
    bearer,
)
from kubernetes_leader_election.credentials.proxies import (
    parse_proxy,
    proxy_from_variables,
)
from kubernetes_leader_election.credentials.redaction import without_secrets
from kubernetes_leader_election.credentials.tokens import TokenFile
from kubernetes_leader_election.credentials.trust import Trust, read_pem
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.text import did_you_mean, shown

__all__ = ["Entry", "list_contexts", "load", "login_of", "trust_of"]

_CLUSTER_KEYS = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
    "disable-compression",  # nothing is ever compressed here
    "extensions",
}
_USER_KEYS = {
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "token",
    "tokenFile",
    "username",
    "password",
    "as",
    "as-uid",
    "as-groups",
    "as-user-extra",
    "auth-provider",
    "exec",
    "extensions",
}
_YAML_BOOLEANS = {"y": True, "Y": True, "n": False, "N": False}
"""Words that kubectl's YAML takes for true or false, and PyYAML for text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cluster, user or context, and the file that it was found in."""

    kind: str
    name: str
    file: Path
    values: Mapping[str, Any] = field(repr=False)
    """What stands there: tokens and passwords, too (fault 50)."""

    @property
    def place(self) -> str:
        """Name the entry for errors."""
        return f"{self.file}, {self.kind} {self.name!r}"

    def refuse(self, trouble: str) -> CredentialsError:
        """Make the error that names file and entry."""
        return CredentialsError(f"{self.place}: {trouble}", source=self.place)

    def text(self, key: str) -> str | None:
        """Return a setting that is text; None when it is absent or empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.refuse(f"{key} is not text.")
        return value

    def flag(self, key: str) -> bool:
        """Return a setting that is true or false; absent is false."""
        value = self.values.get(key)
        if isinstance(value, str):
            value = _YAML_BOOLEANS.get(value, value)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(f"{key} is neither true nor false.")
        return bool(value)

    def path(self, key: str) -> str | None:
        """Return a file's name: relative ones are so to the file of the entry."""
        value = self.text(key)
        return None if value is None else str(self.file.parent / value)

    def data(self, key: str) -> str | None:
        """Return the text behind a setting in base64."""
        value = self.text(key)
        if value is None:
            return None
        with contextlib.suppress(ValueError):
            # PEM is ASCII; what stands beside it may be anything.
            return base64.b64decode(value).decode("latin-1")
        # Not inside an except: the decoder's error would hold the key (fault 50).
        raise self.refuse(f"{key} is not PEM in base64.")

    def check_keys(self, known: set[str]) -> None:
        """Warn of settings that nobody knows: they are left out, as by kubectl."""
        _warn_of_unknown(self.place, self.values, known)


def load(
    path: str | os.PathLike[str] | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """
    Return the credentials of a context; see :func:`..credentials.kubeconfig`.

    Raises:
        CredentialsError: a file cannot be read, the context is not there or not
            complete, or it asks for something that is not supported.
    """
    variables = os.environ if environ is None else environ
    config = _Merged(_files(path, variables))
    chosen = config.context(context)
    cluster = config.entry("cluster", chosen)
    user = config.entry("user", chosen)
    cluster.check_keys(_CLUSTER_KEYS)
    if user.values.get("auth-provider") is not None:
        raise user.refuse(
            "auth-provider is not supported; Kubernetes took it out as well. Use an "
            "exec plugin of the provider."
        )
    user.check_keys(_USER_KEYS)
    source = f"kubeconfig {chosen.file}, context {chosen.name!r}"
    trust = trust_of(cluster, user)
    server = _server(cluster, trust)
    return Credentials(
        server=server,
        source=source,
        login=login_of(user, cluster, variables),
        trust=trust,
        namespace=chosen.text("namespace") or "default",
        proxy=_proxy(cluster, server, variables),
        impersonation=_impersonation(user),
    )


def _server(cluster: Entry, trust: Trust) -> Server:
    """
    Return the address of a cluster; one without a scheme is understood as by kubectl.

    That is https where TLS is spoken of, by a certificate or the wish not to check one,
    and else http; and such an address has no path.
    """
    address = cluster.text("server")
    if address is None:
        raise cluster.refuse("it names no server.")
    # As kubectl: what stands behind the path is nothing to the server.
    address = re.split("[?#]", address)[0]
    if "://" not in address:
        scheme = "https" if trust.speaks_of_tls else "http"
        if "/" in address.rstrip("/"):
            raise cluster.refuse(
                f"the server {without_secrets(address)!r} has a path and no scheme: "
                f"write {scheme}:// in front, as kubectl wants it as well."
            )
        if scheme == "http":
            logging.getLogger("kubernetes_leader_election").warning(
                "%s: the server %s has no scheme, and there is no certificate-authority: "
                "http is spoken with it, without TLS, as kubectl does.",
                cluster.place,
                shown(without_secrets(address)),
            )
        address = f"{scheme}://{address}"
    return Server.parse(address, source=cluster.place)


def list_contexts(
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Return the names of all contexts, each with its namespace.

    Raises:
        CredentialsError: a file cannot be read.
    """
    variables = os.environ if environ is None else environ
    config = _Merged(_files(path, variables))
    return {c.name: c.text("namespace") or "default" for c in config.contexts()}


class _Merged:
    """Several files as one: for each name, the first file that has it counts."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._entries: dict[tuple[str, str], Entry] = {}
        self._current: str | None = None
        for file in files:
            self._add(file)

    def contexts(self) -> list[Entry]:
        return [e for (kind, _), e in self._entries.items() if kind == "context"]

    def context(self, name: str | None) -> Entry:
        wanted = name or self._current
        where = ", ".join(str(file) for file in self._files)
        if not wanted:
            raise CredentialsError(
                f"{where}: no current-context is set; choose one with "
                f"kubeconfig(context=...).{self._known('context')}",
                source=where,
            )
        found = self._entries.get(("context", wanted))
        if found is None:
            raise CredentialsError(
                f"{where}: there is no context {wanted!r}.{self._known('context')}",
                source=where,
            )
        return found

    def entry(self, kind: str, chosen: Entry) -> Entry:
        name = chosen.text(kind)
        if name is None and kind == "user":
            return Entry(kind="user", name="", file=chosen.file, values={})
        found = self._entries.get((kind, name or ""))
        if found is None:
            raise chosen.refuse(
                f"there is no {kind} {name or ''!r}.{self._known(kind)}"
            )
        return found

    def _known(self, kind: str) -> str:
        names = sorted(name for k, name in self._entries if k == kind)
        return f" Known: {', '.join(names[:20])}." if names else ""

    def _add(self, file: Path) -> None:
        config = _read(file)
        current = config.get("current-context")
        if self._current is None and isinstance(current, str) and current:
            self._current = current
        for kind in ("cluster", "user", "context"):
            listed = config.get(f"{kind}s") or []
            if not isinstance(listed, list):
                raise _broken(file, f"{kind}s is not a list")
            for item in listed:
                # As kubectl: an entry without a name has the empty one.
                entry = {} if item is None else item
                name = entry.get("name") if isinstance(entry, dict) else 0
                name = "" if name is None else name
                if not isinstance(name, str):
                    raise _broken(file, f"an entry of {kind}s has no name that is text")
                values = entry.get(kind) or {}
                if not isinstance(values, dict):
                    raise _broken(file, f"{kind} {name!r} is not a mapping")
                self._entries.setdefault(
                    (kind, name), Entry(kind=kind, name=name, file=file, values=values)
                )


def _files(
    path: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> list[Path]:
    if path is not None:
        return [_expanded(path).absolute()]
    listed = [p for p in environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    if not listed:
        return [Path(environ.get("HOME") or _expanded("~")) / ".kube" / "config"]
    files = [Path(p).absolute() for p in dict.fromkeys(listed)]
    # As kubectl: of several files some may be missing.
    present = [file for file in files if file.exists()]
    return present or files[:1]


def _expanded(path: str | os.PathLike[str]) -> Path:
    """Return the path with its ``~`` replaced; containers often have no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CredentialsError(
            f"No kubeconfig is known: {Path(path).parts[0]} is no folder here, as HOME "
            f"is not set and the user (uid {os.getuid()}) has no home directory. Set "
            "KUBECONFIG or HOME, or name the file.",
            source="kubeconfig",
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CredentialsError(
            f"The kubeconfig {file} cannot be read: {error.strerror}.",
            source=str(file),
        ) from error
    at = ""
    try:
        # Bytes, so that their encoding is found out; of several documents the first.
        config = next(yaml.load_all(data, Loader=_Loader), None)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark is not None else " (an odd value)"
    if at:
        # Not inside the except: that error quotes the line, maybe a token (fault 50).
        raise _broken(file, f"it is not YAML{at}")
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise _broken(file, "it is not a mapping")
    return config


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # with or without C
    """Make plain values as kubectl does: of any tag, and text of what looks like a date."""

    def plain(self, node: yaml.Node) -> Any:
        """Make what a node of an unknown tag holds."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)


_Loader.yaml_implicit_resolvers = {
    letter: [
        one
        for one in resolvers
        if one[0] not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(None, _Loader.plain)


def _warn_of_unknown(place: str, values: Mapping[str, Any], known: set[str]) -> None:
    """Warn of each setting that is not known, by its name alone (fault 50)."""
    for key in values:
        if key not in known:
            logging.getLogger("kubernetes_leader_election").warning(
                "%s: the setting %s is not known and is left out, as kubectl does.%s",
                place,
                shown(key),
                did_you_mean(str(key), sorted(known)),
            )


def _broken(file: Path, trouble: str) -> CredentialsError:
    return CredentialsError(
        f"The kubeconfig {file} cannot be used: {trouble}.", source=str(file)
    )


def trust_of(cluster: Entry, user: Entry) -> Trust:
    """Return the TLS settings that two entries name."""
    ca_file = cluster.path("certificate-authority")
    ca_data = cluster.data("certificate-authority-data")
    insecure = cluster.flag("insecure-skip-tls-verify")
    if insecure and (ca_file or ca_data):
        raise cluster.refuse(
            "insecure-skip-tls-verify and a certificate-authority contradict each other."
        )
    certificate_file, key_file = (
        user.path("client-certificate"),
        user.path("client-key"),
    )
    certificate_data = user.data("client-certificate-data")
    key_data = user.data("client-key-data")
    # As kubectl: a key alone proves nothing to anybody, and does no harm.
    has_certificate = bool(certificate_file or certificate_data)
    return Trust(
        ca_file=None if ca_data else ca_file,
        ca_data=ca_data,
        insecure=insecure,
        server_name=cluster.text("tls-server-name"),
        certificate_file=certificate_file,
        key_file=key_file if has_certificate else None,
        certificate_data=certificate_data,
        key_data=key_data if has_certificate else None,
    )


def _proxy(cluster: Entry, server: Server, environ: Mapping[str, str]) -> Proxy | None:
    url = cluster.text("proxy-url")
    if url is not None:
        return parse_proxy(url, source=f"{cluster.place}, proxy-url")
    return proxy_from_variables(server, environ)


def login_of(user: Entry, cluster: Entry, environ: Mapping[str, str]) -> Login | None:
    """Return the way to log in that a user entry names; None for the anonymous user."""
    token_file, token = user.path("tokenFile"), user.text("token")
    name, password = user.text("username"), user.text("password")
    plugin = user.values.get("exec")
    ways = {
        "token": token is not None or token_file is not None,
        "username": name is not None or password is not None,
    }
    named = [way for way, there in ways.items() if there]
    if len(named) > 1:
        raise user.refuse(f"{' and '.join(named)} contradict each other: keep one.")
    if named and plugin is not None:
        # As kubectl: a plugin is asked where nothing else says who is asking.
        logging.getLogger("kubernetes_leader_election").warning(
            "%s: exec is not used, %s goes before it", user.place, named[0]
        )
    if token_file is not None:
        return TokenFile(token_file, fallback=token)
    if token is not None:
        description = f"the token of {user.place}"
        return StaticLogin(bearer(token.strip()), description=description)
    if ways["username"]:
        pair = base64.b64encode(f"{name or ''}:{password or ''}".encode())
        return StaticLogin(
            (("Authorization", f"Basic {pair.decode('ascii')}"),),
            description=f"the password of {user.place}",
        )
    if plugin is not None:
        return _plugin_login(plugin, user, cluster, environ)
    if user.values.get("client-certificate") or user.values.get(
        "client-certificate-data"
    ):
        return StaticLogin((), description=f"the client certificate of {user.place}")
    return None


def _plugin_login(
    values: Any, user: Entry, cluster: Entry, environ: Mapping[str, str]
) -> Login:
    # fmt: off
    from kubernetes_leader_election.credentials import exec_plugin  # noqa: PLC0415 - subprocess
    # fmt: on
    ca_data, ca_file = (
        cluster.data("certificate-authority-data"),
        cluster.path("certificate-authority"),
    )
    if ca_data is None and ca_file is not None:
        with contextlib.suppress(OSError):  # said when the file is used
            ca_data = read_pem(ca_file)
    if isinstance(values, dict):
        _warn_of_unknown(f"{user.place}: exec", values, exec_plugin.KEYS)
    plugin = exec_plugin.parse_plugin(
        values,
        place=user.place,
        directory=user.file.parent,
        cluster=exec_plugin.cluster_info(cluster.values, ca_data),
    )
    return exec_plugin.ExecLogin(plugin, environ=environ)


def _impersonation(user: Entry) -> Headers:
    name, uid = user.text("as"), user.text("as-uid")
    groups = user.values.get("as-groups") or []
    extra = user.values.get("as-user-extra") or {}
    if not _is_texts(groups):
        raise user.refuse("as-groups is not a list of texts.")
    if not isinstance(extra, dict) or not all(
        isinstance(key, str) and _is_texts(values) for key, values in extra.items()
    ):
        raise user.refuse("as-user-extra does not map names to lists of texts.")
    if name is None and (uid or groups or extra):
        raise user.refuse("as-uid, as-groups and as-user-extra need as.")
    headers = [("Impersonate-User", name)] if name else []
    headers += [("Impersonate-Uid", uid)] if uid else []
    headers += [("Impersonate-Group", group) for group in groups]
    headers += [
        (f"Impersonate-Extra-{quote(key, safe='')}", value)
        for key, values in extra.items()
        for value in values
    ]
    return tuple(headers)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)
