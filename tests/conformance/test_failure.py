"""Failure: storage that hangs, overload, connections that end."""

from __future__ import annotations

import http.client
import json
import threading
import time

import pytest
from conformance_client import (
    LATE,
    Api,
    Target,
    assert_refused,
    changed,
    lease,
)

from kubernetes_leader_election.testing import (
    Answer,
    ApplyThenDrop,
    DropBefore,
    Fault,
    Throttle,
)

HUNG_UP = (http.client.RemoteDisconnected, ConnectionError)

pytestmark = pytest.mark.slow


class Later:
    """Make a call in a thread, and give what came of it."""

    def __init__(self, call) -> None:
        self._call = call
        self._began = time.monotonic()
        self.took = 0.0
        self.answer = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._call()
        except HUNG_UP as error:
            self.error = error
        self.took = time.monotonic() - self._began

    def wait(self):
        """Wait for the end of the call."""
        self._thread.join(100)
        assert not self._thread.is_alive()
        return self


def test_storage_hangs_at_a_write(api: Api, target: Target):
    """Storage hangs, write: a 504 Status after the server's patience."""
    made = api.created()
    with target.frozen_storage():
        later = Later(lambda: api.put(changed(made, holderIdentity="b"))).wait()
    assert_refused(later.answer, 504, "Timeout")
    assert later.answer.message == (
        "Timeout: request did not complete within requested timeout - "
        "context deadline exceeded"
    )
    assert target.patience.write * 0.9 < later.took < target.patience.write + LATE


def test_long_timeouts_do_not_lengthen_a_write(api: Api, target: Target):
    """Storage hangs, write: timeout=100s changes nothing."""
    made = api.created()
    with target.frozen_storage():
        call = lambda: api.put(changed(made, holderIdentity="b"), timeout="100s")  # noqa: E731  # one line, one call
        later = Later(call).wait()
    assert_refused(later.answer, 504, "Timeout")
    assert later.took < target.patience.write + LATE


def test_storage_back_in_time_answers_late(api: Api, target: Target):
    """Storage hangs, write: back in time, it is a late 200."""
    made = api.created()
    with target.frozen_storage():
        later = Later(lambda: api.put(changed(made, holderIdentity="b")))
        time.sleep(0.5)
        assert later.answer is None
    assert later.wait().answer.status == 200
    assert later.took >= 0.5


def test_asked_timeout_is_text(api: Api, target: Target):
    """Storage hangs, write with timeout=: 504 in time, as text that looks like JSON."""
    made = api.created()
    with target.frozen_storage():
        call = lambda: api.put(changed(made, holderIdentity="b"), timeout="1s")  # noqa: E731  # one line, one call
        later = Later(call).wait()
    answer = later.answer
    assert answer.status == 504
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert json.loads(answer.body) == {
        "metadata": {},
        "status": "Failure",
        "message": "Timeout: request did not complete within the allotted timeout",
        "reason": "Timeout",
        "details": {},
        "code": 504,
    }
    assert 0.9 < later.took < LATE


def test_timed_out_writes_may_land(api: Api, target: Target):
    """Storage hangs: a write answered 504 may be applied when the storage is back."""
    made = api.created("p", holderIdentity="before")
    with target.frozen_storage():
        answer = api.put(changed(made, holderIdentity="after"), timeout="1s")
        assert answer.status == 504
    seen = api.get().json["spec"]["holderIdentity"]
    if target.embedded:
        assert seen == "after"
    else:
        assert seen in {"before", "after"}


def test_storage_hangs_at_a_read(api: Api, target: Target):
    """Storage hangs, read with timeout=: no answer, or 504, in time."""
    api.created()
    with target.frozen_storage():
        later = Later(lambda: api.get(timeout="1s")).wait()
    if later.error is None:
        assert later.answer.status == 504
    assert 0.8 < later.took < LATE


def test_storage_hangs_at_a_list(api: Api, target: Target):
    """Storage hangs: a LIST without a version hangs with it."""
    with target.frozen_storage():
        later = Later(lambda: api.list(timeout="1s")).wait()
    if later.error is None:
        assert later.answer.status == 504
    assert 0.8 < later.took < LATE


def test_memory_answers_while_the_storage_hangs(api: Api, target: Target):
    """Storage hangs: version 0 and known versions are answered at once."""
    made = api.created(holderIdentity="a")
    version = made["metadata"]["resourceVersion"]
    # A real server's memory hears of it by a watch of its own, a moment later.
    heard_by = time.monotonic() + 10
    while api.get(resourceVersion="0").json != made:
        assert time.monotonic() < heard_by
    with target.frozen_storage():
        began = time.monotonic()
        assert api.get(resourceVersion="0").json == made
        assert api.get(resourceVersion=version).json == made
        assert len(api.list(resourceVersion="0").json["items"]) == 1
        assert time.monotonic() - began < LATE


def test_open_watch_is_silent_while_the_storage_hangs(api: Api, target: Target):
    """Storage hangs, watch: an open one stays open, and goes on afterwards."""
    made = api.created(holderIdentity="a")
    watch = api.watch(resourceVersion=made["metadata"]["resourceVersion"])
    with target.frozen_storage():
        assert watch.is_silent(0.5)
    api.put(changed(made, holderIdentity="b"))
    assert watch.next()["object"]["spec"]["holderIdentity"] == "b"


def test_watch_from_a_version_opens_while_the_storage_hangs(api: Api, target: Target):
    """Storage hangs, watch: from a version it opens at once."""
    made = api.created(holderIdentity="a")
    with target.frozen_storage():
        began = time.monotonic()
        watch = api.watch(resourceVersion=made["metadata"]["resourceVersion"])
        assert watch.status == 200
        assert time.monotonic() - began < LATE


def test_watch_without_a_version_waits_for_the_storage(api: Api, target: Target):
    """Storage hangs, watch: without a version no header comes until its time is over."""
    api.created()
    with target.frozen_storage():
        began = time.monotonic()
        watch = api.watch(timeoutSeconds=2)
        assert 1.5 < time.monotonic() - began < LATE
        assert watch.status == 200
        event = watch.next()
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 500
    assert event["object"]["message"] == "context deadline exceeded"


def test_health_fails_while_the_storage_hangs(api: Api, target: Target):
    """
    Storage hangs: health checks fail after a moment.

    The real server asks its storage a few times a second at most, and gives the last
    answer again in between.
    """
    deadline = time.monotonic() + 60
    with target.frozen_storage():
        for path in ("/readyz", "/livez", "/healthz"):
            while api.request("GET", path).status != 500:
                assert time.monotonic() < deadline, path
    while api.request("GET", "/readyz").status != 200:
        assert time.monotonic() < deadline


def test_hung_up_writes_may_land(api: Api, target: Target):
    """Ambiguity: a PUT whose client hung up at once may have been applied."""
    made = api.created(holderIdentity="before")
    client = Api(target, api.namespace)
    connection = target.connect()
    connection.connect()
    body = json.dumps(changed(made, holderIdentity="after"))
    headers = {**client.headers, "Content-Type": "application/json"}
    connection.request("PUT", api.path("p"), body, headers)
    connection.close()
    time.sleep(0.2)
    assert api.get().json["spec"]["holderIdentity"] in {"before", "after"}


def test_overload_is_text(api: Api, embedded):
    """Overload: 429 is text with a Retry-After (fault 32)."""
    embedded.faults.add(Fault(Throttle(), verb="get", namespace=api.namespace))
    answer = api.get()
    assert answer.status == 429
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Retry-After"] == "1"
    assert answer.body == b"Too many requests, please try again later.\n"
    assert api.get().status == 404


@pytest.mark.parametrize(
    ("drop", "holder"), [(DropBefore(), "before"), (ApplyThenDrop(), "after")], ids=repr
)
def test_dropped_write_had_an_effect_or_had_none(api: Api, embedded, drop, holder):
    """Ambiguity: dropped before or after the write, nobody can know (fault 28)."""
    made = api.created(holderIdentity="before")
    embedded.faults.add(Fault(drop, verb="update", namespace=api.namespace))
    with pytest.raises(HUNG_UP):
        api.put(changed(made, holderIdentity="after"))
    assert api.get().json["spec"]["holderIdentity"] == holder


def test_any_status_can_be_answered(api: Api, embedded):
    """Failure: 5xx without an effect."""
    fault = Answer(503, reason="ServiceUnavailable", retry_after=2)
    embedded.faults.add(Fault(fault, verb="create", namespace=api.namespace))
    answer = api.post(lease())
    assert_refused(answer, 503, "ServiceUnavailable")
    assert answer.headers["Retry-After"] == "2"
    assert api.get().status == 404


def test_keep_alive_connections_serve_many_requests(api: Api):
    """Connections: one is used again and again."""
    api.created()
    socket = api._connection.sock
    for _ in range(50):
        assert api.get().status == 200
    assert api._connection.sock is socket


def test_connections_close_when_asked(api: Api):
    """Connections: Connection: close is kept."""
    answer = api.request("GET", api.collection, headers={"Connection": "close"})
    assert answer.headers["Connection"] == "close"
