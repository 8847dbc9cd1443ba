"""An elector that does what a test says, for what looks at electors."""

from datetime import UTC, datetime

from kubernetes_leader_election import events
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.leadership import ElectorState, Health, Role
from kubernetes_leader_election.lifecycle.handlers import Handlers

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class FakeElector:
    """An elector that is told what happens to it."""

    def __init__(self, identity="a", lease_name="billing"):
        self.identity, self.lease_name, self.namespace = identity, lease_name, "shop"
        self.role, self.left, self.transitions = Role.CANDIDATE, 0.0, None
        self.leader, self.problem, self.absence = None, "", ""
        self.handlers = Handlers()

    def on(self, event, handler):
        """Register a handler."""
        self.handlers.add(event, handler, once=False)

    def off(self, event, handler):
        """Take it off."""
        self.handlers.off(event, handler)

    @property
    def health(self):
        """Give what it was told of its health."""
        return Health(problem=self.problem, absence=self.absence)

    @property
    def leader_identity(self):
        """Give whom it was told to have seen."""
        return self.leader

    def see(self, leader):
        """See another leader, or None, and tell so."""
        self.leader = leader
        self.tell(events.LeaderChanged, holder_identity=leader)

    @property
    def current_leader(self):
        """Tell whether it was told to lead."""
        return self.role is Role.LEADER

    @property
    def state(self):
        """Give the state it was told to have."""
        return ElectorState(
            role=self.role,
            holder=None,
            since=NOW,
            deadline=None,
            transitions=self.transitions,
            last_error=None,
        )

    def remaining(self):
        """Give the seconds it was told to have left."""
        return self.left

    def tell(self, kind, **more):
        """Hand an event to the handlers."""
        event = kind(
            lease=self.lease_name,
            namespace=self.namespace,
            identity=self.identity,
            **more,
        )
        for handler in self.handlers.take(event.name):
            handler(event)

    def live(self):
        """Lead, renew twice, fail once, and lose."""
        self.tell(events.LeaderChanged, holder_identity=self.identity)
        self.tell(events.LeadershipAcquired, term=1, token_if_any=7)
        for _ in range(2):
            self.tell(events.LeaseRenewed, term=1, token=7, renew_time=NOW)
        self.tell(events.ErrorOccurred, error=LeaseApiError("down"))
        self.tell(events.LeadershipLost, term=1, token=7, reason="renew_deadline")
