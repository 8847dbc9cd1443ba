"""The verbs on Leases that an election needs: get, update (or create), list, watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes_leader_election.credentials.base import Credentials
from kubernetes_leader_election.errors import LeaseApiError
from kubernetes_leader_election.kube_api.call import Call
from kubernetes_leader_election.kube_api.decoding import (
    Undecodable,
    decode_object,
    encode,
    object_problem,
)
from kubernetes_leader_election.kube_api.failures import (
    Request,
    Status,
    answer_is_unknown,
    judge_failure,
    not_sent,
    without_frames,
)
from kubernetes_leader_election.kube_api.pool import ConnectionPool
from kubernetes_leader_election.kube_api.resources import LEASES
from kubernetes_leader_election.kube_api.results import (
    Answered,
    Failure,
    LeaseObject,
    Listed,
    NotSent,
    Ok,
    Unknown,
)
from kubernetes_leader_election.kube_api.transport import (
    BROKEN,
    Reply,
    Stream,
    Transport,
    Wire,
    trouble_of,
)
from kubernetes_leader_election.kube_api.watch import (
    StreamError,
    StreamEvent,
    events_of,
)
from kubernetes_leader_election.process.fork import this_process
from kubernetes_leader_election.rights import ELECTION, READING
from kubernetes_leader_election.values import hasten


class LeaseClient:
    """
    Read, write and watch Leases of one API server.

    Every verb blocks its thread until there is a result or ``call`` is over, and gives
    a value of :mod:`~kubernetes_leader_election.kube_api.results`; none raises for
    anything a server or network may do. Many threads may use one client. Nothing is
    sent twice behind the caller's back; nothing is followed, uncompressed or guessed.

    .. code-block:: python

        client = LeaseClient(in_cluster())
        result = client.get("default", "my-lease", call=Call(deadline=boottime() + 5))
        match result:
            case Ok(lease=lease):
                print(lease["spec"])
            case Failed(error=error):
                print(error)

    Args:
        credentials: Where the server is and who is asking.
        user_agent: Up to its first slash it is the "manager" the server notes down.
        most_idle: How many idle connections are kept for the next requests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "kubernetes-leader-election",
        most_idle: int = 8,
    ) -> None:
        self._credentials = credentials
        self._pool = ConnectionPool(credentials, most_idle=most_idle)
        self._transport = Transport(credentials, self._pool, user_agent=user_agent)
        self._process = this_process()

    def __repr__(self) -> str:
        return f"<LeaseClient of {self._credentials.server.url}>"

    @property
    def credentials(self) -> Credentials:
        """Where the server is and who is asking."""
        return self._credentials

    @property
    def open_sockets(self) -> int:
        """Count the open connections, idle or in use."""
        return self._pool.open_sockets

    # The Lease -----------------------------------------------------------------

    def get(
        self,
        namespace: str,
        name: str,
        *,
        call: Call,
        needs: tuple[str, ...] = ELECTION,
    ) -> Ok | Failure:
        """
        Read the Lease with quorum.

        ``needs`` are the verbs that whoever asks needs in all: the advice where one of
        them is missing.
        """
        request = Request(verb="get", namespace=namespace, name=name, needs=needs)
        wire = Wire(method="GET", path=LEASES.path(namespace, name))
        return self._ask_lease(request, wire, call)

    def replace(
        self,
        namespace: str,
        name: str,
        lease: LeaseObject,
        *,
        call: Call,
        needs: tuple[str, ...] = ELECTION,
    ) -> Ok | Failure:
        """
        Replace the Lease by a PUT, or create it if ``lease`` has no resourceVersion.

        A creating PUT that comes too late is a
        :class:`~kubernetes_leader_election.kube_api.results.Conflict` (rule 6).
        ``needs`` is that of :meth:`get`.
        """
        metadata = lease.get("metadata")
        creating = not (
            isinstance(metadata, Mapping) and metadata.get("resourceVersion")
        )
        request = Request(
            verb="update",
            namespace=namespace,
            name=name,
            creating=creating,
            needs=needs,
        )
        try:
            body = encode(lease)
        except Undecodable as error:
            return not_sent(request, error, credentials=self._credentials, call=call)
        wire = Wire(method="PUT", path=LEASES.path(namespace, name), body=body)
        return self._ask_lease(request, wire, call)

    def list(
        self,
        namespace: str | None,
        *,
        call: Call,
        limit: int = 250,
        continue_token: str = "",
        selector: str = "",
    ) -> Listed | Failure:
        """
        Return one page of the Leases of a namespace; None: of all namespaces.

        ``selector`` is one of labels, as kubectl takes it; the server reads it.
        """
        request = Request(
            verb="list",
            namespace=namespace or "",
            name="",
            everywhere=namespace is None,
            needs=READING,
        )
        query = {"limit": str(limit)}
        if selector:
            query["labelSelector"] = selector
        if continue_token:
            query["continue"] = continue_token
        wire = Wire(method="GET", path=LEASES.path(namespace), query=query)
        answer = self._ask(request, wire, call)
        if not isinstance(answer, Answered):
            return answer
        items, metadata = answer.body.get("items"), answer.body.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
            return self._unknown(request, "the answer is no list of Leases")
        return Listed(
            items=items,
            continue_token=str(metadata.get("continue") or ""),
            resource_version=str(metadata.get("resourceVersion") or ""),
        )

    def watch(
        self,
        namespace: str | None,
        name: str,
        resource_version: str,
        *,
        call: Call,
        on_event: Callable[[str, LeaseObject], None],
        open_within: float = 30.0,
        needs: tuple[str, ...] = ELECTION,
        selector: str = "",
    ) -> LeaseApiError | None:
        """
        Watch the Lease from just after ``resource_version`` until the watch ends.

        With an empty ``name``: all Leases of the namespace.

        Bookmarks are passed on as they come. After ``call.abandon()`` no event is.

        Args:
            namespace: Of the Lease; None for all.
            name: Of the Lease; empty for all.
            resource_version: Where to begin: that of the Lease, or of a list of all.
            call: Ends the watch; without a deadline it goes on as long as it can.
            on_event: Called on this thread with type and object of each event. What it
                raises ends the watch and is passed on.
            open_within: Seconds until the server must have begun to answer.
            needs: As for :meth:`get`.
            selector: Of labels, as for :meth:`list`.

        Returns:
            None if the server ended the watch cleanly, else why it ended: ``status``
            403 says that watching is not permitted, 410 that ``resource_version`` is
            too old, be it in the answer or inside its stream.
        """
        request = Request(
            verb="watch",
            namespace=namespace or "",
            name=name,
            everywhere=namespace is None,
            needs=needs,
        )
        return self.follow(
            request,
            resource_version,
            call=call,
            on_event=on_event,
            open_within=open_within,
            selector=selector,
        )

    # Any kind of object, for the clients of this room ------------------------------

    def read(self, request: Request, wire: Wire, call: Call) -> Answered | Failure:
        """Read or write one object, and see that the answer is that object."""
        answer = self._ask(request, wire, call)
        if not isinstance(answer, Answered):
            return answer
        kind = request.resource.kind
        problem = object_problem(answer.body, kind, request.namespace, request.name)
        if problem is not None:
            return self._unknown(request, f"the answer is not the {kind}: {problem}")
        return answer

    def follow(
        self,
        request: Request,
        resource_version: str,
        *,
        call: Call,
        on_event: Callable[[str, Mapping[str, Any]], None],
        open_within: float,
        silence: float | None = None,
        selector: str = "",
    ) -> LeaseApiError | None:
        """
        Watch what a request names, as :meth:`watch` does a Lease.

        ``silence`` is how many seconds it may bring nothing; None: any time.
        """
        name = request.name
        wire = Wire(
            method="GET",
            path=request.resource.path(request.scope),
            query={
                "watch": "true",
                "allowWatchBookmarks": "true",
                **({"fieldSelector": f"metadata.name={name}"} if name else {}),
                **({"labelSelector": selector} if selector else {}),
                "resourceVersion": resource_version,
            },
            tell_timeout=False,
        )
        self._notice_fork()
        call.limit(open_within)
        stream = self._transport.open_stream(request, wire, call)
        call.limit(silence)
        if isinstance(stream, Reply):
            return self._judge(request, stream, call).error
        if not isinstance(stream, Stream):
            return stream.error
        try:
            return self._follow(request, stream, call, on_event, silence)
        finally:
            stream.connection.close(call)

    # Anything else, for people's tools -------------------------------------------

    def try_write(
        self, namespace: str, name: str, lease: LeaseObject, *, call: Call
    ) -> Answered | Failure:
        """
        Send a write through everything, admission too, that is not stored.

        By a PUT, as :meth:`replace`; with an empty ``name`` by a POST, which creates.
        """
        metadata = lease.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        request = Request(
            verb="update" if name else "create",
            namespace=namespace,
            name=name or str(metadata.get("name") or ""),
            creating=not metadata.get("resourceVersion"),
        )
        wire = Wire(
            method="PUT" if name else "POST",
            path=LEASES.path(namespace, name or None),
            query={"dryRun": "All"},
            body=encode(lease),
        )
        return self._ask(request, wire, call)

    def request(
        self,
        method: str,
        path: str,
        *,
        call: Call,
        body: Mapping[str, Any] | None = None,
    ) -> Answered | Failure:
        """
        Send one authorised request about something else than Leases.

        For diagnosis: ``GET /version``, a SelfSubjectAccessReview. ``path`` begins
        with a slash and is sent as it is.
        """
        if not path.startswith("/") or not path.isascii() or not path.isprintable():
            raise ValueError(f"{path!r} is not a path")
        about = Request(verb=method, namespace="", name="", target=path)
        data = None if body is None else encode(body)
        wire = Wire(method=method, path=path, body=data, tell_timeout=False)
        return self._ask(about, wire, call)

    # Life --------------------------------------------------------------------------

    def close(self) -> None:
        """Close idle connections now, those in use at the end of their request."""
        self._pool.close()

    def close_idle(self) -> None:
        """Close idle connections; new requests open new ones."""
        self._pool.close_idle()

    def closer(self) -> Callable[[], None]:
        """Return a call that closes all there is, and does not keep this object alive."""
        return self._pool.close_all

    def drop_after_fork(self) -> None:
        """
        In a child process: close the inherited descriptors without a word.

        The parent's connections are not disturbed, and the client can be used: it
        opens connections of its own. Called by itself before a first request.
        """
        self._process = this_process()
        self._pool.drop_after_fork()
        self._credentials.drop_after_fork()

    # Inside --------------------------------------------------------------------------

    def _notice_fork(self) -> None:
        if self._process.is_copy:
            self.drop_after_fork()

    def _ask_lease(self, request: Request, wire: Wire, call: Call) -> Ok | Failure:
        answer = self.read(request, wire, call)
        return Ok(lease=answer.body) if isinstance(answer, Answered) else answer

    def _ask(self, request: Request, wire: Wire, call: Call) -> Answered | Failure:
        self._notice_fork()
        reply = self._transport.ask(request, wire, call)
        if isinstance(reply, NotSent | Unknown):
            return reply
        if not 200 <= reply.status < 300:
            return self._judge(request, reply, call)
        try:
            body = decode_object(reply.body)
        except Undecodable as error:
            return self._unknown(request, f"the answer cannot be read: {error}")
        if body.get("status") == "Failure":
            return self._unknown(request, "the answer is a failure that claims success")
        return Answered(body=body, date=reply.date)

    def _judge(self, request: Request, reply: Reply, call: Call) -> Failure:
        failure = judge_failure(
            request,
            Status.read(reply.status, reply.body),
            retry_after=reply.retry_after,
            credentials=self._credentials,
            sent=reply.sent,
            call=call,
        )
        if reply.cause is not None:
            failure.error.__cause__ = without_frames(reply.cause)
        return failure

    def _unknown(self, request: Request, trouble: str) -> Unknown:
        return answer_is_unknown(request, trouble, credentials=self._credentials)

    def _follow(
        self,
        request: Request,
        stream: Stream,
        call: Call,
        on_event: Callable[[str, LeaseObject], None],
        silence: float | None,
    ) -> LeaseApiError | None:
        events = events_of(
            stream.answer.pieces(),
            resource=request.resource,
            namespace=request.namespace,
            name=request.name,
        )
        while True:
            try:
                event = next(events, None)
            except StreamError as error:
                if error.status is None:
                    return self._unknown(request, str(error)).error
                return judge_failure(
                    request,
                    Status.of(error.status),
                    credentials=self._credentials,
                    sent=stream.sent,
                    call=call,
                ).error
            except BROKEN as error:
                return self._unknown(request, trouble_of(error, call)).error
            if call.abandoned:
                return self._unknown(request, "the watch was abandoned").error
            if event is None:
                return None
            if silence is not None:
                call.limit(silence)
            on_event(event.type, event.object)


# What is made at each renewal.
hasten(Answered, Ok, Reply, Request, StreamEvent, Wire)
