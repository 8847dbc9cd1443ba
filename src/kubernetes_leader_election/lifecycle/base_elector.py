"""What both electors are built from: the options, the properties, the handlers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Never, TypeVar

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import ConfigurationError, NotLeaderError
from kubernetes_leader_election.events import EVENTS, Handler
from kubernetes_leader_election.leadership import ElectorState, Health
from kubernetes_leader_election.lifecycle.base_term import is_enough
from kubernetes_leader_election.lifecycle.health import health_of
from kubernetes_leader_election.lifecycle.lifecycle import Lifecycle
from kubernetes_leader_election.lifecycle.liveness_probe import AskCallable, Probe
from kubernetes_leader_election.lifecycle.status import TermT
from kubernetes_leader_election.settings.durations import Duration
from kubernetes_leader_election.settings.names import (
    DEFAULT_LEASE_NAME,
    DEFAULT_NAMESPACE,
    UnsaidNamespace,
    namespace_of_environment,
)
from kubernetes_leader_election.settings.options import (
    DEFAULT_GRACE,
    OPTION_NAMES,
    Liveness,
    Settings,
    refuse_unknown_options,
    resolve_settings,
)
from kubernetes_leader_election.text import shown_seconds

if TYPE_CHECKING:
    from kubernetes_leader_election.lifecycle.subscribe import Subscribe

_OWN_OPTIONS: Final = ("credentials", "server", "token", "token_file", "ca_file", "log")
_LEVELS: Final = ("debug", "info", "warning", "error")

_H = TypeVar("_H", bound=Handler)


class BaseElector(Generic[TermT]):
    """
    Hold what is the same for asyncio and for threads.

    The options are those of ``__init__``.
    """

    EVENTS: ClassVar = EVENTS
    """The names of the events."""

    _lifecycle: Lifecycle[TermT]

    def __init__(
        self,
        *,
        lease_name: str = DEFAULT_LEASE_NAME,
        namespace: str | None = DEFAULT_NAMESPACE,
        identity: str | None = None,
        renew_interval_ms: Duration | None = None,
        lease_duration_sec: Duration | None = None,
        renew_deadline_sec: Duration | None = None,
        stop_budget_sec: Duration | None = None,
        request_timeout_sec: Duration | None = None,
        grace_sec: Duration | None = DEFAULT_GRACE,
        clock_rate_error: float | None = None,
        preset: str | None = None,
        wait_for_leadership: bool = False,
        auto_close: bool = True,
        observe: bool = False,
        require_cluster: bool = False,
        hard_fence: bool = False,
        crash_takeover: bool = False,
        crash_challenge_sec: Duration | None = None,
        leader_endpoints: str | None = None,
        kubernetes_events: bool = False,
        liveness: Liveness | None = None,
        liveness_timeout_sec: Duration | None = None,
        credentials: Credentials | Any = None,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        log: Any = None,
        **unknown: Never,
    ) -> None:
        """
        Check all options; nothing starts before ``start()``.

        Args:
            lease_name: The Lease that the candidates share.
            namespace: Where it is; None: the pod's own, or that of the kubeconfig. Unless
                given: that of the variable ``KLE_NAMESPACE``, else ``default``.
            identity: The name of this candidate, its own for each process.
                ``elector-{hostname}-{pid}`` of the process that starts unless given,
                with the variable POD_NAME in the place of the host name where it is set.
            renew_interval_ms: How often the leader renews. Milliseconds, or a timedelta.
            lease_duration_sec: How long others wait after the last renewal. Seconds,
                whole, or a timedelta. Derived from the renew interval unless given.
            renew_deadline_sec: How long a leader trusts itself after its last renewal.
            stop_budget_sec: How long the work may need to stop.
            request_timeout_sec: How long one request may take in all.
            grace_sec: How long the work may take to end in a planned stop: a signal,
                ``stop()``, ``step_down()``, a transfer. The Lease is renewed meanwhile;
                where it is lost all the same, the stop budget is what is left. None:
                for ever.
            clock_rate_error: How far clocks may run fast or slow, as a share of 1.
            preset: Named times instead: "steady", "client-go", "fast" or "calm".
            wait_for_leadership: Let ``start()`` wait until a leader is known.
            auto_close: Stop on SIGINT and SIGTERM.
            observe: Follow the Lease and never contend.
            require_cluster: Where there is no cluster, refuse to start; else leadership
                is assumed there.
            hard_fence: Where work still runs at the hard limit, just before another
                replica may start, have the kernel end the whole process: also work that
                nothing else can stop. Linux only.
            crash_takeover: In pods: where a leader's container has ended, and the status
                of its pod proves that, take over in about two seconds instead of the
                lease duration. It says that all work of a term runs in this container.
                The service account needs ``get`` and ``watch`` on pods.
            crash_challenge_sec: How long such a leader is given to say that it lives.
                1 s unless given; more for effects that are under way when it crashes.
            leader_endpoints: A Service without selector, and the port that the program
                listens on: ``"billing-leader:8080"``, or ``"billing-leader:http=8080"``
                where the Service's port has a name. Its EndpointSlice is kept at the
                leader's address, that of the variable POD_IP. Best effort. The service
                account needs ``get``, ``create`` and ``patch`` on that one slice.
            kubernetes_events: Write Events on the Lease, as ``kubectl describe lease``
                shows them. Best effort. The service account needs ``create`` on Events.
            liveness: A callable that returns true while the application is well, or
                "loop" for an asyncio application's event loop: one that is stuck stops
                renewing. Off by default: what cannot be stopped must not lose its Lease,
                unless the resource checks the fencing token, or with ``hard_fence``.
            liveness_timeout_sec: How long it may be stuck; the lease duration unless given.
            credentials: How to reach the API server: see
                :mod:`kubernetes_leader_election.credentials`; also a client of
                ``kubernetes``, ``kubernetes.aio``, ``kubernetes_asyncio``, ``lightkube``
                or ``kr8s``. Found in the pod unless given; without a cluster, leadership
                is assumed.
            server: The URL of the API server, instead of ``credentials``.
            token: A bearer token for ``server``.
            token_file: A file with one, read again when it changes.
            ca_file: The CA of the server's certificate.
            log: A logger of the standard library, whose records carry lease, namespace,
                identity, token and reason as well, and exceptions; or anything with its
                methods debug, info, warning and error, such as loguru's, which are
                called with the whole line.

        Raises:
            ConfigurationError: an option is unknown, of the wrong type or out of range, or
                the times cannot work together: with the arithmetic and what would work.
            CredentialsError: what was given as credentials does not fit together.

        """
        refuse_unknown_options(unknown, known=(*OPTION_NAMES, *_OWN_OPTIONS))
        chosen = namespace_of_environment(namespace)
        settings = resolve_settings(
            lease_name=lease_name,
            namespace=chosen,
            identity=identity,
            renew_interval_ms=renew_interval_ms,
            lease_duration_sec=lease_duration_sec,
            renew_deadline_sec=renew_deadline_sec,
            stop_budget_sec=stop_budget_sec,
            request_timeout_sec=request_timeout_sec,
            grace_sec=grace_sec,
            clock_rate_error=clock_rate_error,
            preset=preset,
            wait_for_leadership=wait_for_leadership,
            auto_close=auto_close,
            observe=observe,
            require_cluster=require_cluster,
            hard_fence=hard_fence,
            crash_takeover=crash_takeover,
            crash_challenge_sec=crash_challenge_sec,
            leader_endpoints=leader_endpoints,
            kubernetes_events=kubernetes_events,
            liveness=liveness,
            liveness_timeout_sec=liveness_timeout_sec,
        )
        self._check_settings(settings)
        self._lifecycle = Lifecycle(
            settings=settings,
            credentials=_given_credentials(
                credentials,
                server=server,
                token=token,
                token_file=token_file,
                ca_file=ca_file,
            ),
            log=_checked_log(log),
            kind_of_term=self._kind_of_term(),
        )
        self._lifecycle.namespace_is_unsaid = isinstance(chosen, UnsaidNamespace)

    def __repr__(self) -> str:
        lifecycle = self._lifecycle
        role = lifecycle.state().role
        return f"<{type(self).__name__} {self.identity!r} of {lifecycle.where}: {role}>"

    def _kind_of_term(self) -> type[TermT]:
        """Return what this kind of elector calls a term."""
        raise NotImplementedError

    def _check_settings(self, settings: Settings) -> None:
        """Refuse what this kind of elector cannot do."""

    # Properties ---------------------------------------------------------------

    @property
    def lease_name(self) -> str:
        """The name of the Lease."""
        return self._lifecycle.settings.lease_name

    @property
    def namespace(self) -> str | None:
        """The namespace of the Lease; None as long as it is not known."""
        return self._lifecycle.namespace

    @property
    def identity(self) -> str:
        """The name of this candidate, as it is written in the Lease."""
        return self._lifecycle.identity

    @property
    def log(self) -> Any:
        """The logger."""
        return self._lifecycle.event_log.logger

    @property
    def current_leader(self) -> bool:
        """
        Whether this elector leads now.

        Computed from the clocks at each look, in this very process, so it is right after
        a pause, a fork or with a dead thread, with nothing else running. Never blocks.

        Warning: for displays, probes and metrics. Nothing holds the Lease for what is
        done after the look: ``if elector.current_leader: job()`` runs the job on two
        replicas at once at a planned hand-over. A job needs ``guard()``,
        ``call_if_leading()`` or ``only_while_leading``.
        """
        return self._lifecycle.tell_leader()

    @property
    def leader_identity(self) -> str | None:
        """Who holds the Lease as last seen; None: nobody, or nothing is known."""
        self._lifecycle.tell_leader()
        return self._lifecycle.leader_identity()

    @property
    def state(self) -> ElectorState:
        """The state at this instant, for people and displays. Never blocks."""
        self._lifecycle.tell_leader()
        return self._lifecycle.state()

    @property
    def health(self) -> Health:
        """
        Whether this elector works, and whether it is in the race. Never blocks.

        For probes of one's own; ``observability.serve()`` answers those of Kubernetes.
        """
        return health_of(self._lifecycle)

    def remaining(self) -> float:
        """
        Return the seconds for which the Lease is provably held; 0.0 when it is not.

        Also while the work of the term drains, when ``current_leader`` is false.
        """
        return self._lifecycle.tell_remaining()

    def ensure(self, seconds: float) -> None:
        """
        Go on only if the Lease is provably held for at least ``seconds`` from now.

        Raises:
            NotLeaderError: it is not, or not for so long. Where nothing is held, then
                for ``ensure(0)``, too.
            ConfigurationError: ``seconds`` is not a number.

        """
        current, left = self._lifecycle.current, self._lifecycle.tell_remaining()
        if not is_enough(left, seconds):
            raise NotLeaderError(
                f"{self._lifecycle.where}: held for {left:.3f} s more, "
                f"{shown_seconds(seconds)} are needed.",
                term=None if current is None else current.term,
                remaining=left,
            )

    # Handlers -----------------------------------------------------------------

    if TYPE_CHECKING:
        on: Subscribe
        once: Subscribe
    else:

        def on(self, event: str, handler: _H | None = None) -> Any:
            """
            Call ``handler`` with every such event, in order; without one: a decorator.

            The handler takes one argument, the event, and returns as soon as it can:
            later events wait. A handler of ``leadership_lost`` holds up the release of
            the Lease. Whoever comes late asks ``state`` for what was missed.

            Returns the handler.

            Raises:
                ConfigurationError: no such event, or nothing that can be called so.

            """
            if handler is None:
                return lambda function: self._add(event, function, once=False)
            return self._add(event, handler, once=False)

        def once(self, event: str, handler: _H | None = None) -> Any:
            """Call ``handler`` with the next such event only; else as :meth:`on`."""
            if handler is None:
                return lambda function: self._add(event, function, once=True)
            return self._add(event, handler, once=True)

    def off(self, event: str, handler: Handler) -> bool:
        """
        Stop calling ``handler``; return whether it was registered.

        Raises:
            ConfigurationError: no such event.

        """
        return self._lifecycle.notifier.handlers.off(event, handler)

    def _add(self, event: str, handler: _H, *, once: bool) -> _H:
        self._check_handler(handler)
        self._lifecycle.notifier.handlers.add(event, handler, once=once)
        self._lifecycle.expect_events()
        return handler

    def _check_handler(self, handler: Handler) -> None:
        """Refuse a handler that this kind of elector cannot call."""

    # For the fronts -----------------------------------------------------------

    def _probe(
        self, ask_loop: Callable[[Callable[[], None]], None] | None
    ) -> Probe | None:
        liveness: Callable[[], object] | Literal["loop"] | None
        liveness = self._lifecycle.settings.liveness
        if liveness is None:
            return None
        if not callable(liveness):
            assert ask_loop is not None  # noqa: S101 - checked when the elector was built
            ask = ask_loop
        else:
            ask = AskCallable(liveness, failed=self._probe_failed)
        return Probe(
            ask,
            limit=self._lifecycle.settings.liveness_timeout_sec,
            report=self._lifecycle.report_liveness,
        )

    def _probe_failed(self, error: Exception) -> None:
        text = f"the liveness probe raised {error!r}"
        self._lifecycle.event_log.trouble(text, error=error)


def seconds_of(stay_out: Duration | None) -> float | None:
    """
    Take a length of time as seconds.

    Raises:
        ConfigurationError: it is none, is negative, or does not end.

    """
    if stay_out is None:
        return None
    seconds: Any = stay_out
    if isinstance(stay_out, timedelta):
        seconds = stay_out.total_seconds()
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 <= seconds <= sys.float_info.max  # no NaN; an int may be no float
    ):
        raise ConfigurationError(
            f"stay_out={stay_out!r} is not a length of time. Give seconds, a timedelta, "
            "or None for one lease duration.",
            option="stay_out",
        )
    return float(seconds)


def _checked_log(log: Any) -> Any:
    if log is None:
        return logging.getLogger("kubernetes_leader_election")
    missing = [name for name in _LEVELS if not callable(getattr(log, name, None))]
    if missing:
        raise ConfigurationError(
            f"log={log!r} has no method {missing[0]}(). Give a logger of the standard "
            f"library, or an object with {', '.join(_LEVELS)}.",
            option="log",
        )
    return log


def _given_credentials(given: Any, **parts: Any) -> Credentials | None:
    """Take what was given; None: look for it when starting."""
    if given is None and all(part is None for part in parts.values()):
        return None
    from kubernetes_leader_election.credentials import discover  # noqa: PLC0415 - most programs give none

    return discover(given, **parts)
