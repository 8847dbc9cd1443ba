"""The endpoints within an application, by hand: ASGI, WSGI, and a request's leader."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from kubernetes_leader_election import (
    ConfigurationError,
    Elector,
    LeadershipLostError,
    NotLeaderError,
    observability,
    sync,
)
from kubernetes_leader_election.observability import mounts
from tests.node_page import PATIENCE
from tests.observability.fakes import FakeElector


@pytest.fixture
def elector():
    """Give an elector."""
    return FakeElector()


# ASGI -----------------------------------------------------------------------------


class Client:
    """A server of ASGI with one request."""

    def __init__(self, app, path, **scope):
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            **scope,
        }
        self.app, self.sent = app, asyncio.Queue()
        self.disconnected = asyncio.Event()
        self.asked = False

    async def receive(self):
        """Give the request, and then the end of the connection."""
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    def call(self):
        """Call the application."""
        return self.app(self.scope, self.receive, self.sent.put)

    async def whole(self):
        """Give status, headers and body of an answer that ends by itself."""
        await asyncio.wait_for(self.call(), PATIENCE)
        start, *parts = [self.sent.get_nowait() for _ in range(self.sent.qsize())]
        assert not parts[-1].get("more_body")
        return (
            start["status"],
            dict(start["headers"]),
            b"".join(part["body"] for part in parts).decode(),
        )

    async def event(self):
        """Give the next event of a stream."""
        while not (part := await asyncio.wait_for(self.sent.get(), PATIENCE)).get(
            "body"
        ):
            pass
        return json.loads(part["body"].partition(b"data: ")[2])


@pytest.mark.parametrize(
    ("path", "root"),
    [("/livez", ""), ("/election/livez", "/election"), ("/livez", "/election")],
    ids=["alone", "mounted", "mounted by an old Starlette"],
)
def test_asgi_answers_where_it_is_mounted(elector, path, root):
    """The path may have the prefix in it, or not."""
    app = observability.asgi(elector)
    status, headers, body = asyncio.run(Client(app, path, root_path=root).whole())
    assert (status, body) == (200, "ok\n")
    assert headers[b"content-length"] == b"3"
    assert headers[b"content-type"].startswith(b"text/plain")


def test_asgi_takes_the_query_and_the_method(elector):
    """As the server of our own."""
    app = observability.asgi([elector, FakeElector(lease_name="mail")])
    client = Client(app, "/", query_string=b"lease=mail")
    assert asyncio.run(client.whole())[2] == '{"name": ""}\n'
    assert asyncio.run(Client(app, "/livez", method="POST").whole())[0] == 405
    head = asyncio.run(Client(app, "/livez", method="HEAD").whole())
    assert head[2] == ""
    assert head[1][b"content-length"] == b"3"


def test_asgi_stream_tells_each_change_until_the_client_goes(elector):
    """From any thread, as handlers of an elector for threads have their own."""

    async def follow():
        client = Client(observability.asgi(elector), "/sse")
        task = asyncio.ensure_future(client.call())
        assert await client.event() == {"name": ""}
        await asyncio.to_thread(elector.see, "ada")
        assert (await client.event())["name"] == "ada"
        client.disconnected.set()
        await asyncio.wait_for(task, PATIENCE)

    asyncio.run(follow())


def test_asgi_stream_ends_so_that_a_server_can_stop(elector, monkeypatch):
    """A server waits for open requests, and tells no application so."""
    monkeypatch.setattr(mounts, "LONGEST_STREAM", 0.05)
    status, headers, body = asyncio.run(
        Client(observability.asgi(elector), "/sse").whole()
    )
    assert (status, headers[b"content-type"]) == (200, b"text/event-stream")
    assert b"content-length" not in headers
    assert body.startswith("retry: 1000\ndata: {")


def test_asgi_streams_are_limited(elector):
    """The next one is refused; one that has gone makes room."""

    async def open_many():
        app = observability.asgi(elector)
        clients = [Client(app, "/sse") for _ in range(16)]
        tasks = [asyncio.ensure_future(client.call()) for client in clients]
        for client in clients:
            await client.event()
        assert (await Client(app, "/sse").whole())[0] == 503
        clients[0].disconnected.set()
        await asyncio.wait_for(tasks[0], PATIENCE)
        another = asyncio.ensure_future((again := Client(app, "/sse")).call())
        await again.event()
        for task in [*tasks, another]:
            task.cancel()
        await asyncio.gather(*tasks, another, return_exceptions=True)

    asyncio.run(open_many())


def test_asgi_can_be_an_application_of_its_own(elector):
    """A server asks it for its lifespan then; a websocket is closed."""

    async def live():
        app, sent = observability.asgi(elector), []
        words = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive():
            return {"type": next(words)}

        async def send(message):
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        await app({"type": "websocket"}, receive, send)
        return sent

    assert asyncio.run(live()) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


# WSGI -----------------------------------------------------------------------------


def call(app, path, **more):
    """Call a WSGI application; give status, headers and body."""
    environ = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", **more}
    setup_testing_defaults(environ)
    told = []
    body = validator(app)(environ, lambda *words: told.append(words))
    text = b"".join(body).decode()
    body.close()
    ((status, headers),) = told
    return status, dict(headers), text


def test_wsgi_answers_where_it_is_mounted(elector):
    """A mount leaves the rest of the path in PATH_INFO; wsgiref holds it to the rules."""
    app = observability.wsgi(elector)
    status, headers, body = call(app, "/livez", SCRIPT_NAME="/election")
    assert (status, body, headers["Content-Length"]) == ("200 OK", "ok\n", "3")
    elector.absence = "stopping"
    assert call(app, "/readyz")[0] == "503 Service Unavailable"
    assert call(app, "/livez", REQUEST_METHOD="HEAD")[2] == ""
    assert call(app, "/", REQUEST_METHOD="DELETE")[0] == "405 Method Not Allowed"
    assert call(app, "/", QUERY_STRING="lease=no")[0] == "404 Not Found"


def test_wsgi_gives_one_event_and_ends(elector):
    """A stream would keep a worker; the client comes again by itself."""
    status, headers, body = call(observability.wsgi(elector), "/sse")
    assert (status, headers["Content-Type"]) == ("200 OK", "text/event-stream")
    assert body == 'retry: 5000\ndata: {"name": ""}\n\n'


# A request's leader ---------------------------------------------------------------


@pytest.fixture
def starlette(monkeypatch):
    """Put the one class of Starlette that is needed in the place of Starlette."""

    class HTTPException(Exception):  # noqa: N818 - its name there
        def __init__(self, status_code, detail=None, headers=None):
            self.status_code, self.detail, self.headers = status_code, detail, headers

    exceptions = SimpleNamespace(HTTPException=HTTPException)
    monkeypatch.setitem(sys.modules, "starlette", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "starlette.exceptions", exceptions)
    return HTTPException


def test_request_is_work_of_the_term_or_refused(starlette, lease_server):
    """G5: the Lease is not released before it is answered; elsewhere 503 says who leads."""

    async def ask():
        here, there = (
            Elector(lease_name="asked", server=lease_server.url, auto_close=False)
            for _ in range(2)
        )
        leading = asynccontextmanager(observability.require_leader(here))
        following = asynccontextmanager(observability.require_leader(there))
        async with here:
            await here.wait_until_leading(PATIENCE)
            async with there:
                await there.wait_for_leader(PATIENCE)
                with pytest.raises(starlette) as refused:
                    async with following():
                        pytest.fail("it does not lead")
                assert refused.value.status_code == 503
                assert refused.value.detail == f"the leader is {here.identity}"
                assert refused.value.headers == {"Retry-After": "1"}
            async with leading() as term:
                assert term.fencing_token > 0
                # Who is inside the work does not wait for its own end.
                outside = contextvars.Context()
                stopping = asyncio.create_task(here.stop(), context=outside)
                await asyncio.sleep(0.1)  # a release would take less
                assert not stopping.done()
            await asyncio.wait_for(stopping, PATIENCE)

    asyncio.run(ask())


def test_request_of_threads_may_end_in_another_thread(starlette, lease_server):
    """FastAPI enters and leaves a dependency in whichever worker is free."""
    elector = sync.Elector(
        lease_name="asked", server=lease_server.url, auto_close=False
    )
    leading = contextmanager(observability.require_leader(elector))

    async def ask():
        block = leading()
        term = await asyncio.to_thread(block.__enter__)
        assert term.fencing_token > 0
        await asyncio.to_thread(block.__exit__, None, None, None)

    with elector:
        elector.wait_until_leading(PATIENCE)
        asyncio.run(ask())
    with pytest.raises(starlette) as refused, leading():
        pytest.fail("it does not lead")
    assert refused.value.status_code == 503


class Asking:
    """An elector whose guard does what a test says."""

    leader_identity = None

    def __init__(self, entering=None, leaving=None):
        self.entering, self.leaving, self.refusal = entering, leaving, entering

    def guard(self):
        """Give it."""
        return self

    def __enter__(self):
        if self.entering is not None:
            raise self.entering
        return "the term"

    def __exit__(self, *_):
        if self.leaving is not None:
            raise self.leaving


def test_request_whose_lease_was_lost_is_refused_too(starlette):
    """It may have been done in part: not a success, and not a failure of the server."""
    lost = LeadershipLostError("lost", reason="renew_deadline", term=None)
    leading = contextmanager(observability.require_leader(Asking(leaving=lost)))
    with pytest.raises(starlette) as refused, leading():
        pass
    assert (refused.value.status_code, refused.value.__cause__) == (503, lost)


def test_error_of_the_endpoint_stays_its_own(starlette):
    """One that asks for more time than the term has left says so itself."""
    leading = contextmanager(observability.require_leader(Asking()))
    with pytest.raises(NotLeaderError, match="own"), leading():
        raise NotLeaderError("its own")
    nobody = NotLeaderError("nobody")
    with pytest.raises(starlette) as refused:
        next(observability.require_leader(Asking(entering=nobody))())
    assert refused.value.detail == "nobody leads"


def test_require_leader_needs_starlette_and_an_elector(starlette, monkeypatch):
    """Said at once, and not at the first request."""
    with pytest.raises(ConfigurationError, match="not an elector"):
        observability.require_leader("billing")
    monkeypatch.setitem(sys.modules, "starlette.exceptions", None)
    with pytest.raises(ConfigurationError, match="install fastapi"):
        observability.require_leader(Asking())
