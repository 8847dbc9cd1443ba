"""Every option of an elector: its unit, its default and its check."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypedDict

from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.settings.durations import (
    Duration,
    microseconds,
    milliseconds,
    number,
)
from kubernetes_leader_election.settings.endpoints import (
    LeaderEndpoints,
    leader_endpoints,
)
from kubernetes_leader_election.settings.names import (
    DEFAULT_LEASE_NAME,
    DEFAULT_NAMESPACE,
    default_identity,
    identity,
    lease_name,
    namespace_found,
    optional_namespace,
    text,
)
from kubernetes_leader_election.settings.presets import PRESETS
from kubernetes_leader_election.settings.promises import Timings, timings_of
from kubernetes_leader_election.settings.timing import (
    MAX_DURATION,
    PARTS,
    RequestedTiming,
    Timing,
    solve,
)
from kubernetes_leader_election.text import did_you_mean, shown
from kubernetes_leader_election.values import Value

DEFAULT_RENEW_INTERVAL: Final = 10_000
"""Milliseconds. Node package: 10 s."""
DEFAULT_GRACE: Final = 20.0
"""Seconds: with the release it fits into the 30 s that Kubernetes gives a pod to end."""
DEFAULT_CLOCK_RATE_ERROR: Final = 0.10
"""chrony slews a clock by up to 8.4 %, ntpd by 0.05 %; crystals are far better."""
MIN_CLOCK_RATE_ERROR: Final = 0.0005
"""ntpd slews by 500 parts per million; no clock is to be trusted further."""
MAX_CLOCK_RATE_ERROR: Final = 0.5
"""A clock that runs at half or twice the speed is broken, not inexact."""
DEFAULT_CRASH_CHALLENGE: Final = 1_000
"""Milliseconds: a leader that lives renews within a tenth of it, as a rule."""
MIN_CRASH_CHALLENGE: Final = 200
"""Milliseconds: a leader leaves its note only if it hears within a third of that."""
Liveness = Callable[[], object] | Literal["loop"]


class Options(TypedDict, total=False):
    """The options of :func:`resolve_settings`, for type checkers."""

    lease_name: str
    namespace: str | None
    identity: str | None
    renew_interval_ms: Duration | None
    lease_duration_sec: Duration | None
    renew_deadline_sec: Duration | None
    stop_budget_sec: Duration | None
    request_timeout_sec: Duration | None
    grace_sec: Duration | None
    clock_rate_error: float
    wait_for_leadership: bool
    auto_close: bool
    observe: bool
    require_cluster: bool
    hard_fence: bool
    crash_takeover: bool
    crash_challenge_sec: Duration | None
    leader_endpoints: str | None
    kubernetes_events: bool
    liveness: Liveness | None
    liveness_timeout_sec: Duration | None
    preset: str | None


OPTION_NAMES: Final = tuple(Options.__annotations__)
"""What :func:`resolve_settings` takes; an elector takes a few more of its own."""


class Settings(Value):
    """
    All options of one elector, checked, with nothing left to derive.

    .. code-block:: python

        settings = resolve_settings(lease_name="billing", preset="steady")
        settings.lease_duration_sec     # 20
        settings.election(namespace="shop").renew_deadline    # 15.0
        timings(settings).outage_survived    # 6.5
    """

    lease_name: str
    """The Lease that the candidates share."""
    namespace: str | None
    """Where it is; None: in the namespace of the pod or of the kubeconfig's context."""
    identity: str | None
    """The name of this candidate; None: one that is made when the elector starts."""
    renew_interval_ms: int
    """How often a leader renews."""
    lease_duration_sec: int
    """How long others wait after the last renewal."""
    renew_deadline_sec: float
    """How long a leader trusts itself after its last renewal."""
    stop_budget_sec: float
    """How long the work may need to stop."""
    request_timeout_sec: float
    """How long one request may take in all."""
    grace_sec: float | None
    """How long work may take to end in a planned stop; None: for ever."""
    clock_rate_error: float
    """How far clocks may run fast or slow, as a share of 1."""
    wait_for_leadership: bool
    """Whether ``start()`` waits until a leader is known."""
    auto_close: bool
    """Whether SIGINT and SIGTERM stop the elector."""
    observe: bool
    """Whether the elector follows the Lease and never contends."""
    require_cluster: bool
    """Whether to refuse to start where there is no cluster, instead of assuming to lead."""
    hard_fence: bool
    """Whether the kernel ends the process where work outlives its term."""
    crash_takeover: bool
    """Whether a leader whose container has provably ended is not waited for in full."""
    crash_challenge_sec: float
    """How long such a leader is given to say that it lives, before another one leads."""
    leader_endpoints: LeaderEndpoints | None
    """The Service that leads to the leader, and its port; None: there is none."""
    kubernetes_events: bool
    """Whether Events on the Lease are written, for ``kubectl describe lease``."""
    liveness: Liveness | None
    """What says whether the application is well; None: nothing."""
    liveness_timeout_sec: float
    """How long the application may be stuck."""
    preset: str | None
    """The name of the preset that was given."""
    timing: Timing
    """The five times in whole milliseconds."""

    def election(self, *, namespace: str | None = None) -> ElectionSettings:
        """
        Return the settings of the core, for an election by this very process.

        ``namespace`` counts where the option is None.

        Raises:
            ConfigurationError: neither names a namespace, or it is not a valid one.

        """
        chosen = self.namespace if self.namespace is not None else namespace
        if chosen is None:
            raise ConfigurationError(
                "namespace=None means the namespace of the pod or of the kubeconfig's "
                "context, and neither is known here. Name one: namespace="
                f"{DEFAULT_NAMESPACE!r}.",
                option="namespace",
            )
        place = "The namespace of the pod or of the kubeconfig's context"
        return ElectionSettings(
            lease_name=self.lease_name,
            namespace=namespace_found(chosen, place),
            identity=self.identity or default_identity(),
            lease_duration=self.lease_duration_sec,
            renew_interval=self.renew_interval_ms / 1000,
            renew_deadline=self.renew_deadline_sec,
            stop_budget=self.stop_budget_sec,
            request_timeout=self.request_timeout_sec,
            clock_rate_error=self.clock_rate_error,
            observe=self.observe,
            crash_takeover=self.crash_takeover,
            crash_challenge=self.crash_challenge_sec,
        )


def timings(settings: Settings) -> Timings:
    """Derive everything that the settings promise: fail-over, outage, writes, ..."""
    return timings_of(
        settings.timing,
        grace=settings.grace_sec,
        crash_challenge=settings.crash_challenge_sec,
    )


def resolve_settings(**options: Any) -> Settings:
    """
    Check the options of an elector and derive those that are left out.

    A preset fills in the times that are not given; None is the same as leaving an
    option out, but for ``namespace`` and ``grace_sec``. Durations are numbers in the unit that the
    option's name ends in, or a ``timedelta``. The renew deadline is rounded down to a
    millisecond, the lease duration up to a second, other times up to a millisecond.
    Does no I/O.

    Raises:
        ConfigurationError: an option is unknown, of the wrong type or out of range, or
            the times cannot work together; says so, with a suggestion that works.

    """
    refuse_unknown_options(options)
    liveness = _liveness(options.get("liveness"))
    if liveness is None and options.get("liveness_timeout_sec") is not None:
        raise ConfigurationError(
            "liveness_timeout_sec does nothing without liveness=. Give a callable that "
            "returns true while the application is well, or leave both out.",
            option="liveness_timeout_sec",
        )
    preset = _preset(options.get("preset"))
    rate = _clock_rate_error(options.get("clock_rate_error"))
    timing = solve(_requested(options, preset, rate))
    patience = milliseconds("liveness_timeout_sec", options)
    takeover = _flag("crash_takeover", options, default=False)
    return Settings(
        lease_name=lease_name(_given(options, "lease_name", DEFAULT_LEASE_NAME)),
        namespace=optional_namespace(options.get("namespace", DEFAULT_NAMESPACE)),
        identity=identity(options.get("identity")),
        renew_interval_ms=timing.renew_interval,
        lease_duration_sec=timing.lease_duration,
        renew_deadline_sec=timing.renew_deadline / 1000,
        stop_budget_sec=timing.stop_budget / 1000,
        request_timeout_sec=timing.request_timeout / 1000,
        grace_sec=_grace(options.get("grace_sec", DEFAULT_GRACE)),
        clock_rate_error=rate,
        wait_for_leadership=_flag("wait_for_leadership", options, default=False),
        auto_close=_flag("auto_close", options, default=True),
        observe=_flag("observe", options, default=False),
        require_cluster=_flag("require_cluster", options, default=False),
        hard_fence=_flag("hard_fence", options, default=False),
        crash_takeover=takeover,
        crash_challenge_sec=_crash_challenge(options, timing, takeover=takeover),
        leader_endpoints=leader_endpoints(options.get("leader_endpoints")),
        kubernetes_events=_flag("kubernetes_events", options, default=False),
        liveness=liveness,
        liveness_timeout_sec=(
            float(timing.lease_duration) if patience is None else patience / 1000
        ),
        preset=preset,
        timing=timing,
    )


def refuse_unknown_options(
    options: Iterable[str], *, known: Iterable[str] = OPTION_NAMES
) -> None:
    """
    Refuse a name that is no option, with the one that was probably meant.

    Raises:
        ConfigurationError: a name is unknown.

    """
    known = tuple(known)
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"There is no option {name!r}.{did_you_mean(name, known)}", option=name
            )


# One function for each kind of option -----------------------------------------


def _given(options: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return the option, or its default when it is left out or None."""
    value = options.get(name)
    return default if value is None else value


def _flag(name: str, options: Mapping[str, Any], *, default: bool) -> bool:
    value = options.get(name, default)  # None is no answer to yes or no
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{name} must be True or False, not {shown(value)}. "
            f"Use {name}={default if value is None else bool(value)}.",
            option=name,
        )
    return value


def _liveness(value: object) -> Liveness | None:
    if value is None or value == "loop":
        return value
    if not callable(value):
        raise ConfigurationError(
            f"liveness must be a callable or 'loop', not {shown(value)}. Use "
            "liveness='loop' to watch an asyncio application's own event loop.",
            option="liveness",
        )
    return value


def _preset(value: object) -> str | None:
    if value is None:
        return None
    name = text("preset", value, example="steady")
    if name not in PRESETS:
        raise ConfigurationError(
            f"There is no preset {shown(name)}.{did_you_mean(name, PRESETS)}",
            option="preset",
        )
    return name


def _clock_rate_error(value: object) -> float:
    if value is None:
        return DEFAULT_CLOCK_RATE_ERROR
    rate = number("clock_rate_error", value, example="0.1", unit="as a fraction")
    if not MIN_CLOCK_RATE_ERROR <= rate <= MAX_CLOCK_RATE_ERROR:
        raise ConfigurationError(
            f"clock_rate_error={shown(value)} is out of range: it is a fraction from "
            f"{MIN_CLOCK_RATE_ERROR} to {MAX_CLOCK_RATE_ERROR}; clocks that are being "
            f"slewed run wrong by up to 0.084. Use clock_rate_error="
            f"{DEFAULT_CLOCK_RATE_ERROR}.",
            option="clock_rate_error",
        )
    return float(rate)


def _grace(value: object) -> float | None:
    """Read the grace: seconds or a timedelta, 0 included; None: for ever."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    else:
        seconds = number("grace_sec", value, example="20", unit="in seconds")
    if not 0 <= seconds <= MAX_DURATION:
        raise ConfigurationError(
            f"grace_sec={shown(value)} is out of range: it is at least 0 s and at most "
            f"{MAX_DURATION} s. Use grace_sec={DEFAULT_GRACE:g}, or grace_sec=None for "
            "work that may take as long as it likes.",
            option="grace_sec",
        )
    return float(seconds)


def _crash_challenge(
    options: Mapping[str, Any], timing: Timing, *, takeover: bool
) -> float:
    """Read how long a leader is given to say that it lives. Seconds."""
    name = "crash_challenge_sec"
    given = milliseconds(name, options)
    # Never as long as what it is to shorten.
    default = min(DEFAULT_CRASH_CHALLENGE, timing.lease_duration * 500) / 1000
    if given is None:
        return default
    if not takeover:
        raise ConfigurationError(
            f"{name} does nothing without crash_takeover=True. Give both, or leave both "
            "out.",
            option=name,
        )
    most = timing.lease_duration * 1000
    if not MIN_CRASH_CHALLENGE <= given < most:
        raise ConfigurationError(
            f"{name}={shown(options[name])} is out of range: it is at least "
            f"{MIN_CRASH_CHALLENGE / 1000:g} s, so that a leader that lives has the time "
            f"to say so, and less than the lease duration of {most / 1000:g} s, which "
            f"is what others wait for without a proof. Use {name}={default:g}.",
            option=name,
        )
    return given / 1000


def _requested(
    options: Mapping[str, Any], preset: str | None, rate: float
) -> RequestedTiming:
    """Gather the times that were given, those of the preset, and nothing derived."""
    merged = dict(PRESETS[preset].options) if preset is not None else {}
    merged |= {k: v for k, v in options.items() if v is not None}
    merged.setdefault("renew_interval_ms", DEFAULT_RENEW_INTERVAL)
    interval = milliseconds("renew_interval_ms", merged)
    if interval is None:  # it has a default: this cannot be
        raise AssertionError
    duration = microseconds("lease_duration_sec", merged)
    return RequestedTiming(
        renew_interval=interval,
        # Up, never down: what is written is what candidates wait for.
        lease_duration=None if duration is None else -(-duration // 1_000_000),
        # Down: a leader that stops a little earlier is always safe.
        renew_deadline=milliseconds("renew_deadline_sec", merged, up=False),
        stop_budget=milliseconds("stop_budget_sec", merged),
        request_timeout=milliseconds("request_timeout_sec", merged),
        # Up, for the same reason; what floats cannot say exactly is not rounded up.
        clock_rate_error=math.ceil(round(rate * PARTS, 9)),
    )
