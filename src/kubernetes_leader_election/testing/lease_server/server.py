"""
The server as other code sees it: a thread, an address, and handles to everything.

The thread owns the event loop and all state. What is called from other threads is
either handed to the loop (and waited for) or made for any thread: the fault plan, the
record of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ipaddress
import random
import socket
import ssl
import string
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from kubernetes_leader_election.errors import ProtocolMisuseError
from kubernetes_leader_election.testing.faults import FaultPlan
from kubernetes_leader_election.testing.lease_server.api.access import (
    MASTERS,
    Access,
    User,
)
from kubernetes_leader_election.testing.lease_server.api.deletion import DeleteOptions
from kubernetes_leader_election.testing.lease_server.api.registry import (
    DEFAULT_NAMESPACES,
    Registry,
)
from kubernetes_leader_election.testing.lease_server.api.resources import (
    EVENTS,
    LEASES,
    NAMESPACES,
    PODS,
    SLICES,
)
from kubernetes_leader_election.testing.lease_server.app import App
from kubernetes_leader_election.testing.lease_server.control import Control
from kubernetes_leader_election.testing.lease_server.http.connections import (
    Connections,
    listen,
)
from kubernetes_leader_election.testing.lease_server.http.request_log import RequestLog
from kubernetes_leader_election.testing.lease_server.kubeconfig import kubeconfig_text
from kubernetes_leader_election.testing.lease_server.storage import state_file
from kubernetes_leader_election.testing.lease_server.storage.store import Backup, Store
from kubernetes_leader_election.testing.lease_server.timings import Timings
from kubernetes_leader_election.testing.lease_server.tls import Authority
from kubernetes_leader_election.testing.loop_thread import PATIENCE, LoopThread

__all__ = ["LeaseServer"]

Result = TypeVar("Result")


def _suffix() -> str:
    letters = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(random.choices(letters, k=5))


def _token() -> str:
    letters = string.ascii_lowercase + string.digits
    return "".join(random.SystemRandom().choices(letters, k=32))


class LeaseServer(LoopThread):
    """
    Run an embedded Lease API in a thread of its own.

    .. code-block:: python

        with LeaseServer() as server:
            print(server.url)                      # http://127.0.0.1:43121
            server.kubeconfig(path="kubeconfig")   # for kubectl and every client
            server.faults.add(Fault(Delay(1.0), verb="update"))
            print(server.requests.counts())

    Without ``users`` everybody is let in as an administrator. With them the server asks
    for tokens as a real one does, and has one user more: ``admin``, who may do all.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        tls: Serve https with a certificate made on start (see ``ca``).
        users: Who has a token, and which Roles.
        manifests: YAML with Roles and bindings, as given to kubectl.
        open_access: Let requests without a token in; by default if there are no users.
        namespaces: Namespaces beside ``default``, ``kube-system`` and the like.
        timings: How patient the server is; the real one's values by default.
        state: A file that keeps all objects over restarts.
        seed: Makes the shares of faults repeatable.
        control: Accept commands below ``/control``, which ``kle dev fault`` sends.
        coordinated: Switch the gate CoordinatedLeaderElection on, which is off in a
            real server: ``strategy`` and ``preferredHolder`` are kept and judged.
    """

    what = "Lease server"

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        users: Sequence[User] = (),
        manifests: str | None = None,
        open_access: bool | None = None,
        namespaces: Iterable[str] = (),
        timings: Timings | None = None,
        state: str | Path | None = None,
        seed: int | None = None,
        control: bool = False,
        coordinated: bool = False,
    ) -> None:
        super().__init__()
        self.faults = FaultPlan(seed=seed)
        self.requests = RequestLog()
        self._with_control = control
        self._host = host
        self._port = port
        self._listening: socket.socket
        self._timings = timings or Timings()
        self._authority = Authority.create(_names(host)) if tls else None
        self._context: ssl.SSLContext | None = None
        is_open = not users and not manifests if open_access is None else open_access
        admin = User("admin", token=_token(), groups=(MASTERS,))
        self._access = Access([admin, *users], open_access=is_open)
        if manifests is not None:
            self._access.load(manifests)
        self._registry = Registry(
            Store(), lambda: str(uuid.uuid4()), _suffix, coordinated=coordinated
        )
        self._state = Path(state) if state is not None else None
        self._namespaces = (*DEFAULT_NAMESPACES, *namespaces)
        self._app: App | None = None
        self._keeper: state_file.Keeper | None = None
        self._connections: Connections | None = None
        self._thawed = threading.Event()
        self._thawed.set()

    # Life

    def start(self) -> Self:
        """
        Listen and serve; returns once the server answers.

        Raises:
            OSError: The port is taken.
            ProtocolMisuseError: It runs already.
        """
        if self._thread is not None:
            raise ProtocolMisuseError(f"the {self.what} runs already")
        self._prepare_state()
        self._listening = listen(self._host, self._port)
        self._port = self._listening.getsockname()[1]
        return super().start()

    def stop(self) -> None:
        """Drop every connection and end the thread; stopping twice is no error."""
        self.thaw()
        super().stop()

    def _prepare_state(self) -> None:
        now = datetime.now(UTC)
        store = self._registry.store
        if self._state is not None:
            state_file.load(self._state, store)
        for name in self._namespaces:
            self._registry.add_namespace(name, now)
        store.restart()

    async def serve(self, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        """Answer requests until the end; called in the server's loop."""
        self._registry.store.listeners.clear()
        address = f"{_bracketed(self._host)}:{self._port}"
        self._app = App(
            self._registry,
            self._access,
            self.faults,
            self.requests,
            self._timings,
            address,
            Control(self.faults, self._orders()) if self._with_control else None,
        )
        if self._state is not None:
            self._keeper = state_file.Keeper(self._state, self._registry.store)
        if self._authority is not None:
            self._context = self._authority.server_context()
        self._connections = Connections(
            self._app.handle, context=self._context, idle=self._timings.idle
        )
        await self._connections.open(self._listening)
        ready()
        await stopping.wait()
        await self._connections.close()
        if self._keeper is not None:
            self._keeper.close()

    def _orders(self) -> dict[str, Callable[..., None]]:
        """Return what carries out the orders that come over the port."""
        return {
            "freeze": lambda seconds=1.0: self.freeze(seconds),
            "freeze-storage": self.freeze_storage,
            "thaw-storage": self.thaw_storage,
            "compact": self.compact,
            "drop-connections": self.drop_connections,
            "end-watches": self.end_watches,
            "restart": self.restart,
        }

    def _call(self, function: Callable[[], Result]) -> Result:
        """Run something in the server's thread and give its result."""
        return function() if self._thread is None else self.call(function)

    # Where it is

    @property
    def port(self) -> int:
        """Return the port; 0 before a free one was taken."""
        return self._port

    @property
    def url(self) -> str:
        """Return the base address, without a slash at the end."""
        scheme = "https" if self._authority is not None else "http"
        return f"{scheme}://{_bracketed(self._host)}:{self._port}"

    @property
    def ca(self) -> str | None:
        """Return the certificate authority as PEM, None without TLS."""
        return self._authority.ca if self._authority is not None else None

    def rotate_certificates(self) -> None:
        """Use a new authority and certificate for new connections."""
        if self._authority is None or self._context is None:
            raise ProtocolMisuseError("this Lease server was started without TLS")
        authority = Authority.create(_names(self._host))
        context = self._context
        self._call(lambda: authority.load_into(context))
        self._authority = authority

    def kubeconfig(
        self,
        user: str | None = None,
        *,
        path: str | Path | None = None,
        namespace: str = "default",
    ) -> str:
        """
        Return a kubeconfig as text, and write it to ``path`` (mode 600) if given.

        ``user`` is one of the server's users; by default nobody in particular where
        everybody is let in, else ``admin``.
        """
        token = ""
        if user is not None or not self._access.open_access:
            token = self._access.user(user or "admin").token
        elif self._authority is not None:
            token = self._access.user("admin").token
        text = kubeconfig_text(
            url=self.url,
            ca=self.ca,
            user=user or "admin",
            token=token,
            namespace=namespace,
        )
        if path is not None:
            file = Path(path)
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
        return text

    # Who may do what

    def add_user(
        self,
        name: str,
        *,
        token: str | None = None,
        groups: tuple[str, ...] = (),
        roles: tuple[str | Mapping[str, Any], ...] = (),
    ) -> User:
        """Add a user with a token (a random one by default), or replace a namesake."""
        user = User(name, token=token or _token(), groups=groups, roles=roles)
        self._call(lambda: self._access.add(user))
        return user

    def set_roles(self, name: str, *roles: str | Mapping[str, Any]) -> None:
        """Give a user these Roles and no others; none takes all rights away."""
        user = replace(self._access.user(name), roles=roles)
        self._call(lambda: self._access.add(user))

    def rotate_token(self, name: str) -> str:
        """Replace the token of a user, and return the new one; the old one gets a 401."""
        user = replace(self._access.user(name), token=_token())
        self._call(lambda: self._access.add(user))
        return user.token

    def user(self, name: str) -> User:
        """Return one of the server's users, token included."""
        return self._access.user(name)

    # What it holds

    @property
    def revision(self) -> int:
        """Return the resourceVersion of the latest change."""
        return self._registry.store.revision

    def lease(self, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """Return a copy of a Lease as it is stored, past every fault; None without one."""
        stored = self._call(lambda: self._registry.store.get((LEASES, namespace, name)))
        return copy.deepcopy(stored.document) if stored is not None else None

    def leases(self, namespace: str = "") -> list[dict[str, Any]]:
        """Return copies of all Leases, of one namespace or of all."""
        found = self._call(lambda: self._registry.store.objects(LEASES, namespace))
        return [copy.deepcopy(one.document) for one in found]

    def pod(self, name: str, namespace: str = "default") -> dict[str, Any] | None:
        """Return a copy of a pod as it is stored; None where there is none."""
        stored = self._call(lambda: self._registry.store.get((PODS, namespace, name)))
        return copy.deepcopy(stored.document) if stored is not None else None

    def endpoint_slice(
        self, name: str, namespace: str = "default"
    ) -> dict[str, Any] | None:
        """Return a copy of an EndpointSlice as it is stored; None where there is none."""
        stored = self._call(lambda: self._registry.store.get((SLICES, namespace, name)))
        return copy.deepcopy(stored.document) if stored is not None else None

    def events(self, namespace: str = "") -> list[dict[str, Any]]:
        """Return copies of all Events, of one namespace or of all, the oldest first."""
        found = self._call(lambda: self._registry.store.objects(EVENTS, namespace))
        ordered = sorted(found, key=lambda one: one.revision)
        return [copy.deepcopy(one.document) for one in ordered]

    def add_namespace(self, name: str) -> None:
        """Create a namespace, if it is not there."""
        self._call(lambda: self._registry.add_namespace(name, datetime.now(UTC)))

    def terminate_namespace(self, name: str) -> None:
        """Begin to delete a namespace: creating in it is refused from now on."""
        options = DeleteOptions(now=datetime.now(UTC))
        self._call(lambda: self._registry.delete(NAMESPACES, "", name, options))

    def remove_namespace(self, name: str) -> None:
        """Finish the deletion of a namespace: its Leases go, then the namespace."""
        self._call(lambda: self._registry.remove_namespace(name))

    # What can go wrong with all of it

    def freeze(self, seconds: float | None = None) -> None:
        """
        Stop the whole server as SIGSTOP would: no answers, no events, nothing closes.

        Returns when it stands still. It goes on after ``seconds`` or at ``thaw()``.
        """
        loop = self._loop
        if self._thread is None or loop is None:
            raise ProtocolMisuseError("the Lease server does not run")
        self._thawed.clear()
        frozen = threading.Event()

        def stand_still() -> None:
            frozen.set()
            self._thawed.wait(seconds)

        loop.call_soon_threadsafe(stand_still)
        if not frozen.wait(PATIENCE):
            raise TimeoutError("the Lease server was frozen already")

    def thaw(self) -> None:
        """Let a frozen server go on; it is no error if it is not frozen."""
        self._thawed.set()

    def freeze_storage(self, *, apply_late: bool = False) -> None:
        """
        Let the storage hang, as etcd can: what is in memory is still answered.

        Writes are answered 504 after ``timings.write`` seconds; with ``apply_late`` they
        are applied all the same when the storage comes back.
        """
        self._call(lambda: self._running().gate.close(apply_late=apply_late))

    def thaw_storage(self) -> None:
        """Bring the storage back."""
        self._call(self._running().gate.open)

    def compact(self) -> None:
        """Forget the history: watches from earlier versions are answered 410."""
        self._call(self._registry.store.compact)

    def drop_connections(self) -> None:
        """Reset every open connection, watches included."""
        if self._connections is not None:
            self._call(self._connections.abort)

    def end_watches(self) -> None:
        """End every open watch cleanly."""
        self._call(self._running().hub.end_all)

    def restart(self, *, down: float = 0.0, graceful: bool = False) -> None:
        """
        Restart on the same port: objects stay, the history of watches is lost.

        Killed, connections are cut; graceful, requests in flight are finished and
        watches end cleanly. Blocks, and is ``down`` seconds away in between.
        """
        app, connections = self._running(), self._connections
        assert connections is not None

        async def again() -> None:
            if graceful:
                app.hub.end_all()
                await connections.close(patience=self._timings.write)
            else:
                await connections.close()
            await asyncio.sleep(down)
            self._registry.store.restart()
            await connections.open(listen(self._host, self._port))

        patience = PATIENCE + down + (self._timings.write if graceful else 0.0)
        self.run(again(), within=patience)

    def backup(self) -> Backup:
        """Copy all objects and the version counter."""
        return self._call(self._registry.store.backup)

    def restore(self, backup: Backup) -> None:
        """Go back to a backup, as an etcd restore does; every connection is cut."""

        def go_back() -> None:
            self._registry.store.restore(backup)
            if self._keeper is not None:
                self._keeper.rewrite()

        self._call(go_back)
        self.drop_connections()

    @property
    def open_watches(self) -> int:
        """Count the watches that are open now."""
        return self._call(lambda: len(self._running().hub))

    def _running(self) -> App:
        if self._app is None:
            raise ProtocolMisuseError("the Lease server does not run")
        return self._app


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _names(host: str) -> list[str]:
    names = ["localhost", "127.0.0.1", "::1"]
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            return names
    return names if host in names else [*names, host]
