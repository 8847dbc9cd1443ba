"""
Requests under way: at most one read, one write and one watch of each kind at a time.

The core times its requests out itself: at the deadline the outcome is unknown, and
whoever drives the core is told to drop the request (rule 9).
"""

from __future__ import annotations

from typing import Literal

from kubernetes_leader_election.core.messages import (
    AbandonRequest,
    CreateLease,
    Event,
    GetLease,
    LeaseObject,
    PodNote,
    Request,
    SeekProof,
    UpdateLease,
    WatchLease,
)
from kubernetes_leader_election.core.record import Stamp
from kubernetes_leader_election.values import Value

Purpose = Literal["acquire", "renew", "release", "challenge"]


class PendingRead(Value, kw_only=False):
    """A GET under way."""

    request_id: int
    ordered_at: float
    deadline: float
    known: int | None
    """The newest version known when it was ordered: less than that is a restore."""


class PendingWrite(Value, kw_only=False):
    """A PUT under way."""

    request_id: int
    ordered_at: float
    deadline: float
    purpose: Purpose
    stamp: Stamp
    known: int | None = None
    """The newest version known when it was ordered: as for a read."""


class InFlight:
    """Number requests, remember those under way, collect what goes out."""

    __slots__ = ("_next_id", "out", "proof_id", "read", "watch_id", "write")

    def __init__(self) -> None:
        self._next_id = 1
        """The number of the next request: each has its own."""
        self.out: list[Request | Event] = []
        """Requests and events since the last :meth:`drain`, in order."""
        self.read: PendingRead | None = None
        """The read under way, if any."""
        self.write: PendingWrite | None = None
        """The write under way, if any."""
        self.watch_id: int | None = None
        """The number of the watch that is open, if any."""
        self.proof_id: int | None = None
        """The number of the watch on a holder's pod, if any."""

    def _number(self) -> int:
        number = self._next_id
        self._next_id = number + 1
        return number

    def order_read(self, *, now: float, deadline: float, known: int | None) -> None:
        """Order a quorum read."""
        number = self._number()
        self.read = PendingRead(number, now, deadline, known)
        self.out.append(GetLease(request_id=number, deadline=deadline))

    def order_write(
        self,
        lease: LeaseObject,
        *,
        purpose: Purpose,
        stamp: Stamp,
        now: float,
        deadline: float,
        known: int | None = None,
        creates: bool = False,
    ) -> None:
        """Order a write; the caller made sure that none is under way."""
        assert self.write is None
        number = self._number()
        self.write = PendingWrite(number, now, deadline, purpose, stamp, known)
        kind = CreateLease if creates else UpdateLease
        self.out.append(kind(request_id=number, deadline=deadline, lease=lease))

    def order_watch(self, resource_version: str) -> None:
        """Order a watch from just after ``resource_version``."""
        assert self.watch_id is None
        number = self._number()
        self.watch_id = number
        self.out.append(
            WatchLease(request_id=number, resource_version=resource_version)
        )

    def order_proof(self, note: PodNote) -> None:
        """Order a watch on the pod that a note names."""
        assert self.proof_id is None
        self.proof_id = number = self._number()
        self.out.append(SeekProof(request_id=number, note=note))

    def drain(self) -> list[Request | Event]:
        """Return what goes out since the last call, in order."""
        out, self.out = self.out, []
        return out

    def end_read(self, request_id: int) -> PendingRead | None:
        """Take it that a read was answered; None: it is not the one under way."""
        read = self.read
        if read is None or read.request_id != request_id:
            return None
        self.read = None
        return read

    def end_write(self, request_id: int) -> PendingWrite | None:
        """Take it that a write was answered; None: it is not the one under way."""
        write = self.write
        if write is None or write.request_id != request_id:
            return None
        self.write = None
        return write

    def end_watch(self) -> None:
        """Take it that the watch under way is over."""
        self.watch_id = None

    def end_proof(self) -> None:
        """Take it that the watch on a pod is over."""
        self.proof_id = None

    def abandon_proof(self) -> None:
        """Close the watch on a pod, if any."""
        if self.proof_id is not None:
            self.out.append(AbandonRequest(request_id=self.proof_id))
            self.proof_id = None

    def abandon_read(self) -> None:
        """Drop the read under way, if any."""
        if self.read is not None:
            self.out.append(AbandonRequest(request_id=self.read.request_id))
            self.read = None

    def abandon_write(self) -> None:
        """Drop the write under way, if any: it is not sent if it was not yet."""
        if self.write is not None:
            self.out.append(AbandonRequest(request_id=self.write.request_id))
            self.write = None

    def abandon_watch(self) -> None:
        """Close the watch, if any."""
        if self.watch_id is not None:
            self.out.append(AbandonRequest(request_id=self.watch_id))
            self.watch_id = None

    def abandon_all(self) -> None:
        """Drop everything under way."""
        self.abandon_read()
        self.abandon_write()
        self.abandon_watch()
        self.abandon_proof()
