"""
One election in the hand: clocks that are turned, a store that compares and swaps.

Nothing here waits, draws or decides. A test says what the API server answers and what
time it is; :class:`Hand` shows what the core ordered and told.
"""

from __future__ import annotations

import copy

import hypothesis

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.election import Election
from kubernetes_leader_election.core.states import State
from kubernetes_leader_election.core.timing import MICROSECONDS, ElectionSettings, Now
from kubernetes_leader_election.errors import LeaseApiError

FUZZ = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None
)
"""How much the tests with drawn inputs draw: little, and the same each time."""

WALL = 1_800_000_000 * MICROSECONDS
"""The wall clock at the start of a test, microseconds since 1970."""

EVENTS = (
    m.LeadershipAcquired,
    m.LeadershipLost,
    m.LeaseRenewed,
    m.LeaderChanged,
    m.ErrorOccurred,
)


def settings(identity="a", **changes):
    """Give settings that G2 accepts: D=20 R=10 L=15 S=1 T=2.5."""
    values = {
        "lease_name": "election",
        "namespace": "default",
        "identity": identity,
        "lease_duration": 20,
        "renew_interval": 10.0,
        "renew_deadline": 15.0,
        "stop_budget": 1.0,
        "request_timeout": 2.5,
        "clock_rate_error": 0.1,
    }
    return ElectionSettings(**{**values, **changes})


class Clock:
    """Three clocks of one machine, turned by hand."""

    def __init__(self, boottime=1000.0, monotonic=500.0, wall=WALL):
        self.boottime = boottime
        self.monotonic = monotonic
        self.wall = wall

    def advance(self, seconds):
        """Let time pass on all three."""
        self.boottime += seconds
        self.monotonic += seconds
        self.wall += round(seconds * MICROSECONDS)

    def suspend(self, seconds):
        """Sleep as a laptop does: CLOCK_MONOTONIC stands still."""
        self.boottime += seconds
        self.wall += round(seconds * MICROSECONDS)

    def step_wall(self, seconds):
        """Step the wall clock alone."""
        self.wall += round(seconds * MICROSECONDS)

    def now(self):
        """Read all three."""
        return Now(self.boottime, self.monotonic, self.wall)


class Store:
    """One Lease with the server's rules: uid, resourceVersion, no-op writes."""

    def __init__(self, version=100):
        self.lease = None
        self.version = version
        self.uids = 0
        self.history = []
        """Every change: (type, object)."""

    def _keep(self, kind, lease):
        self.version += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**lease, "metadata": metadata}
        self.history.append((kind, self.lease))
        return self.lease

    def put(self, lease):
        """Replace or create; None is a conflict."""
        sent = lease["metadata"]
        if self.lease is None:
            if sent.get("uid"):
                return None
            self.uids += 1
            new = {**lease, "metadata": {**sent, "uid": f"u-{self.uids}"}}
            return self._keep("ADDED", new)
        stored = self.lease["metadata"]
        if sent.get("uid", stored["uid"]) != stored["uid"]:
            return None
        if sent.get("resourceVersion") != stored["resourceVersion"]:
            return None
        if lease == self.lease:
            return self.lease
        return self._keep("MODIFIED", lease)

    def edit(self, *, metadata=None, **spec):
        """Change fields as an outside hand does; None removes a field."""
        old = self.lease or {"metadata": {"name": "election", "namespace": "default"}}
        new = {**(old.get("spec") or {}), **spec}
        lease = {**old, "spec": {k: v for k, v in new.items() if v is not None}}
        if self.lease is None:
            return self.put(lease)
        if metadata:
            lease["metadata"] = {**old["metadata"], **metadata}
        return self._keep("MODIFIED", lease)

    def delete(self):
        """Delete the Lease."""
        gone = self._keep("DELETED", self.lease)
        self.lease = None
        return gone

    def restore(self, lease):
        """Bring an old state back, old version and all, as from a backup."""
        self.lease = copy.deepcopy(lease)
        self.version = int(lease["metadata"]["resourceVersion"])


class Hand:
    """
    One elector in the hand.

    ``open`` holds the requests that nobody answered yet, ``out`` everything that the
    core gave, ``told`` the events of it.
    """

    def __init__(self, store=None, clock=None, draws=(), **changes):
        self.store = store if store is not None else Store()
        self.clock = clock if clock is not None else Clock()
        self.settings = settings(**changes)
        self.draws = list(draws)
        self.core = Election(self.settings, draw=self._draw)
        self.open = {}
        self.out = []
        self.told = []
        self.seen = len(self.store.history)

    def _draw(self):
        return self.draws.pop(0) if self.draws else 0.0

    # Driving ------------------------------------------------------------------

    def say(self, message):
        """Give the core one message and take out all that comes of it."""
        number = getattr(message, "request_id", None)
        if number is not None and not isinstance(message, m.WatchEvent):
            self.open.pop(number, None)
        self.core.receive(message, now=self.clock.now())
        return self._drain()

    def tick(self):
        """Handle the timer now."""
        self.core.handle_timer(now=self.clock.now())
        return self._drain()

    def _drain(self):
        fresh = self.core.drain()
        for item in fresh:
            if isinstance(item, m.AbandonRequest):
                self.open.pop(item.request_id, None)
            elif isinstance(item, EVENTS):
                self.told.append(item)
            else:
                self.open[item.request_id] = item
        self.out += fresh
        return fresh

    def wait(self, seconds):
        """Let time pass, handling the timer whenever it is due."""
        end = self.clock.boottime + seconds
        for _ in range(10_000):
            due = self.core.next_deadline()
            if due is None or due > end:
                break
            if due > self.clock.boottime:
                self.clock.advance(due - self.clock.boottime)
                # Adding a difference may round to just below the sum.
                self.clock.boottime = max(self.clock.boottime, due)
            self.tick()
        else:
            raise AssertionError("the timer is due again and again")
        if end > self.clock.boottime:
            self.clock.advance(end - self.clock.boottime)

    # Looking ------------------------------------------------------------------

    @property
    def state(self):
        """The state of the core."""
        return self.core.state

    @property
    def leads(self):
        """Whether this elector believes that it leads, at this very instant."""
        return self.core.current_leader(self.clock.now())

    def all_open(self, *kinds):
        """Give the open requests of these kinds, oldest first."""
        return [r for r in self.open.values() if isinstance(r, kinds)]

    def only(self, *kinds):
        """Give the one open request of these kinds."""
        found = self.all_open(*kinds)
        assert len(found) == 1, f"open: {list(self.open.values())}"
        return found[0]

    @property
    def read(self):
        """The GET under way."""
        return self.only(m.GetLease)

    @property
    def write(self):
        """The PUT under way."""
        return self.only(m.CreateLease, m.UpdateLease)

    @property
    def watch(self):
        """The open watch."""
        return self.only(m.WatchLease)

    def events(self, *kinds):
        """Give the events told so far of these kinds, and forget all events."""
        found = [e for e in self.told if isinstance(e, kinds or EVENTS)]
        self.told = []
        return found

    # Answering ----------------------------------------------------------------

    def fetched(self, lease=None):
        """Answer the GET with the stored Lease, or with the one given."""
        number = self.read.request_id
        lease = lease if lease is not None else self.store.lease
        if lease is None:
            return self.say(m.LeaseNotFound(request_id=number))
        return self.say(m.LeaseFetched(request_id=number, lease=lease))

    def commit(self, request=None):
        """Let the server do a PUT, and keep the answer back; None is a conflict."""
        return self.store.put((request or self.write).lease)

    def written(self, request=None):
        """Let the server do a PUT and answer it."""
        request = request or self.write
        lease = self.commit(request)
        if lease is None:
            return self.say(m.WriteConflict(request_id=request.request_id))
        return self.say(m.LeaseWritten(request_id=request.request_id, lease=lease))

    def conflict(self):
        """Answer the PUT with a conflict."""
        return self.say(m.WriteConflict(request_id=self.write.request_id))

    def unknown(self, request=None, **error):
        """Answer a request (the PUT, unless said) with an unknown outcome."""
        number = (request or self.write).request_id
        error = LeaseApiError("connection reset", **error)
        return self.say(m.OutcomeUnknown(request_id=number, error=error))

    def failed(self, request=None, status=403, **error):
        """Answer a request (the PUT, unless said) as certainly not applied."""
        number = (request or self.write).request_id
        error = LeaseApiError("refused", status=status, outcome="not done", **error)
        return self.say(m.RequestFailed(request_id=number, error=error))

    def bring(self, kind="MODIFIED", lease=None):
        """Let the watch bring one event."""
        number = self.watch.request_id
        lease = lease if lease is not None else self.store.lease
        return self.say(m.WatchEvent(request_id=number, type=kind, object=lease))

    def bring_all(self):
        """Let the watch bring all that changed since the last time."""
        news, self.seen = self.store.history[self.seen :], len(self.store.history)
        for kind, lease in news:
            if self.all_open(m.WatchLease):
                self.bring(kind, lease)

    def watch_ends(self, status=None, error=None, **more):
        """End the watch: cleanly, or with an error."""
        if status is not None or error is not None:
            error = LeaseApiError(error or "the watch failed", status=status, **more)
        number = self.watch.request_id
        return self.say(m.WatchEnded(request_id=number, error=error))

    # Where stories begin ------------------------------------------------------

    def start(self):
        """Start, and read the Lease once."""
        self.say(m.StartAsked())
        self.fetched()
        return self

    def lead(self):
        """Start and come to lead, whatever stands in the store."""
        self.start()
        if self.state is not State.ACQUIRING:
            self.wait(self.core.expires_in or 0.0)
        if self.state is not State.ACQUIRING:
            self.wait(6.0)
        self.written()
        self.seen = len(self.store.history)
        assert self.state is State.LEADER, self.state
        self.events()
        return self

    def renew(self):
        """Wait for the next renewal and let it be applied."""
        self.wait(self.settings.renew_interval)
        self.written()
        self.seen = len(self.store.history)
        return self

    @property
    def term(self):
        """The number of the last term."""
        return self.core._standing.terms

    def work_ends(self):
        """Say that nothing of the term's work runs any more."""
        return self.say(m.WorkEnded(term=self.term))

    def rival_holds(self, holder="b", duration=20, renewed=WALL, **more):
        """Let somebody else write the Lease."""
        from kubernetes_leader_election.core.record import format_time

        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration,
            "acquireTime": format_time(WALL),
            "renewTime": format_time(renewed),
            "leaseTransitions": 7,
        }
        return self.store.edit(**{**spec, **more})
