"""
A record of every request the server met, for assertions.

Written by the server's thread, read by any thread: entries are appended and their
``status`` is filled in once; a reader that waits is woken by either.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["RequestLog", "RequestRecord"]


@dataclass(slots=True, eq=False)
class RequestRecord:
    """
    One request. ``time`` and ``answered`` are seconds of ``time.monotonic()``.

    ``status`` is the HTTP status, or None while there is no answer, and for ever if
    the connection was dropped instead. ``fault`` names the action that was taken.
    """

    time: float
    verb: str
    method: str
    path: str
    query: str
    user: str = ""
    user_agent: str = ""
    namespace: str = ""
    name: str = ""
    status: int | None = None
    answered: float | None = None
    fault: str = ""
    holder: str | None = None
    """Whom a write of a Lease names as its holder; None: it is no such request."""
    client: str = ""
    """The client's address and port: what one process sends often comes from one."""

    def __str__(self) -> str:
        shown = "-" if self.status is None else str(self.status)
        query = f"?{self.query}" if self.query else ""
        return f"{self.method} {self.path}{query} {shown} {self.user} {self.user_agent}"


class RequestLog:
    """
    The latest requests, oldest first, at most ``limit`` of them.

    .. code-block:: python

        assert server.requests.counts()["update"] == 3
        server.requests.wait_for(lambda one: one.verb == "watch", timeout=5)
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=limit)
        self._changed = threading.Condition()
        self._waiting = 0
        self.totals: Counter[tuple[str, str, int]] = Counter()
        self.on_answer: Callable[[RequestRecord], None] = lambda _record: None

    def add(self, record: RequestRecord) -> None:
        """Write down a request that has just been understood."""
        self._records.append(record)
        self._wake()

    def answer(self, record: RequestRecord, status: int) -> None:
        """Write down that the head of the answer goes out."""
        record.status = status
        record.answered = time.monotonic()
        self.totals[record.method, record.verb, status] += 1
        self.on_answer(record)
        self._wake()

    def _wake(self) -> None:
        # Taking the lock for each request would be paid by everybody; waiters poll
        # anyway, this only makes them fast.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self._records)

    def all(self) -> list[RequestRecord]:
        """Copy the record as it is now."""
        while True:
            try:
                return list(self._records)
            except RuntimeError:
                # The server appended while we copied.
                continue

    def matching(
        self,
        *,
        verb: str | None = None,
        name: str | None = None,
        user: str | None = None,
        status: int | None = None,
    ) -> list[RequestRecord]:
        """Return the requests with these properties, oldest first."""
        wanted = {"verb": verb, "name": name, "user": user, "status": status}
        checks = [(key, value) for key, value in wanted.items() if value is not None]
        return [
            record
            for record in self.all()
            if all(getattr(record, key) == value for key, value in checks)
        ]

    def counts(self, *, user: str | None = None) -> Counter[str]:
        """Count the requests by verb."""
        return Counter(record.verb for record in self.matching(user=user))

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()

    def wait_for(
        self, predicate: Callable[[RequestRecord], bool], *, timeout: float = 10.0
    ) -> RequestRecord:
        """
        Block until some request fulfils the predicate, and give the first.

        Raises:
            TimeoutError: None did within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    for record in self.all():
                        if predicate(record):
                            return record
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TimeoutError(
                            f"no such request within {timeout} s; "
                            f"{len(self)} others were seen"
                        )
                    self._changed.wait(min(left, 0.05))
            finally:
                self._waiting -= 1
