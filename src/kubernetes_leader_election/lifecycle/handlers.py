"""
Who wants to hear of which event.

Nothing here calls a handler: the dispatchers do, in order.
"""

from __future__ import annotations

import inspect
from functools import partial

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.events import EVENTS, Handler
from kubernetes_leader_election.process import native
from kubernetes_leader_election.text import did_you_mean, shown
from kubernetes_leader_election.values import Value


class Registration(Value, kw_only=False):
    """Who wants to hear of an event, and whether of more than one."""

    handler: Handler
    once: bool


class Handlers:
    """
    Remember who wants to hear of which event. Any thread may call anything.

    .. code-block:: python

        handlers = Handlers()
        handlers.add(EVENTS.LEADERSHIP_LOST, stop_work)
        for handler in handlers.take(EVENTS.LEADERSHIP_LOST):
            handler(event)
    """

    def __init__(self) -> None:
        # Nothing is called where add() and off() have it: a signal handler that comes in
        # there and waits for a stop would wait for the thread that calls the handlers.
        self._lock = native.RLock()
        # Tuples are replaced, never changed: who reads one has a snapshot.
        self._registered: dict[EVENTS, tuple[Registration, ...]]
        self._registered = dict.fromkeys(EVENTS, ())

    def add(self, event: str, handler: Handler, *, once: bool = False) -> None:
        """
        Call ``handler`` with every such event, or with the next one only.

        A handler that is registered twice is called twice.

        Raises:
            ConfigurationError: no such event; not callable; or does not take exactly
                one argument.

        """
        name = event_name(event)
        _check_handler(name, handler)
        added = Registration(handler, once)
        changed = False
        while not changed:
            registered = self._registered[name]
            changed = self._change(name, registered, (*registered, added))

    def off(self, event: str, handler: Handler) -> bool:
        """
        Forget the newest registration of ``handler``; tell whether there was one.

        Raises:
            ConfigurationError: no such event.

        """
        name = event_name(event)
        while True:
            registered = self._registered[name]
            for index in range(len(registered) - 1, -1, -1):
                # Equal, not identical: a bound method is a new object at each look.
                if registered[index].handler == handler:
                    break
            else:
                return False
            rest = registered[:index] + registered[index + 1 :]
            if self._change(name, registered, rest):
                return True

    def take(self, event: str) -> tuple[Handler, ...]:
        """
        Return the handlers to call now, oldest first, and forget those to call once.

        A snapshot: what is registered or forgotten afterwards changes nothing in it.
        """
        entries = self.snapshot(event)
        return tuple(e.handler for e in entries if self.claim(event, e))

    def snapshot(self, event: str) -> tuple[Registration, ...]:
        """Return who hears of the event, oldest first; each is claimed when called."""
        return self._registered.get(event_name(event), ())

    def claim(self, event: str, entry: Registration) -> bool:
        """
        Return whether to call the handler now, and forget it if it is to be called once.

        So it waits on for an event that could not be told to it.
        """
        if not entry.once:
            return True
        name = event_name(event)
        while True:
            registered = self._registered[name]
            rest = tuple([e for e in registered if e is not entry])
            if self._change(name, registered, rest):
                return len(rest) < len(registered)

    def count(self, event: str) -> int:
        """Return how many handlers wait for the event."""
        return len(self._registered.get(event_name(event), ()))

    def any(self) -> bool:
        """Return whether anybody waits for any event."""
        # Not all values at once: without a GIL, another event may be added meanwhile.
        return any(self._registered.get(event) for event in EVENTS)

    def _change(
        self,
        name: EVENTS,
        former: tuple[Registration, ...],
        registered: tuple[Registration, ...],
    ) -> bool:
        """
        Register these, unless others have been since; tell whether it was done.

        Nothing is made where the lock is held: to make it can free an object that
        calls :meth:`off` as it goes.
        """
        with self._lock:
            unchanged = self._registered[name] is former
            if unchanged:
                self._registered[name] = registered
        return unchanged


def event_name(event: str) -> EVENTS:
    """
    Take a member of :class:`EVENTS` or its text.

    Raises:
        ConfigurationError: no such event; suggests the one that was probably meant.

    """
    try:
        return EVENTS(event)
    except ValueError:
        hint = did_you_mean(event, EVENTS)
        raise ConfigurationError(f"There is no event {shown(event)}.{hint}") from None


def name_of(handler: object) -> str:
    """
    Name a handler for messages, whatever its own ``repr()`` does.

    Of a partial only the function is named: its arguments may be secret (fault 50).
    """
    try:
        while isinstance(handler, partial):
            handler = handler.func
        name = getattr(handler, "__qualname__", None)
        return name if isinstance(name, str) else repr(handler)
    except Exception:  # noqa: BLE001 - code of the application, and only a name is lost
        return f"of type {type(handler).__qualname__}, whose repr() fails,"


def _check_handler(name: EVENTS, handler: Handler) -> None:
    if not callable(handler):
        raise ConfigurationError(
            f"A handler of {name} must be a function, not {name_of(handler)}."
        )
    try:
        signature = inspect.signature(handler)
    except ValueError:
        return  # Some functions written in C do not say what they take.
    try:
        signature.bind(object())
    except TypeError as error:
        raise ConfigurationError(
            f"A handler of {name} is called with one argument, the event, and "
            f"{name_of(handler)}{signature} cannot be: {error}. Write it as "
            f"`def {getattr(handler, '__name__', 'handler')}(event): ...`."
        ) from None
