"""
Inputs that no world brings: hostile Leases, odd versions, words in odd orders.

Nothing here is likely. Requests are answered with whatever there is, twice, or under
numbers that nobody gave; clocks stand, leap and go back; the application says its words
in any order, now and then one that it may not say.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.errors import LeaderElectionError, LeaseApiError
from tests.core.harness import settings
from tests.differential.pair import DifferenceError, Make, Pair

STEPS: Final = 150
WALL: Final = 1_800_000_000_000_000

_ODD: Final[tuple[Any, ...]] = (
    None,
    "",
    " ",
    "a",
    "b",
    "x" * 300,
    "\x00\x1b[31m",
    0,
    1,
    -1,
    20,
    2**31,
    2**70,
    1.5,
    True,
    [],
    ["a"],
    {},
    {"a": {"b": [None]}},
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00.000000Z",
    "9999-12-31T23:59:59.999999+14:00",
    "not a time",
)
_VERSIONS: Final[tuple[Any, ...]] = ("", "0", "007", "x", "\u0663", None, 5, "9" * 40)
_SPEC: Final = (
    "holderIdentity",
    "leaseDurationSeconds",
    "acquireTime",
    "renewTime",
    "leaseTransitions",
    "strategy",
)
_NOTES: Final = ("step-down", "successor", "fencing-token")
_STATUSES: Final = (None, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503)


class Play:
    """
    One story of odd inputs, from one seed.

    Args:
        seed: decides everything.
        working: makes the working core, as in a pair.

    """

    def __init__(self, seed: int, working: Make | None = None) -> None:
        dice = self._dice = random.Random(f"direct {seed}")  # noqa: S311 - a test
        self._boottime = self._monotonic = 1000.0
        self._wall = WALL
        self._version = dice.choice((3, 100, 2**53))
        self._open: list[Any] = []
        self._lease: dict[str, Any] | None = None
        self._old: list[Any] = []
        self._terms: list[int] = []
        self._own_time = ""
        chosen = settings(
            lease_duration=dice.choice((3, 20)),
            renew_interval=1.0,
            renew_deadline=2.0,
            stop_budget=0.2,
            request_timeout=0.5,
            observe=dice.random() < 0.05,
        )
        assumed = working is None and dice.random() < 0.05
        self.pair = Pair(chosen, draw=dice.random, working=working, assumed=assumed)

    def run(self) -> Exception | None:
        """Run it, until the cores raise what a driver takes for a defect; give that."""
        moves: list[Callable[[], None]] = [
            *[self._timer] * 4,
            *[self._answer] * 6,
            *[self._watch_brings] * 3,
            *[self._word] * 2,
            *[self._clocks] * 2,
        ]
        try:
            self._say(m.StartAsked())
            for _ in range(STEPS):
                self._dice.choice(moves)()
        except DifferenceError:
            raise
        except Exception as error:  # noqa: BLE001 - both raised it: the play is over
            return error
        return None

    # Driving ------------------------------------------------------------------

    def _now(self) -> Now:
        return Now(self._boottime, self._monotonic, self._wall)

    def _say(self, message: m.Message | None) -> None:
        if message is None:
            self.pair.handle_timer(now=self._now())
        else:
            self.pair.receive(message, now=self._now())
        for item in self.pair.drain():
            if isinstance(item, m.AbandonRequest):
                self._open = [r for r in self._open if r.request_id != item.request_id]
            elif isinstance(item, m.LeadershipAcquired):
                self._terms.append(item.term)
            elif hasattr(item, "request_id"):
                self._open.append(item)

    def _pass(self, seconds: float) -> None:
        self._boottime += seconds
        self._monotonic += seconds
        self._wall += round(seconds * 1e6)

    def _timer(self) -> None:
        due = self.pair.next_deadline()
        if due is not None and self._dice.random() < 0.8:
            self._pass(max(0.0, due - self._boottime))
            self._boottime = max(self._boottime, due)
        self._say(None)

    def _clocks(self) -> None:
        dice = self._dice
        seconds = dice.choice((0.0, 0.001, 0.1, 0.4, 1.0, 2.5, 30.0))
        match dice.randrange(6):
            case 0:
                self._wall += round(dice.choice((-1, 1)) * seconds * 1e6)
            case 1:
                self._boottime += seconds
                self._wall += round(seconds * 1e6)
            case 2 if dice.random() < 0.2:
                self._boottime -= seconds  # no kernel does so
            case _:
                self._pass(seconds)

    # The API server -----------------------------------------------------------

    def _answer(self) -> None:
        """Answer a request under way: well, badly, or under another number."""
        dice = self._dice
        requests = [r for r in self._open if not isinstance(r, m.WatchLease)]
        if not requests:
            self._timer()
            return
        request = dice.choice(requests)
        number = request.request_id
        if dice.random() < 0.9:
            self._open.remove(request)  # else it is answered twice
        if dice.random() < 0.05:
            number += dice.choice((-1, 1))
        if dice.random() < 0.6:
            self._say(self._right_answer(request, number))
            return
        lease = self._odd_lease()
        answers: list[m.Message] = [
            m.LeaseFetched(request_id=number, lease=lease),
            m.LeaseWritten(request_id=number, lease=lease),
            m.LeaseNotFound(request_id=number),
            m.WriteConflict(request_id=number, message="no"),
            m.OutcomeUnknown(request_id=number, error=self._error()),
            m.RequestFailed(request_id=number, error=self._error()),
        ]
        self._say(dice.choice(answers))

    def _right_answer(self, request: Any, number: int) -> m.Message:
        if isinstance(request, m.GetLease):
            if self._lease is None:
                return m.LeaseNotFound(request_id=number)
            return m.LeaseFetched(request_id=number, lease=self._lease)
        base = _metadata(request.lease).get("resourceVersion")
        known = _metadata(self._lease or {}).get("resourceVersion")
        if base != known and self._dice.random() < 0.8:
            return m.WriteConflict(request_id=number)
        self._keep(request.lease)
        self._own_time = request.lease["spec"].get("acquireTime")
        return m.LeaseWritten(request_id=number, lease=self._lease)

    def _keep(self, lease: Any) -> None:
        self._version += self._dice.choice((1, 1, 1, 7))
        metadata = {"uid": "u-1", **_metadata(lease)}
        metadata["resourceVersion"] = str(self._version)
        self._lease = {**lease, "metadata": metadata}
        self._old.append(self._lease)

    def _error(self) -> LeaseApiError:
        dice = self._dice
        return LeaseApiError(
            "odd",
            status=dice.choice(_STATUSES),
            retry_after=dice.choice((None, None, 0.0, 1.0, 3600.0)),
            outcome=dice.choice(("done", "not done", "unknown")),
        )

    def _watch_brings(self) -> None:
        dice = self._dice
        watches = [r for r in self._open if isinstance(r, m.WatchLease)]
        if not watches:
            self._timer()
            return
        number = watches[-1].request_id
        if dice.random() < 0.15:
            self._open.remove(watches[-1])
            error = dice.choice((None, self._error()))
            self._say(m.WatchEnded(request_id=number, error=error))
            return
        if dice.random() < 0.4:
            self._rival_writes()
        kinds = ("ADDED", "MODIFIED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "?")
        kind = dice.choices(kinds, (2, 9, 9, 1, 2, 1, 1))[0]
        lease = self._lease if dice.random() < 0.6 else self._odd_lease()
        if kind == "DELETED":
            self._lease = None
        if lease is not None:
            self._say(m.WatchEvent(request_id=number, type=kind, object=lease))

    def _rival_writes(self) -> None:
        dice = self._dice
        base = self._lease or {"metadata": {"name": "election"}}
        spec = {
            "holderIdentity": dice.choice(("b", "b", "a", "", None)),
            "leaseDurationSeconds": dice.choice((1, 3, 20, None)),
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": f"2026-01-01T00:00:{dice.randrange(60):02}.000000Z",
            "leaseTransitions": dice.randrange(9),
        }
        self._keep({**base, "spec": spec})

    def _odd_lease(self) -> Any:
        """Return a Lease of any past, or none at all, with a few fields gone wrong."""
        dice = self._dice
        if dice.random() < 0.05:
            return dice.choice(({}, {"metadata": None}, {"spec": 7}, {"metadata": []}))
        base = dice.choice(self._old) if self._old else {"metadata": {}, "spec": {}}
        spec = dict(base.get("spec") or {})
        metadata = dict(_metadata(base))
        for _ in range(dice.randrange(3)):
            spec[dice.choice(_SPEC)] = dice.choice(_ODD)
        if dice.random() < 0.3:
            metadata["uid"] = dice.choice(("u-1", "u-2", None, 7))
        if dice.random() < 0.5:
            near = str(self._version + dice.choice((-2, 0, 1, 2)))
            metadata["resourceVersion"] = dice.choice((near, near, *_VERSIONS))
        if dice.random() < 0.3:
            notes = dice.choice((*_ODD[-4:], None))
            if dice.random() < 0.7:
                notes = {
                    f"kubernetes-leader-election/{dice.choice(_NOTES)}": dice.choice(
                        (self._own_time, "b", *_ODD)
                    )
                }
            metadata["annotations"] = notes
        return {**base, "metadata": metadata, "spec": spec}

    # The application ----------------------------------------------------------

    def _word(self) -> None:
        dice = self._dice
        term = dice.choice(self._terms) if self._terms else 1
        words: list[m.Message] = [
            m.StopAsked(),
            m.StepDownAsked(stay_out=dice.choice((None, 0.0, 0.5, 5.0))),
            m.EndAsked(term=term),
            m.LossSeen(term=term),
            m.LivenessReported(alive=dice.random() < 0.7),
            m.DriverFailed(error=LeaderElectionError("a defect")),
        ]
        state = self.pair.state.name
        if state == "STOPPED" and dice.random() < 0.9:
            self._say(m.StartAsked())
        elif state in {"DRAINING", "FENCED"} and dice.random() < 0.8:
            self._say(m.WorkEnded(term=self._terms[-1]))
        elif dice.random() < 0.02:
            self._say(dice.choice((m.StartAsked(), m.WorkEnded(term=term))))
        else:
            self._say(dice.choice(words))


def _metadata(lease: Any) -> dict[str, Any]:
    """Return the metadata of a Lease that may have none, or anything in its place."""
    found = lease.get("metadata")
    return found if isinstance(found, dict) else {}
