"""
A small HTTP server for probes: one thread, few connections, nothing that can wait.

It shares a process with an election, and answers whoever can reach it. So all is
bounded: connections, bytes, seconds. Who sends half a request holds up nobody, and is
the first to be dropped where connections run out.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from kubernetes_leader_election.observability.endpoints import (
    KEEP_ALIVE,
    MOST_STREAMS,
    TEXT,
    Answer,
    event_of,
)
from kubernetes_leader_election.observability.http_address import accepted
from kubernetes_leader_election.observability.http_messages import (
    LARGEST_HEAD,
    Refused,
    rendered,
    request_in,
)
from kubernetes_leader_election.process import native
from kubernetes_leader_election.process.fork import (
    PerProcess,
    Process,
    on_child,
    this_process,
)
from kubernetes_leader_election.process.log_thread import shared_log_thread

MOST_CLIENTS: Final = 64
"""Connections at once."""
SLOWEST: Final = 10.0
"""Seconds that a client may take for its request, and again for the answer."""
FAREWELL: Final = 1.0
"""Seconds to wait for a client to hang up: one that is cut off may lose the answer."""
LOOK_EVERY: Final = 1.0
"""Seconds between looks at what streams show: the news of a handler may come late."""
NO_ROOM: Final = 0.1
"""Seconds without new connections where the system has no descriptor for one."""
AT_A_TIME: Final = 16
"""New connections that are taken before those that are there have their turn."""


class _Client:
    """One connection: what has come, what is to be sent, and until when."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.received = b""
        """What has come of the request."""
        self.is_answered = False
        """Whether the answer is made, be it sent or not."""
        self.unsent = memoryview(b"")
        """What is to be sent yet."""
        self.stream: Callable[[], str] | None = None
        """The data of the next event; None: the connection ends after the answer."""
        self.shown = ""
        """The data of the last event."""
        self.is_done = False
        """Whether all is sent, so that it only has to hang up."""
        self.until = now + SLOWEST
        """When it is dropped, or a stream sends a comment (CLOCK_MONOTONIC)."""

    @property
    def waits(self) -> int:
        """What to wait for."""
        return select.POLLOUT if self.unsent else select.POLLIN

    @property
    def is_asking(self) -> bool:
        """Whether its request has not come in full."""
        return not self.is_answered

    def send(self, data: bytes, now: float) -> None:
        """Send this, as far as it goes now."""
        self.unsent = memoryview(data)
        self.until = now + SLOWEST
        self.flush(now)

    def flush(self, now: float) -> None:
        """
        Send more of it.

        Raises:
            OSError: it has gone.

        """
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
        if self.unsent:
            return
        if self.stream is not None:
            self.until = now + KEEP_ALIVE
        elif not self.is_done:
            self.is_done = True
            self.until = now + FAREWELL
            self.sock.shutdown(socket.SHUT_WR)


class HttpServer:
    """
    Serve on a socket from now on, on a daemon thread.

    Args:
        listener: a socket that listens, and does not block.
        respond: answers a method and a target; None: nobody is left to be asked, and the
            server ends.

    Raises:
        RuntimeError, MemoryError: there is no thread to be had.

    """

    def __init__(
        self, listener: socket.socket, respond: Callable[[str, str], Answer | None]
    ) -> None:
        self._listener = listener
        self._respond = respond
        """Answers; None: nobody is left to be asked."""
        self._process = this_process()
        """Where the thread runs: no other process serves."""
        self._clients: dict[int, _Client] = {}
        """The connections, by their descriptor. The thread's, as all below."""
        self._accept_after = 0.0
        """When to take new connections again (CLOCK_MONOTONIC)."""
        self._ending = False
        """Whether it is to end. By ``end``."""
        self._ended = native.Gate()
        """Open once the thread has closed all."""
        self._has_failed = False
        """Whether anything has failed once: that is logged."""
        self._poll: Any = native.original("select", "poll")()
        # Plain ones of C, which gevent leaves alone.
        made = native.original("_socket", "socketpair")()
        self._woken, self._waker = made
        for end in made:
            end.setblocking(False)
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(listener, select.POLLIN)
        _servers().add(self)
        try:
            native.start_thread(self._run, name="leader-election-http")
        except BaseException:
            self._close()
            raise

    # Any thread ---------------------------------------------------------------

    def wake(self) -> None:
        """Have the streams looked at. Never blocks; harmless at any time."""
        with contextlib.suppress(OSError):  # it is full, so it will wake; or over
            self._waker.send(b"x")

    def end(self) -> None:
        """Serve no more. Never blocks; harmless at any time."""
        self._ending = True
        if not self._process.is_copy:
            self.wake()

    def close(self, timeout: float) -> bool:
        """End, and wait until the address is free; False if that took too long."""
        self.end()
        return self._process.is_copy or self._ended.wait(timeout)

    def drop_after_fork(self) -> None:
        """In a child: close the copies, and leave what the parent serves alone."""
        socks: list[Any] = [self._listener, self._woken, self._waker]
        socks += [client.sock for client in self._clients.values()]
        self._clients = {}
        for sock in socks:
            descriptor = sock.detach()
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    native.original("os", "close")(descriptor)

    # The thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ending:
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - no memory, or a defect
                    self._tell(error, "a turn of the health server")
                    native.sleep(NO_ROOM)  # it may fail again at once
        finally:
            self._close()

    def _close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._listener.close()
        self._waker.close()
        self._woken.close()
        _servers().discard(self)
        self._ended.open()

    def _turn(self) -> None:
        ready = dict(self._poll.poll(self._patience() * 1000))
        now = time.monotonic()
        if ready.pop(self._woken.fileno(), 0):
            with contextlib.suppress(BlockingIOError):
                while self._woken.recv(4096):
                    pass
        has_come = bool(ready.pop(self._listener.fileno(), 0))
        for descriptor in ready:
            client = self._clients.get(descriptor)
            if client is not None:
                self._serve(client, partial(self._advance, client, now))
        for client in list(self._clients.values()):
            if client.stream is not None and not client.unsent:
                self._serve(client, partial(self._show, client, now))
            elif client.until <= now:
                self._drop(client)
        if has_come:
            self._accept(now)
        elif self._accept_after and now >= self._accept_after:
            self._accept_after = 0.0
            self._poll.register(self._listener, select.POLLIN)

    def _patience(self) -> float:
        """Return the seconds until something is due."""
        now = time.monotonic()
        due = [client.until for client in self._clients.values()]
        if any(client.stream is not None for client in self._clients.values()):
            due.append(now + LOOK_EVERY)
        if self._accept_after:
            due.append(self._accept_after)
        return max(0.0, min(due, default=now + 3600.0) - now)

    def _accept(self, now: float) -> None:
        for _ in range(AT_A_TIME):
            try:
                sock = accepted(self._listener)
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptor is left: who waits to be heard goes, and all wait.
                self._make_room()
                self._poll.unregister(self._listener)
                self._accept_after = now + NO_ROOM
                return
            if len(self._clients) >= MOST_CLIENTS:
                self._make_room()
            client = _Client(sock, now)
            self._clients[sock.fileno()] = client
            self._poll.register(sock, select.POLLIN)
            # Most have sent their request by now.
            self._serve(client, partial(self._advance, client, now))

    def _make_room(self) -> None:
        """Drop who has waited longest: first of those that have not asked anything."""
        clients = list(self._clients.values())
        asking = [client for client in clients if client.is_asking]
        others = [client for client in clients if client.stream is None]
        if asking or others:
            self._drop(min(asking or others, key=lambda client: client.until))

    def _serve(self, client: _Client, step: Callable[[], None]) -> None:
        """Go on with one client; what fails is its own end, and nobody else's."""
        try:
            step()
        except OSError:
            self._drop(client)
        except Exception as error:  # noqa: BLE001 - it must not end all others
            self._tell(error, "an answer of the health server")
            self._drop(client)
        else:
            if client.sock.fileno() in self._clients:
                self._poll.modify(client.sock, client.waits)

    def _drop(self, client: _Client) -> None:
        descriptor = client.sock.fileno()
        if self._clients.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
        client.sock.close()

    def _advance(self, client: _Client, now: float) -> None:
        if client.unsent:
            client.flush(now)
            return
        try:
            data = client.sock.recv(LARGEST_HEAD)
        except BlockingIOError:
            return
        if not data:
            self._drop(client)
            return
        if client.stream is not None:
            self._drop(client)  # it has nothing to say
            return
        if client.is_answered:
            return  # a body, or what comes with a farewell: nobody reads it
        client.received += data
        try:
            request = request_in(client.received)
        except Refused as refused:
            self._answer(client, refused.answer, now)
            return
        if request is not None:
            answer = self._asked(request.method, request.target)
            self._answer(client, answer, now, with_body=request.method != "HEAD")

    def _asked(self, method: str, target: str) -> Answer:
        """Ask for an answer; one that fails is logged once, and is an answer, too."""
        try:
            answer = self._respond(method, target)
        except Exception as error:  # noqa: BLE001 - it must not end all others
            self._tell(error, f"a health endpoint asked for {target!a}")
            return Answer(500, TEXT, f"{type(error).__name__}: see the log\n")
        if answer is None:
            self._ending = True
            return Answer(503, TEXT, "the electors are gone\n")
        return answer

    def _tell(self, error: Exception, what: str) -> None:
        """Log what failed, once: it may fail at every request."""
        if self._has_failed:
            return
        self._has_failed = True
        log = logging.getLogger("kubernetes_leader_election")
        text = "%s failed; further times are not logged"
        shared_log_thread().call(partial(log.error, text, what, exc_info=error))

    def _answer(
        self, client: _Client, answer: Answer, now: float, *, with_body: bool = True
    ) -> None:
        client.is_answered, client.received = True, b""
        if answer.stream is not None and with_body:
            streams = sum(c.stream is not None for c in self._clients.values())
            if streams >= MOST_STREAMS:
                answer = Answer(503, TEXT, f"{streams} streams are open already\n")
            client.stream = answer.stream
        client.send(rendered(answer, with_body=with_body), now)
        if client.stream is not None and not client.unsent:
            self._show(client, now)

    def _show(self, client: _Client, now: float) -> None:
        """Send the next event of a stream, if there is any, or a comment now and then."""
        assert client.stream is not None  # noqa: S101 - for the type checker
        data = client.stream()
        if data != client.shown:
            client.shown = data
            client.send(event_of(data).encode(), now)
        elif client.until <= now:
            client.send(b":\n\n", now)


_servers: Final[PerProcess[set[HttpServer]]] = PerProcess(set)
"""The servers of this process that have not ended."""


def _after_fork_in_child(parent: Process) -> None:
    for server in list(_servers.of(parent) or ()):
        server.drop_after_fork()


on_child(_after_fork_in_child)
