"""
Log in by asking a program: the exec plugins of a kubeconfig (v1 and v1beta1).

A plugin runs only when the kubeconfig in use names one; its answer is kept until it
expires or the server refuses it. Plugins take seconds, requests of an election have
less: so a plugin runs on a thread of its own, which outlives the request that wanted
it, and is asked again some time before its answer expires. It never gets to read from the terminal unless it says
that it must: a leader in the background has nobody to type for it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes_leader_election.credentials.base import Headers, Login, bearer
from kubernetes_leader_election.credentials.redaction import (
    has_secret_name,
    without_secrets,
)
from kubernetes_leader_election.errors import CredentialsError
from kubernetes_leader_election.process import native
from kubernetes_leader_election.text import printable

__all__ = ["ExecLogin", "Plugin"]

VERSIONS = frozenset(
    {"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}
)

LONGEST_RUN = 60.0
"""Seconds a plugin may take: some open a browser, or wait for a network."""

AHEAD = 60.0
"""Seconds before the end of an answer in which the next one is asked for."""

_LARGEST_ANSWER = 1 << 20
_SHOWN_OF_STDERR = 300
_READ_OF_STDERR = 20_000
_LONG_WORD = re.compile(r"[^\s\"',;:{}\[\]]{12,}")
"""In an answer: a token, whatever the form of the answer."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What a kubeconfig says about a plugin."""

    place: str
    """File and entry, for errors."""
    api_version: str
    command: str
    """A name to look up, or a path; relative ones are so to the kubeconfig."""
    directory: Path
    """Where the kubeconfig lies."""
    arguments: Sequence[str] = field(default=(), repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    """What is told about the cluster; None where the plugin did not ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a plugin gave."""

    headers: Headers = field(repr=False)
    certificate: tuple[str, str] | None = field(repr=False)
    expires: datetime | None


class _Run:
    """One run of a plugin, on a thread of its own."""

    def __init__(
        self,
        ask: Callable[[], _Answer],
        unexpected: Callable[[str], CredentialsError],
    ) -> None:
        self._ask = ask
        self._over = native.Gate()
        self.answer: _Answer | None = None
        self.error: CredentialsError | None = None
        self._unexpected = unexpected
        native.start_thread(self._work, name="leader-election-exec")

    def wait(self, timeout: float) -> bool:
        """Wait for the end; False when it has not come in time."""
        return self._over.wait(timeout)

    def _work(self) -> None:
        try:
            self.answer = self._ask()
        except CredentialsError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - raised again where the answer is wanted
            # Of the kind only: the text may hold arguments or variables (fault 50).
            self.error = self._unexpected(
                f"could not be run: {type(error).__name__} inside this package."
            )
        finally:
            self._over.open()


class ExecLogin(Login):
    """
    Ask a plugin for a token, a client certificate, or both.

    Args:
        plugin: What to run.
        wall: The wall clock, which expiry times are given by.
        environ: The variables the plugin starts from; the process's unless given.
        longest_run: Seconds after which a plugin is ended.
    """

    def __init__(
        self,
        plugin: Plugin,
        *,
        wall: Callable[[], datetime] = _utc_now,
        environ: Mapping[str, str] | None = None,
        longest_run: float = LONGEST_RUN,
    ) -> None:
        self._plugin = plugin
        self._wall = wall
        self._environ = os.environ if environ is None else environ
        self._longest_run = longest_run
        self._answer: _Answer | None = None
        self._running: _Run | None = None
        self._asked_at = -math.inf
        self.description = f"what the plugin {plugin.command} gave ({plugin.place})"

    def headers(self, *, timeout: float | None) -> Headers:
        """
        Return the header with the plugin's token, if it gives one.

        Raises:
            CredentialsError: the plugin failed, or takes longer than ``timeout``.
        """
        return self._current(timeout).headers

    def certificate(self, *, timeout: float | None) -> tuple[str, str] | None:
        """
        Return the plugin's client certificate and key, if it gives them.

        Raises:
            CredentialsError: the plugin failed, or takes longer than ``timeout``.
        """
        return self._current(timeout).certificate

    def refresh(self, *, timeout: float | None) -> None:  # noqa: ARG002 - runs later
        """Have the plugin asked again."""
        self._answer = None

    def drop_after_fork(self) -> None:
        """Forget a run whose thread does not exist in the child."""
        self._running = None

    @property
    def is_secret(self) -> bool:
        """A plugin is there to give a secret."""
        return True

    def _current(self, timeout: float | None) -> _Answer:
        if self._running is not None and self._running.wait(0):
            self._collect(self._running)
        left = self._seconds_left()
        if left <= 0:
            self._answer = None
        elif left < AHEAD and self._running is None and self._may_ask_again():
            self._start()  # beside the requests, which go on with what there is
        if self._answer is not None:
            return self._answer
        run = self._running or self._start()
        limit = self._longest_run + 1 if timeout is None else timeout
        if not run.wait(limit):
            raise self._failure(f"has given no answer yet, after {limit:.1f} s.")
        self._collect(run)
        if run.error is not None:
            raise run.error
        if self._answer is None or self._seconds_left() <= 0:
            raise self._failure("gave something that has expired already.")
        return self._answer

    def _may_ask_again(self) -> bool:
        # Not with each request: some plugins give the same token until its very end.
        return time.monotonic() - self._asked_at >= AHEAD / 4

    def _start(self) -> _Run:
        self._asked_at = time.monotonic()
        self._running = _Run(lambda: self._read(self._run()), self._failure)
        return self._running

    def _collect(self, run: _Run) -> None:
        self._running = None
        # A failure leaves what there is as long as it lasts.
        self._answer = run.answer or self._answer

    def _seconds_left(self) -> float:
        if self._answer is None or self._answer.expires is None:
            return math.inf
        return (self._answer.expires - self._wall()).total_seconds()

    def _run(self) -> bytes:
        plugin, limit = self._plugin, self._longest_run
        interactive = self._is_interactive()
        command = self._find()
        run = native.subprocesses()
        try:
            process: subprocess.Popen[bytes] = run.Popen(
                [command, *plugin.arguments],
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                env=self._variables(interactive=interactive),
                # A group of its own: it can be ended with all its children, and a
                # signal from the terminal does not hit it in our stead.
                start_new_session=not interactive,
            )
        except OSError as error:
            raise self._failure(f"could not be started: {error.strerror}.") from error
        with process:
            try:
                answer, said = process.communicate(timeout=limit)
            except BaseException as error:
                # Not after a good answer: what it left running may be wanted.
                _end(process, group=not interactive)
                if not isinstance(error, run.TimeoutExpired):
                    raise
                answer = None
        if answer is None:
            raise self._failure(f"gave no answer within {limit:.1f} s.")
        if process.returncode != 0:
            raise self._failure(
                f"failed with exit code {process.returncode}."
                f"{_tail(said, known=self._secrets(answer))}"
            )
        return answer

    def _secrets(self, answer: bytes) -> list[str]:
        """Return what a plugin knows, or gave, and may have said as well."""
        plugin = self._plugin
        named = [argument.partition("=") for argument in plugin.arguments]
        known = [value for name, _, value in named if has_secret_name(name)]
        pairs = zip(plugin.arguments, plugin.arguments[1:], strict=False)
        known += [value for name, value in pairs if has_secret_name(name)]
        known += [v for n, v in plugin.variables.items() if has_secret_name(n)]
        printed = answer[:_LARGEST_ANSWER].decode("utf-8", "replace")
        return known + _LONG_WORD.findall(printed)

    def _find(self) -> str:
        command = self._plugin.command
        if os.sep in command:
            return str(self._plugin.directory / command)
        variables = {**self._environ, **self._plugin.variables}
        found = shutil.which(command, path=variables.get("PATH"))
        if found is None:
            hint = self._plugin.install_hint.strip()
            raise self._failure("is not installed." + (f" {hint}" if hint else ""))
        return found

    def _is_interactive(self) -> bool:
        if self._plugin.interactive_mode != "Always":
            return False
        if not (sys.stdin is not None and sys.stdin.isatty()):
            raise self._failure("needs a terminal (interactiveMode: Always).")
        return True

    def _variables(self, *, interactive: bool) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": interactive}
        if self._plugin.cluster is not None:
            spec["cluster"] = dict(self._plugin.cluster)
        question = {
            "kind": "ExecCredential",
            "apiVersion": self._plugin.api_version,
            "spec": spec,
        }
        return {
            **self._environ,
            **self._plugin.variables,
            "KUBERNETES_EXEC_INFO": json.dumps(question),
        }

    def _read(self, answer: bytes) -> _Answer:
        """Take the answer apart; nothing of it is ever shown (fault 50)."""
        value: Any = None
        if len(answer) <= _LARGEST_ANSWER:
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(answer)
        if not isinstance(value, dict) or value.get("kind") != "ExecCredential":
            raise self._failure("did not answer with an ExecCredential.")
        if value.get("apiVersion") != self._plugin.api_version:
            raise self._failure(
                f"answered in another version than {self._plugin.api_version}, which "
                "the kubeconfig names."
            )
        status = value.get("status")
        status = status if isinstance(status, dict) else {}
        token = self._text(status, "token").strip()
        certificate = self._text(status, "clientCertificateData")
        key = self._text(status, "clientKeyData")
        if bool(certificate) != bool(key):
            raise self._failure("gave a client certificate or its key, and not both.")
        if not token and not certificate:
            raise self._failure("gave neither a token nor a client certificate.")
        return _Answer(
            headers=bearer(token) if token else (),
            certificate=(certificate, key) if certificate else None,
            expires=self._expiry(self._text(status, "expirationTimestamp")),
        )

    def _text(self, status: dict[str, Any], key: str) -> str:
        value = status.get(key)
        if value is not None and not isinstance(value, str):
            raise self._failure(f"gave a {key} that is no text.")
        return value or ""

    def _expiry(self, text: str) -> datetime | None:
        if not text:
            return None
        moment = None
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(text)
        if moment is None or moment.tzinfo is None:
            raise self._failure("gave an expirationTimestamp that is no time.")
        return moment

    def _failure(self, trouble: str) -> CredentialsError:
        plugin = self._plugin
        return CredentialsError(
            f"{plugin.place}: the exec plugin {plugin.command} {trouble}",
            source=plugin.place,
        )


def _end(process: subprocess.Popen[bytes], *, group: bool) -> None:
    with contextlib.suppress(OSError):
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def parse_plugin(
    values: Any,
    *,
    place: str,
    directory: Path,
    cluster: Mapping[str, Any],
) -> Plugin:
    """
    Read the ``exec`` entry of a kubeconfig.

    Args:
        values: The entry.
        place: File and entry, for errors.
        directory: Where the kubeconfig lies.
        cluster: What a plugin is told about the cluster if it asks.

    Raises:
        CredentialsError: it is not complete, or of a kind that is not supported.
    """

    def refuse(trouble: str) -> CredentialsError:
        return CredentialsError(f"{place}: exec: {trouble}", source=place)

    if not isinstance(values, dict):
        raise refuse("it is not a mapping.")
    version, command = values.get("apiVersion"), values.get("command")
    if version not in VERSIONS:
        raise refuse(
            f"the apiVersion {version!r} is not supported; those supported are "
            f"{' and '.join(sorted(VERSIONS))}."
        )
    if not isinstance(command, str) or not command:
        raise refuse("it names no command.")
    mode = values.get("interactiveMode")
    mode = "IfAvailable" if mode is None else mode
    if mode not in {"Never", "IfAvailable", "Always"}:
        raise refuse(f"interactiveMode {mode!r} is none of those there are.")
    arguments = values.get("args") or []
    if not isinstance(arguments, list) or not all(
        isinstance(a, str) for a in arguments
    ):
        raise refuse("args is not a list of texts.")
    hint = values.get("installHint") or ""
    return Plugin(
        place=place,
        api_version=str(version),
        command=command,
        directory=directory,
        arguments=tuple(arguments),
        variables=_parse_variables(values.get("env") or [], refuse),
        install_hint=" ".join(str(hint).split()),
        interactive_mode=str(mode),
        cluster=cluster if values.get("provideClusterInfo") else None,
    )


KEYS = {
    "apiVersion",
    "command",
    "args",
    "env",
    "installHint",
    "interactiveMode",
    "provideClusterInfo",
}
"""What an exec entry may have."""


def _parse_variables(
    listed: Any, refuse: Callable[[str], CredentialsError]
) -> dict[str, str]:
    variables: dict[str, str] = {}
    for item in listed if isinstance(listed, list) else [None]:
        name = item.get("name") if isinstance(item, dict) else None
        value = item.get("value") if isinstance(item, dict) else None
        value = "" if value is None else value
        if not isinstance(name, str) or not name or not isinstance(value, str):
            raise refuse("env is not a list of names and values.")
        variables[name] = value
    return variables


def _tail(said: bytes | None, *, known: Iterable[str]) -> str:
    """Return the end of what a plugin said on stderr, as one line and without secrets."""
    text = (said or b"")[-_READ_OF_STDERR:].decode("utf-8", "replace")
    # Before it is cut: a secret without its name is not known for one.
    text = " ".join(without_secrets(text, known=known).split())
    shown = printable(text[-_SHOWN_OF_STDERR:], longest=_SHOWN_OF_STDERR)
    return f" It said: {shown}" if shown else ""


def cluster_info(values: Mapping[str, Any], ca_data: str | None) -> dict[str, Any]:
    """Return what a plugin is told about the cluster, in the form of its protocol."""
    info: dict[str, Any] = {"server": values.get("server")}
    for key in ("tls-server-name", "insecure-skip-tls-verify", "proxy-url"):
        if values.get(key):
            info[key] = values[key]
    if ca_data:
        encoded = base64.b64encode(ca_data.encode("latin-1")).decode("ascii")
        info["certificate-authority-data"] = encoded
    extensions = values.get("extensions")
    for item in extensions if isinstance(extensions, list) else []:
        named = isinstance(item, dict) and item.get("name")
        if named == "client.authentication.k8s.io/exec":
            info["config"] = item.get("extension")
    return info
