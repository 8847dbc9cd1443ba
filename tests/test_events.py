"""Tests of the event names, their payloads and the registry of handlers."""

import functools
import logging
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import get_args

import pytest

from kubernetes_leader_election import Elector, events
from kubernetes_leader_election.core import messages
from kubernetes_leader_election.core.record import as_datetime
from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeaseApiError,
    NoFencingTokenError,
)
from kubernetes_leader_election.events import EVENTS
from kubernetes_leader_election.lifecycle.event_log import EventLog
from kubernetes_leader_election.lifecycle.handlers import Handlers
from kubernetes_leader_election.lifecycle.notifier import Notifier

WHO = {"lease": "billing", "namespace": "shop", "identity": "a"}


def test_names_are_those_of_the_node_package():
    """The three names of the Node package are there, and are plain text too."""
    assert EVENTS.LEADERSHIP_ACQUIRED == "leadership_acquired"
    assert EVENTS.LEADERSHIP_LOST == "leadership_lost"
    assert EVENTS.LEASE_RENEWED == "lease_renewed"
    assert [str(name) for name in EVENTS] == [
        "leadership_acquired",
        "leadership_lost",
        "lease_renewed",
        "leader_changed",
        "error",
    ]


EVERY = (
    events.LeadershipAcquired(**WHO, term=2, token_if_any=41),
    events.LeadershipLost(**WHO, term=2, token=7, reason="deleted", detail="gone"),
    events.LeaseRenewed(
        **WHO, term=2, token=7, renew_time=as_datetime(1_700_000_000_123_457)
    ),
    events.LeaderChanged(**WHO, holder_identity="b"),
    events.ErrorOccurred(**WHO, error=LeaseApiError("no route")),
)


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.name)
def test_handler_gets_the_very_event_of_the_core(event):
    """Nobody on the way makes another of it, so no field can be forgotten there."""
    notifier = Notifier(EventLog(logging.getLogger("test"), where=lambda: "here"))
    notifier.handlers.add(event.name, print)
    notifier.dispatcher = SimpleNamespace(wake=lambda: None)
    notifier.deliver(event, work=None)
    [queued] = notifier.event_queue.empty()
    assert queued.event is event
    assert {item.name for item in EVERY} == set(EVENTS) == set(_names_of_the_core())
    with pytest.raises(AttributeError):
        event.lease = "other"


def _names_of_the_core():
    return [kind.name for kind in get_args(messages.Event)]


def test_renew_time_keeps_every_microsecond():
    """A float would not."""
    moment = datetime(2023, 11, 14, 22, 13, 20, 123457, tzinfo=UTC)
    assert as_datetime(1_700_000_000_123_457) == moment


def test_assumed_leadership_has_no_token():
    """Off-cluster the acquisition says that it is assumed."""
    event = events.LeadershipAcquired(**WHO, term=1, token_if_any=None, assumed=True)
    assert event.token is None


def test_elected_term_without_a_token_says_so_where_one_is_asked_for():
    """G3: versions that are not numbers make no token; nobody fences with None."""
    event = events.LeadershipAcquired(**WHO, term=1, token_if_any=None)
    assert not event.assumed
    with pytest.raises(NoFencingTokenError, match=r"shop/billing.*not numbers"):
        event.token  # noqa: B018 - the access is the test
    assert "token_if_any=None" in repr(event)


def test_handlers_are_taken_in_the_order_of_registration():
    """on() adds, by name or by member, and take() gives the oldest first."""
    handlers, seen = Handlers(), []
    handlers.add(EVENTS.ERROR, lambda _event: seen.append(1))
    handlers.add("error", lambda _event: seen.append(2))
    for _ in range(2):
        for handler in handlers.take("error"):
            handler(None)
    assert seen == [1, 2, 1, 2]
    assert handlers.take(EVENTS.LEASE_RENEWED) == ()


def test_on_decorates():
    """on() and once() without a handler decorate, and leave the function as it is."""
    elector = Elector(lease_name="demo")

    @elector.on(EVENTS.LEADERSHIP_LOST)
    def lost(event):
        return event

    @elector.once("leadership_lost")
    def lost_once(event):
        return event

    handlers = elector._lifecycle.notifier.handlers
    assert handlers.take(EVENTS.LEADERSHIP_LOST) == (lost, lost_once)
    assert lost(3) == 3
    assert handlers.take(EVENTS.LEADERSHIP_LOST) == (lost,)


def test_once_is_taken_once():
    """once() hears one event, also when many threads take at the same time."""
    handlers = Handlers()
    handlers.add("error", print, once=True)
    barrier = threading.Barrier(8)
    taken = []

    def take():
        barrier.wait()
        taken.extend(handlers.take("error"))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == [print]


def test_once_is_forgotten_when_it_is_claimed():
    """A snapshot takes nothing: whoever calls a handler claims it first, and one may."""
    handlers = Handlers()
    handlers.add("error", print)
    handlers.add("error", repr, once=True)
    always, once = handlers.snapshot(EVENTS.ERROR)
    assert handlers.count("error") == 2
    assert [handlers.claim("error", always) for _ in range(2)] == [True, True]
    assert [handlers.claim("error", once) for _ in range(2)] == [True, False]
    assert handlers.take("error") == (print,)


def test_once_that_was_taken_off_is_claimed_by_nobody():
    """off() is heard until the very call."""
    handlers = Handlers()
    handlers.add("error", repr, once=True)
    (once,) = handlers.snapshot("error")
    assert handlers.off("error", repr)
    assert not handlers.claim("error", once)


def test_off_forgets_the_newest_registration():
    """off() undoes one on() of the handler, the newest; twice registered needs two."""
    handlers = Handlers()
    handlers.add("error", print)
    handlers.add("error", print, once=True)
    assert handlers.off("error", print)
    assert handlers.count("error") == 1
    assert handlers.take("error") == (print,)
    assert handlers.off("error", print)
    assert not handlers.off("error", print)
    assert handlers.count("error") == 0


def test_off_knows_a_bound_method_again():
    """A bound method can be taken off, though each look makes a new object."""

    class Work:
        def begin(self, event): ...

    work, handlers = Work(), Handlers()
    handlers.add("error", work.begin)
    assert handlers.off("error", work.begin)


def test_taken_handlers_are_a_snapshot():
    """What is registered while handlers are called is not called in that round."""
    handlers, seen = Handlers(), []

    def nosy(_event):
        seen.append("nosy")
        handlers.add("error", nosy)
        handlers.off("error", nosy)
        handlers.add("error", nosy)

    handlers.add("error", nosy)
    for handler in handlers.take("error"):
        handler(None)
    assert seen == ["nosy"]
    assert handlers.count("error") == 2


class Callable1:
    """An object to be called with one argument."""

    def __call__(self, event):
        """Take it."""


@pytest.mark.parametrize(
    "handler",
    [
        lambda event: event,
        lambda *args: args,
        lambda event, more=1: (event, more),
        functools.partial(lambda a, b: (a, b), 1),
        Callable1(),
        [].append,
        print,
        dict,
        bytearray,  # tells no signature
    ],
    ids=[
        "one argument",
        "any number",
        "one, and one with a default",
        "the rest of a partial",
        "an object that can be called",
        "a method of a built-in type",
        "a built-in function",
        "a type",
        "a type without a signature",
    ],
)
def test_handler_that_takes_one_argument_is_accepted(handler):
    """Whatever can be called with one event is a handler."""
    handlers = Handlers()
    handlers.add("error", handler)
    assert handlers.take("error") == (handler,)


@pytest.mark.parametrize(
    "handler",
    [
        lambda: None,
        lambda a, b: (a, b),
        lambda *, event: event,
        Callable1,
        threading.Event().set,
    ],
    ids=["none", "two", "only by keyword", "a type that takes none", "a bound method"],
)
def test_handler_of_the_wrong_arity_is_refused(handler):
    """A handler that cannot take exactly the event is refused at once, by on()."""
    for register in (Handlers().add, functools.partial(Handlers().add, once=True)):
        with pytest.raises(ConfigurationError, match=r"\(event\): \.\.\."):
            register("error", handler)


def test_what_cannot_be_called_is_refused():
    """A handler must be callable."""
    with pytest.raises(ConfigurationError, match="must be a function, not 'print'"):
        Handlers().add("error", "print")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("leadership_aquired", "Did you mean 'leadership_acquired'?"),
        ("LEADERSHIP_LOST", "Did you mean 'leadership_lost'?"),
        ("renewed", "Did you mean 'lease_renewed'?"),
        ("zzz", "There are: leadership_acquired, leadership_lost, lease_renewed"),
        (None, "There are: "),
        ([], "There are: "),
    ],
    ids=str,
)
def test_unknown_event_is_refused_with_the_one_meant(name, hint):
    """A misspelt event name is refused everywhere, with a did-you-mean."""
    handlers = Handlers()
    for call in (
        lambda: handlers.add(name, print),
        lambda: handlers.add(name, print, once=True),
        lambda: handlers.off(name, print),
        lambda: handlers.take(name),
    ):
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert hint in str(caught.value)
