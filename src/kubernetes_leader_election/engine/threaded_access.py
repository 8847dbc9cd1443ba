"""Requests of one election on threads: the short ones share some, a watch has its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from kubernetes_leader_election.core import messages as m
from kubernetes_leader_election.core.timing import ElectionSettings
from kubernetes_leader_election.engine.calls import Completed, PendingCall, Workers
from kubernetes_leader_election.engine.proof_search import search, unreadable
from kubernetes_leader_election.engine.requests import (
    ShortRequest,
    carry_out,
    failed_unexpectedly,
)
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.client import LeaseClient
from kubernetes_leader_election.kube_api.pods import PodClient
from kubernetes_leader_election.process import native
from kubernetes_leader_election.rights import ELECTION, OBSERVING

EVENTS_AHEAD: Final = 1000
"""Watch events of one Lease that may wait for the engine; the reader then waits."""

NO_THREAD: Final = (
    "Either requests hang where nothing can end them, as in a resolver that does not "
    "answer, or the system allows this process no more threads."
)


class ThreadedAccess:
    """
    A :class:`~.access.LeaseAccess` over a client whose calls block.

    Args:
        client: makes the requests.
        settings: name the Lease.
        workers: the threads.
        post: takes an answer, on any thread; never blocks.
        unexpected: logs what nobody foresaw, on any thread.

    """

    def __init__(
        self,
        client: LeaseClient,
        *,
        settings: ElectionSettings,
        workers: Workers,
        post: Callable[[Completed], None],
        unexpected: Callable[[Exception], None],
    ) -> None:
        self.client = client
        self._settings = settings
        self._needs = OBSERVING if settings.observe else ELECTION
        self._workers = workers
        self._post = post
        self._unexpected = unexpected
        self._pods = PodClient(client)
        self._calls: dict[int, PendingCall] = {}
        self._ahead = native.Semaphore(EVENTS_AHEAD)

    # The engine's thread ------------------------------------------------------

    def order(self, request: m.Request) -> None:
        """Begin with a request, or give one up."""
        match request:
            case m.WatchLease():
                self._watch(request)
            case m.SeekProof():
                self._seek(request)
            case m.AbandonRequest(request_id=number):
                self._abandon(number)
            case _:
                self._request(request)

    def take(self, completed: Completed) -> m.Response | None:
        """Return an answer if it is of a request under way; None for a former one's."""
        answer = completed.answer
        if isinstance(answer, m.WatchEvent):
            self._ahead.release()
        if self._calls.get(answer.request_id) is not completed.pending:
            return None
        if not isinstance(answer, m.WatchEvent | m.ProofSeen):
            del self._calls[answer.request_id]
        return answer

    def abandon_all(self) -> None:
        """Give up all requests under way."""
        for number in list(self._calls):
            self._abandon(number)

    def _request(self, request: ShortRequest) -> None:
        workers = self._workers
        call = Call(deadline=request.deadline, option="request_timeout_sec")
        pending = PendingCall(call, stuck=workers.note_stuck)
        self._calls[request.request_id] = pending
        if not workers.submit(partial(self._make, request, pending)):
            error = LeaseApiError(
                f"{self._settings.where}: not sent: no thread is free for it. "
                f"{NO_THREAD}",
                outcome="not done",
            )
            failed = m.RequestFailed(request_id=request.request_id, error=error)
            self._answer(pending, failed)

    def _watch(self, request: m.WatchLease) -> None:
        workers = self._workers
        pending = PendingCall(Call(), stuck=workers.note_stuck_watch)
        self._calls[request.request_id] = pending
        if not workers.spawn(partial(self._follow, request, pending)):
            error = LeaseApiError(f"{self._settings.where}: not watched. {NO_THREAD}")
            ended = m.WatchEnded(request_id=request.request_id, error=error)
            self._answer(pending, ended)

    def _seek(self, request: m.SeekProof) -> None:
        workers = self._workers
        pending = PendingCall(Call(), stuck=workers.note_stuck_watch)
        self._calls[request.request_id] = pending
        if not workers.spawn(partial(self._search, request, pending)):
            error = LeaseApiError(
                f"{self._settings.where}: no pod watched. {NO_THREAD}"
            )
            number = request.request_id
            self._answer(pending, m.ProofUnreadable(request_id=number, error=error))

    def _abandon(self, number: int) -> None:
        pending = self._calls.pop(number, None)
        if pending is not None:
            pending.abandon()

    # The threads of requests and watches --------------------------------------

    def _make(self, request: ShortRequest, pending: PendingCall) -> None:
        if not pending.begin():
            return
        try:
            answer = carry_out(
                self.client,
                self._settings.namespace,
                self._settings.lease_name,
                request,
                pending.call,
                needs=self._needs,
            )
        except Exception as error:  # noqa: BLE001 - fault 07: answered, logged, tried again
            self._unexpected(error)
            answer = failed_unexpectedly(request.request_id, error)
        if pending.finish():
            self._answer(pending, answer)

    def _follow(self, request: m.WatchLease, pending: PendingCall) -> None:
        if not pending.begin():
            return
        number = request.request_id

        def on_event(kind: str, lease: m.LeaseObject) -> None:
            self._ahead.acquire()
            event = m.WatchEvent(request_id=number, type=kind, object=lease)
            self._answer(pending, event)

        error: LeaseApiError | None
        try:
            error = self.client.watch(
                self._settings.namespace,
                self._settings.lease_name,
                request.resource_version,
                call=pending.call,
                on_event=on_event,
                needs=self._needs,
            )
        except Exception as unexpected:  # noqa: BLE001 - fault 07
            self._unexpected(unexpected)
            error = LeaseApiError(f"an unexpected error in a watch: {unexpected!r}")
            error.__cause__ = unexpected
        if pending.finish():
            self._answer(pending, m.WatchEnded(request_id=number, error=error))

    def _search(self, request: m.SeekProof, pending: PendingCall) -> None:
        if not pending.begin():
            return
        try:
            answer = search(
                self._pods,
                request,
                pending.call,
                proven=partial(self._answer, pending),
                within=self._settings.request_timeout,
            )
        except Exception as error:  # noqa: BLE001 - fault 07: answered, logged, tried again
            self._unexpected(error)
            answer = unreadable(request.request_id, error)
        if pending.finish():
            self._answer(pending, answer)

    def _answer(self, pending: PendingCall, answer: m.Response) -> None:
        self._post(Completed(pending, answer))
