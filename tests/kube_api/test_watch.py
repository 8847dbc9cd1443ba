"""The watch: a stream that is not trusted to its last byte (rule 16, fault 40)."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.node_page import PATIENCE

from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.kube_api.call import Call, boottime
from kubernetes_leader_election.kube_api.resources import LEASES
from kubernetes_leader_election.kube_api.watch import StreamError, events_of


def streaming(*events, end=True):
    """Make a handler that streams events and ends, cleanly or not."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        for kind, thing in events:
            peer.event(kind, thing)
        if end:
            peer.chunk(b"")

    return handle


def watch(client, call=None, version="7"):
    """Run a watch to its end; give the events and the error."""
    events = []
    error = client.watch(
        "apps",
        "demo",
        version,
        call=call or Call(deadline=boottime() + PATIENCE),
        on_event=lambda kind, thing: events.append((kind, thing)),
    )
    return events, error


def test_watch_brings_events_and_bookmarks_and_ends_cleanly(serve, connect, lease):
    """Events and bookmarks are passed on as they come; a clean end is no error."""
    bookmark = {"kind": "Lease", "metadata": {"resourceVersion": "9"}, "spec": {}}
    sent = [("MODIFIED", lease("8")), ("BOOKMARK", bookmark), ("DELETED", lease("10"))]
    server = serve(streaming(*sent))
    assert (sent, None) == watch(connect(server))
    target = server.requests[0].target
    path, _, query = target.partition("?")
    assert path == "/apis/coordination.k8s.io/v1/namespaces/apps/leases"
    assert set(query.split("&")) == {
        "watch=true",
        "allowWatchBookmarks=true",
        "fieldSelector=metadata.name%3Ddemo",
        "resourceVersion=7",
    }


def test_watch_decodes_events_however_they_are_cut(serve, connect, lease):
    """Chunks of the transport and lines of the stream have nothing to do with it."""
    sent = [("MODIFIED", lease(str(i), text="ü\n")) for i in range(8, 12)]
    lines = b"".join(
        json.dumps({"type": kind, "object": thing}).encode() + b"\n"
        for kind, thing in sent
    )

    def handle(peer):
        peer.read()
        peer.begin_stream()
        for i in range(0, len(lines), 13):
            peer.chunk(lines[i : i + 13])
        peer.chunk(b"")

    assert (sent, None) == watch(connect(serve(handle)))


def test_event_is_delivered_when_it_comes(serve, connect, lease):
    """An event does not wait for the next one, nor for a buffer to be full."""
    delivered = threading.Event()

    def handle(peer):
        peer.read()
        peer.begin_stream()
        peer.event("MODIFIED", lease("8"))
        assert delivered.wait(PATIENCE)
        peer.chunk(b"")

    error = connect(serve(handle)).watch(
        "apps",
        "demo",
        "7",
        call=Call(deadline=boottime() + 2 * PATIENCE),
        on_event=lambda *_: delivered.set(),
    )
    assert error is None


def raw(data, *, chunked=True):
    """Make a handler that streams bytes and hangs up without an end."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        if chunked:
            peer.chunk(data)
        else:
            peer.send(data)

    return handle


GOOD = json.dumps({"type": "MODIFIED", "object": {"metadata": {}}}).encode()
ODD_STREAMS = {
    "cut between events": (b"", "middle of the answer"),
    "cut in mid-line": (b'{"type":"MODIFIED","obj', "middle of the answer"),
    "not JSON": (b"oops\n", "unreadable"),
    "HTML": (b"<html>\n", "unreadable"),
    "a list": (b"[]\n", "unreadable"),
    "no type": (b'{"object":{}}\n', "no type"),
    "no object": (b'{"type":"MODIFIED"}\n', "no type or no object"),
    "an object that is text": (b'{"type":"MODIFIED","object":"x"}\n', "no type"),
    "another object": (
        b'{"type":"MODIFIED","object":{"metadata":{"name":"x"}}}\n',
        "not of the Lease",
    ),
    "odd metadata": (b'{"type":"BOOKMARK","object":{"metadata":7}}\n', "odd metadata"),
    "deep JSON": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"\n", "nested"),
    "NaN": (b'{"type":NaN}\n', "unreadable"),
    "a line larger than allowed": (b"x" * 1_100_000, "too large"),
}


@pytest.mark.parametrize(("data", "said"), ODD_STREAMS.values(), ids=ODD_STREAMS.keys())
def test_fault_40_odd_stream_ends_the_watch(serve, connect, data, said):
    """Rule 16: any oddity in a stream ends it, with an error that says which."""
    client = connect(serve(raw(data) if data else raw(b"", chunked=False)))
    events, error = watch(client)
    assert events == []
    assert said in str(error)
    assert client.open_sockets == 0


def test_fault_40_stream_that_ends_cleanly_in_mid_line(serve, connect):
    """A clean end of the transport in the middle of an event is no clean end."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        peer.chunk(GOOD[:20])
        peer.chunk(b"")

    _, error = watch(connect(serve(handle)))
    assert "middle of an event" in str(error)


def test_fault_40_events_before_an_oddity_are_delivered(serve, connect, lease):
    """What came before the oddity came."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        peer.event("MODIFIED", lease("8"))
        peer.chunk(b"oops\n")

    events, error = watch(connect(serve(handle)))
    assert events == [("MODIFIED", lease("8"))]
    assert error is not None


@pytest.mark.parametrize(
    ("code", "reason"),
    [(410, "Expired"), (504, "Timeout"), (500, "InternalError"), (403, "Forbidden")],
)
def test_fault_40_error_inside_a_200_stream(serve, connect, status, code, reason):
    """An ERROR event is an error with the status of the Status inside."""
    server = serve(streaming(("ERROR", status(code, reason, "too old"))))
    events, error = watch(connect(server))
    assert events == []
    assert (code, reason) == (error.status, error.reason)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 429, 500, 503])
def test_watch_that_is_refused_says_why(serve, connect, status, code):
    """403: poll instead; 410: too old; both also as the status of the answer."""

    def handle(peer):
        while peer.read() is not None:
            peer.reply(code, status(code, "X", "no"), Retry_After="2")

    events, error = watch(connect(serve(handle)))
    assert events == []
    assert code == error.status
    assert error.retry_after == 2.0


def test_error_without_a_code_is_still_an_error(serve, connect):
    """An ERROR event with nothing in it ends the watch like any other."""
    _, error = watch(connect(serve(streaming(("ERROR", {})))))
    assert error.outcome == "unknown"


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "busy"])
def test_abandon_ends_a_watch_at_once(
    serve, connect, authority, lease, eventually, secured, silent
):
    """An open watch ends within milliseconds, and brings nothing more."""
    stop = threading.Event()

    def handle(peer):
        peer.read()
        peer.begin_stream()
        peer.event("MODIFIED", lease("8"))
        while not silent and not stop.wait(0.002):
            peer.event("MODIFIED", lease("9"))
        peer.wait_until_gone()

    server = serve(handle, tls=authority.server_context() if secured else None)
    client = connect(
        explicit(server=server.url, ca_file=authority.ca_file if secured else None)
    )
    call, events, ended = Call(), [], []

    def run():
        ended.append(
            client.watch(
                "apps",
                "demo",
                "7",
                call=call,
                on_event=lambda *event: events.append((call.abandoned, event)),
            )
        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    eventually(lambda: events)
    began = time.monotonic()
    call.abandon()
    thread.join(PATIENCE)
    stop.set()
    assert time.monotonic() - began < PATIENCE / 2  # by itself it would never end
    assert ended[0] is not None
    assert client.open_sockets == 0


def test_abandon_in_an_event_is_the_end_of_events(serve, connect, lease):
    """What is here already is not passed on to somebody who has gone."""

    def handle(peer):
        peer.read()
        peer.begin_stream()
        both = [{"type": "MODIFIED", "object": lease(v)} for v in ("8", "9")]
        peer.chunk(b"".join(json.dumps(e).encode() + b"\n" for e in both))
        peer.wait_until_gone()

    call, events = Call(), []

    def on_event(kind, thing):
        events.append(thing["metadata"]["resourceVersion"])
        call.abandon()

    error = connect(serve(handle)).watch(
        "apps", "demo", "7", call=call, on_event=on_event
    )
    assert "abandoned" in str(error)
    assert events == ["8"]


def test_watch_that_does_not_open_in_time_is_given_up(serve, connect):
    """A server that accepts a watch and never begins to answer is left."""
    client = connect(serve(lambda peer: (peer.read(), peer.wait_until_gone())))
    error = client.watch(
        "apps", "demo", "7", call=Call(), on_event=print, open_within=0.1
    )
    assert "no complete answer came in" in str(error)


@pytest.mark.slow
def test_open_watch_outlives_the_time_to_open(serve, connect, lease):
    """Once it has begun, silence is no reason to end: whoever watches decides."""
    events, opened = [], []
    for within in (1.0, 10.0):  # the longer one for a machine that is too busy

        def handle(peer, within=within):
            peer.read()
            peer.begin_stream()
            opened.append(time.monotonic())
            time.sleep(within + 0.2)  # the silence: longer than it may take to open
            peer.event("MODIFIED", lease("8"))
            peer.chunk(b"")

        began = time.monotonic()
        error = connect(serve(handle)).watch(
            "apps",
            "demo",
            "7",
            call=Call(),
            on_event=lambda *event: events.append(event),
            open_within=within,
        )
        in_time = opened and opened[-1] < began + within / 2
        if error is None or (in_time and time.monotonic() < began + within + 0.5):
            break
    assert error is None
    assert len(events) == 1


def test_watch_leaves_the_connection_of_the_writes_alone(serve, connect, call, lease):
    """A watch opens a connection of its own: writes keep their warm one."""

    def handle(peer):
        while (request := peer.read()) is not None:
            if "watch=true" in request.target:
                peer.begin_stream()
                peer.chunk(b"")
                return
            peer.reply(200, lease())

    server = serve(handle)
    client = connect(server)
    client.get("apps", "demo", call=call())
    watch(client)
    assert server.connections == 2
    client.get("apps", "demo", call=call())
    assert server.connections == 2


def test_exception_of_the_listener_is_passed_on(serve, connect, lease):
    """What the listener raises is its own affair; the connection is closed."""
    client = connect(serve(streaming(("MODIFIED", lease("8")))))

    def fail(*_):
        raise OSError("the listener's own trouble")

    with pytest.raises(OSError, match="listener's own"):
        client.watch("apps", "demo", "7", call=Call(), on_event=fail)
    assert client.open_sockets == 0


def test_fault_33_watch_is_opened_with_the_new_token(
    serve, connect, lease, status, tmp_path
):
    """A 401 at the opening of a watch has the token read again too."""
    file = tmp_path / "token"
    file.write_text("one")

    def handle(peer):
        while (request := peer.read()) is not None:
            if request.headers["authorization"] == "Bearer one":
                file.write_text("number two")
                peer.reply(401, status(401, "Unauthorized", "Unauthorized"))
            else:
                peer.begin_stream()
                peer.event("MODIFIED", lease("8"))
                peer.chunk(b"")
                return

    events, error = watch(connect(serve(handle), token_file=file))
    assert error is None
    assert len(events) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([GOOD, b"\n", b"{"])))
def test_fault_40_decoder_gives_events_or_ends(pieces):
    """Whatever bytes come, there are events or a StreamError and nothing else."""
    try:
        for event in events_of(pieces, resource=LEASES, namespace="apps", name="demo"):
            assert isinstance(event.object, dict)
    except StreamError:
        pass
