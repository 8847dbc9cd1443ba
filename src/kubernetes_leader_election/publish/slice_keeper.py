"""Keep the leader's address in an EndpointSlice: the job of one thread, best effort."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from kubernetes_leader_election.errors import LeaderElectionError
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.results import (
    Answered,
    Conflict,
    Failure,
    NotFound,
)
from kubernetes_leader_election.kube_api.slices import SliceClient
from kubernetes_leader_election.publish.leader_slice import (
    Foreign,
    Leader,
    Ours,
    Place,
    judge,
    patch_of,
    slice_of,
    without_leader,
)
from kubernetes_leader_election.publish.worker import Says
from kubernetes_leader_election.values import Value

__all__ = ["LOOK_AGAIN", "Lead", "Leave", "SliceKeeper"]

LOOK_AGAIN: Final = 30.0
"""Seconds between two looks at a slice that is as it should be: somebody may have
deleted it, and nothing tells us."""
_AT_ONCE: Final = 3
"""Tries in a row that lose against another writer, before there is a pause."""


class Lead(Value):
    """A term began: the slice is to have its address."""

    leader: Leader
    still: Callable[[], bool]
    """Tells whether this very term leads still, by the clocks, at the instant of the call."""


class Leave(Value):
    """The term is over for this elector."""

    clear: bool
    """Whether nobody may be left to lead: the address is taken out, if it is ours still."""


class SliceKeeper:
    """
    Write the slice while leading. A :class:`~.worker.Job`: one thread's.

    Args:
        client: its own: nothing that hangs here keeps the election's connections.
        place: which slice.
        request_timeout: seconds that one request may take.
        says: hears how it goes.

    """

    def __init__(
        self, client: LeaseClient, place: Place, *, request_timeout: float, says: Says
    ) -> None:
        self._client = client
        self._slices = SliceClient(client, place.namespace, place.service)
        self._place = place
        self._timeout = request_timeout
        self._says = says
        self._lead: Lead | None = None
        """The term whose address is to be there; None: none of ours. By ``take``."""
        self._last: Leader | None = None
        """The newest of our terms, or None once its address is taken out."""
        self._to_clear: Leader | None = None
        """Whose address is to be taken out. By ``take``, and ``work`` when it is done."""
        self._version = ""
        """Of the slice when it last was as this term wants it; empty: it was not yet."""

    def take(self, word: Lead | Leave) -> None:
        """Take the newest word; see :class:`~.worker.Job`."""
        match word:
            case Lead():
                self._lead, self._last, self._to_clear = word, word.leader, None
                self._version = ""
            case Leave(clear=clear):
                self._lead = None
                self._to_clear = self._last if clear else None

    def work(self) -> float | None:
        """Bring the slice up to date; see :class:`~.worker.Job`."""
        if self._to_clear is not None:
            self._clear(self._to_clear)
            self._last = self._to_clear = None
            return None
        for _ in range(_AT_ONCE):
            lead = self._lead
            if lead is None:
                return None
            done = self._bring_up_to_date(lead)
            if done:
                return LOOK_AGAIN
        raise self._contested()

    def close(self) -> None:
        """Close the connections; see :class:`~.worker.Job`."""
        self._client.close()

    # Inside ---------------------------------------------------------------------

    def _bring_up_to_date(self, lead: Lead) -> bool:
        """Read, look whether the term lasts, write on what was read. False: once more."""
        leader, place = lead.leader, self._place
        found = self._slices.get(call=self._call())
        if isinstance(found, NotFound):
            if not lead.still():
                return True  # the term has ended
            written = self._slices.create(
                slice_of(place, leader), manager=_one_time_name(), call=self._call()
            )
            return self._is_done(written)
        body = self._answer(found)
        judged = judge(body.body, place, leader)
        if isinstance(judged, Foreign):
            if not lead.still():
                return True  # the term has ended
            raise LeaderElectionError(judged.why)
        if judged.is_current:
            self._version = judged.version
            self._says.went_well()
            return True
        # After the read and before the write: no later leader can have written between.
        if not lead.still():
            return True  # the term has ended
        if judged.is_own:
            self._says.noted(f"{place} was changed by somebody else; it is put right")
        return self._is_done(
            self._slices.patch(
                patch_of(place, leader), version=judged.version, call=self._call()
            )
        )

    def _clear(self, leader: Leader) -> None:
        """Take the address out, if what stands there is of this very term."""
        for _ in range(_AT_ONCE):
            version = self._version or self._own_version(leader)
            if not version:
                return
            # No look whether the term lasts: this condition alone is enough, as that
            # version has our address, and what is written has none.
            written = self._slices.patch(
                without_leader(), version=version, call=self._call()
            )
            if not isinstance(written, Conflict | NotFound):
                self._answer(written)
                return
            self._version = ""  # written since: by a successor, or labelled by anybody
        raise self._contested()

    def _own_version(self, leader: Leader) -> str:
        """Return the version of the slice if it is of this very term, else nothing."""
        found = self._slices.get(call=self._call())
        if isinstance(found, NotFound):
            return ""
        judged = judge(self._answer(found).body, self._place, leader)
        return judged.version if isinstance(judged, Ours) and judged.is_own else ""

    def _contested(self) -> LeaderElectionError:
        return LeaderElectionError(
            f"{self._place}: others write to it again and again, faster than it can be "
            "read. Is another election kept in the same slice?"
        )

    def _is_done(self, written: Answered | Failure) -> bool:
        if isinstance(written, Conflict | NotFound):
            return False  # somebody wrote or deleted it since it was read
        metadata = self._answer(written).body["metadata"]
        self._version = str(metadata["resourceVersion"])
        self._says.went_well()
        return True

    @staticmethod
    def _answer(result: Answered | Failure) -> Answered:
        if isinstance(result, Answered):
            return result
        raise result.error

    def _call(self) -> Call:
        return Call(deadline=boottime() + self._timeout, option="request_timeout_sec")


def _one_time_name() -> str:
    """Return a manager for one creation: what others have set is a conflict to it."""
    return f"kubernetes-leader-election-{secrets.token_hex(8)}"
