"""
Small changes, which the comparison has to find.

Each wraps a correct core and uses its verbs and properties alone, so that it outlives
any rebuilding of what is inside. All keep the guarantees, or nearly so: most of them
no checker of the simulator would find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.values import replace
from tests.simulation.planted_bugs import in_words
from tests.versions.families import this_version


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedChange:
    """One change, what shows it, and how much is enough to find it."""

    core: Callable[..., Any]
    shown: str
    """What the difference has to name."""
    by: Literal["worlds", "direct"]
    seeds: int


CHANGES: Final[dict[str, PlantedChange]] = {}


def change(
    shown: str, *, seeds: int, by: Literal["worlds", "direct"] = "worlds"
) -> Callable[[type[Unchanged]], type[Unchanged]]:
    """Register a changed core under the name of its class, in words."""

    def register(core: type[Unchanged]) -> type[Unchanged]:
        CHANGES[in_words(core)] = PlantedChange(
            core=core, shown=shown, by=by, seeds=seeds
        )
        return core

    return register


class Unchanged:
    """A correct core behind a wall; changes break it in one place each."""

    def __init__(self, settings: Any, *, draw: Callable[[], float]) -> None:
        self.draw = draw
        self.core = this_version().election(settings, draw=draw)

    def receive(self, message: Any, *, now: Any) -> None:
        """Pass a message on."""
        self.core.receive(message, now=now)

    def drain(self) -> list[Any]:
        """Return each item as it is changed here."""
        return [self.changed(item) for item in self.core.drain()]

    def changed(self, item: Any) -> Any:
        """Return a request or event, changed or not."""
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["core"], name)


@change("requests and events", seeds=100)
class DetailOfADeletionIsLeftOut(Unchanged):
    """One field of one event, for one reason of six."""

    def changed(self, item: Any) -> Any:
        """Forget the detail."""
        if isinstance(item, m.LeadershipLost) and item.reason == "deleted":
            return replace(item, detail="")
        return item


@change("next_deadline", seeds=10)
class DeadlineAMillisecondLater(Unchanged):
    """In one state only."""

    def next_deadline(self) -> float | None:
        """Return it, and a little more while contending."""
        due: float | None = self.core.next_deadline()
        late = due is not None and self.core.state.name == "CONTENDING"
        return due + 0.001 if due is not None and late else due


@change("requests and events", seeds=20)
class OneReadMore(Unchanged):
    """After a watch has ended, and only then."""

    _ended = False

    def receive(self, message: Any, *, now: Any) -> None:
        """Remember that a watch has ended."""
        self._ended = isinstance(message, m.WatchEnded)
        super().receive(message, now=now)

    def drain(self) -> list[Any]:
        """Return what there is, and a read."""
        out = super().drain()
        if self._ended:
            self._ended = False
            out.append(m.GetLease(request_id=10**6, deadline=0.0))
        return out


@change("requests and events", seeds=10)
class OtherOrder(Unchanged):
    """The same requests and events, the last one first."""

    def drain(self) -> list[Any]:
        """Return them the other way round."""
        return super().drain()[::-1]


@change("requests and events", seeds=20)
class ChangeOfLeaderToldOneInputLate(Unchanged):
    """Nothing is lost; it only comes later."""

    def __init__(self, settings: Any, *, draw: Callable[[], float]) -> None:
        super().__init__(settings, draw=draw)
        self._kept: list[Any] = []

    def drain(self) -> list[Any]:
        """Return what was kept back, and keep back what is new."""
        out, kept = super().drain(), self._kept
        self._kept = [item for item in out if isinstance(item, m.LeaderChanged)]
        return kept + [item for item in out if not isinstance(item, m.LeaderChanged)]


@change("belief", seeds=10)
class BeliefAMicrosecondLonger(Unchanged):
    """By one of three clocks."""

    @property
    def belief(self) -> Any:
        """Return it with a later deadline."""
        belief = self.core.belief
        if belief is None:
            return None
        later = belief.boottime_deadline + 1e-6
        return belief._replace(boottime_deadline=later)


@change("term_deadline", seeds=20)
class DeadlineOfTheTermEndsWithBelief(Unchanged):
    """Nothing is said of how long the Lease is held while work ends."""

    @property
    def term_deadline(self) -> Any:
        """Return the belief in its place."""
        return self.core.belief


@change("stay_out_until", seeds=50)
class StayingOutIsNotTold(Unchanged):
    """It is kept to, but a core that replaces this one would not know."""

    stay_out_until = None


@change("numbers drawn", seeds=5)
class OneDrawMore(Unchanged):
    """A number that is drawn and thrown away changes all that are drawn after it."""

    def receive(self, message: Any, *, now: Any) -> None:
        """Draw at each start."""
        if isinstance(message, m.StartAsked):
            self.draw()
        super().receive(message, now=now)


@change("requests and events", seeds=20)
class TransitionsCountedTwice(Unchanged):
    """One field of one write."""

    def changed(self, item: Any) -> Any:
        """Count on in what takes over."""
        if not isinstance(item, m.UpdateLease):
            return item
        spec = item.lease["spec"]
        if spec["acquireTime"] != spec["renewTime"] and spec["holderIdentity"]:
            count = spec["leaseTransitions"] + 1
            lease = {**item.lease, "spec": {**spec, "leaseTransitions": count}}
            return replace(item, lease=lease)
        return item


@change("requests and events", seeds=20)
class ErrorWithoutItsStatus(Unchanged):
    """The text is the same; what programs look at is not."""

    def changed(self, item: Any) -> Any:
        """Forget the status."""
        if isinstance(item, m.ErrorOccurred) and getattr(item.error, "status", None):
            bare = LeaseApiError(*item.error.args)
            bare.__dict__.update(vars(item.error))
            bare.status = None
            return replace(item, error=bare)
        return item


@change("requests and events", seeds=5)
class ReadGivenUpAMillisecondSooner(Unchanged):
    """The total deadline of one kind of request."""

    def changed(self, item: Any) -> Any:
        """Shorten it."""
        if isinstance(item, m.GetLease):
            return replace(item, deadline=item.deadline - 0.001)
        return item


@change("raised", seeds=200, by="direct")
class WordOutOfPlaceIsPassedOver(Unchanged):
    """A start of what has started is a defect of the driver, and refused loudly."""

    def receive(self, message: Any, *, now: Any) -> None:
        """Pass on what may be said."""
        running = self.core.state.name != "STOPPED"
        if not (isinstance(message, m.StartAsked) and running):
            super().receive(message, now=now)


class _OtherLease(Unchanged):
    """Reads something odd in a Lease as something plain."""

    def receive(self, message: Any, *, now: Any) -> None:
        """Put a Lease right before it is looked at."""
        for name in ("lease", "object"):
            lease = getattr(message, name, None)
            if isinstance(lease, dict):
                message = replace(message, **{name: self.put_right(lease)})
        super().receive(message, now=now)

    def put_right(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Return another Lease."""
        return lease


@change("", seeds=1000, by="direct")
class TrueIsTakenForOneSecond(_OtherLease):
    """To Python it is one; in a Lease it is no duration."""

    def put_right(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Turn true into one."""
        spec = lease.get("spec")
        if isinstance(spec, dict) and spec.get("leaseDurationSeconds") is True:
            return {**lease, "spec": {**spec, "leaseDurationSeconds": 1}}
        return lease


@change("", seeds=1000, by="direct")
class AVersionInOtherDigitsIsANumber(_OtherLease):
    """What ``int()`` reads is more than what the API server writes."""

    def put_right(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Turn an Arabic three into an ASCII one."""
        metadata = lease.get("metadata")
        if isinstance(metadata, dict) and metadata.get("resourceVersion") == "\u0663":
            return {**lease, "metadata": {**metadata, "resourceVersion": "3"}}
        return lease
