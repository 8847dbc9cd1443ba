"""
Threads, locks, sockets and waits of the system, also where gevent has patched Python.

gevent puts objects of its own in the place of these, whose waits belong to the loop of
one thread. An election needs what works from any thread, while that loop is busy too: so
the original of each is looked up where it is used, whether the patch came before this
package was imported, after that, or never.

What the application itself waits in, on the other hand, has to let its loop go on:
:func:`wake_ups`.

eventlet keeps no originals for others: :func:`refuse_eventlet`.
"""

from __future__ import annotations

import contextlib
import importlib
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from kubernetes_leader_election.errors import ConfigurationError


def original(module: str, name: str) -> Any:
    """Return what the standard library has under that name, be it patched or not."""
    # Not there yet while another thread imports it, nor is anything patched then.
    saved = getattr(sys.modules.get("gevent.monkey"), "get_original", None)
    if saved is not None:
        return saved(module, name)
    return getattr(importlib.import_module(module), name)


def is_patched() -> bool:
    """Return whether the waits of the application belong to a loop of gevent."""
    return time.sleep is not original("time", "sleep")


def refuse_eventlet() -> None:
    """
    Refuse to begin where eventlet has patched what an election needs.

    Raises:
        ConfigurationError: it has.

    """
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and any(
        patcher.is_monkey_patched(part) for part in ("thread", "socket", "select")
    ):
        raise ConfigurationError(
            "eventlet has patched this process, and leaves no threads and sockets that "
            "an election could rely on: use gevent or threads, or have "
            "`kubernetes-leader-election run` start the program only where it leads."
        )


def get_ident() -> int:
    """Return the number of this thread, by which signals can be sent to it."""
    number: int = original("_thread", "get_ident")()
    return number


def get_native_id() -> int:
    """Return the number that the kernel has for this thread."""
    number: int = original("_thread", "get_native_id")()
    return number


def sleep(seconds: float) -> None:
    """Let this thread rest."""
    original("time", "sleep")(seconds)


class _Thread(threading.Thread):
    """A Thread that ends quietly, also where gevent has patched since it began."""

    def _delete(self) -> None:
        # Private, as all that ends a Thread. Python's own looks for the thread by
        # get_ident(), which a patch has replaced: it raises KeyError. The traceback goes
        # to stderr, and whoever stands in a write to that while the interpreter shuts
        # down never comes back, with a lock that it aborts for.
        threading._active.pop(self.ident, None)  # type: ignore[attr-defined] # noqa: SLF001


def work_thread(function: Callable[[], object], *, name: str) -> threading.Thread:
    """Return a thread that the exit waits for, not started; under gevent a greenlet."""
    # gevent's own class knows the end of a greenlet.
    kind = threading.Thread if _has_green_threads() else _Thread
    return kind(target=function, name=name, daemon=False)


def start_thread(
    function: Callable[..., object],
    *args: Any,
    name: str,
    daemon: bool = True,
) -> object:
    """
    Start a thread; return it, or under gevent something that stands for it.

    Raises:
        RuntimeError, MemoryError: there is none to be had.

    """
    if not _has_green_threads():
        thread = _Thread(
            target=_run_elsewhere,
            args=(get_ident(), function, args),
            name=name,
            daemon=daemon,
        )
        thread.start()
        return thread
    # A Thread would be a greenlet. This one is waited for by nobody at the exit.
    _start_beside_gevent(function, args)
    return object()


def _has_green_threads() -> bool:
    """Return whether a Thread that is started now is a greenlet."""
    start = sys.modules["_thread"].start_new_thread
    return start is not original("_thread", "start_new_thread")


def _run_elsewhere(
    starter: int, function: Callable[..., object], args: tuple[Any, ...]
) -> None:
    if get_ident() != starter:
        _run(function, args)
    else:
        # gevent patched just before the start: this is a greenlet, in the thread of who
        # wanted another one and must not be held up.
        _start_beside_gevent(function, args)


def _start_beside_gevent(
    function: Callable[..., object], args: tuple[Any, ...]
) -> None:
    original("_thread", "start_new_thread")(_run, (function, args))


def _run(function: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        function(*args)
    finally:
        # Code of the application may have waited here, in a loop of its own.
        local = sys.modules.get("gevent._hub_local")
        hub = None if local is None else local.get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)


def Lock() -> threading.Lock:  # noqa: N802 - as threading has it
    """Return a lock for all threads; two greenlets of one thread must not meet in it."""
    lock: threading.Lock = original("_thread", "allocate_lock")()
    return lock


def RLock() -> threading._RLock:  # noqa: N802 - as threading has it
    """Return one that its thread may take again; as :func:`Lock`."""
    lock: threading._RLock = original("_thread", "RLock")()
    return lock


def SimpleQueue() -> queue.SimpleQueue[Any]:  # noqa: N802 - as queue has it
    """Return a queue for all threads and for handlers of signals."""
    made: queue.SimpleQueue[Any] = original("queue", "SimpleQueue")()
    return made


def subprocesses() -> Any:
    """
    Return the module ``subprocess``; under gevent a copy of it that can be used anywhere.

    gevent's own belongs to the loop of the main thread, and takes parts out of the
    original. The exceptions of the copy are of its own, too.
    """
    if not is_patched():
        return importlib.import_module("subprocess")
    from importlib.util import find_spec, module_from_spec  # noqa: PLC0415 - rarely used

    spec = find_spec("subprocess")
    assert spec is not None  # noqa: S101 - for the type checker
    assert spec.loader is not None  # noqa: S101 - likewise
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    # The one of gevent leaves it to its loop to close what is to be closed.
    vars(copy).update(os=_Originals("os"), time=_Originals("time"))
    return copy


class _Originals:
    """A module of the standard library as it was before the patch."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return original(self._module, name)


class Condition:
    """A ``threading.Condition`` of originals, as far as it is needed here."""

    def __init__(self) -> None:
        self._lock = Lock()
        """The condition's own."""
        self._waiting: deque[threading.Lock] = deque()
        """One for each that waits, oldest first: released, it wakes that one. Under it."""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, without the lock; False if that took too long."""
        turn = Lock()
        turn.acquire()
        self._waiting.append(turn)
        self._lock.release()
        notified = False
        try:
            notified = turn.acquire(timeout=-1 if timeout is None else timeout)
            return notified
        finally:
            self._lock.acquire()
            if not notified:
                with contextlib.suppress(ValueError):  # just now it was
                    self._waiting.remove(turn)

    def notify(self) -> None:
        """Wake one that waits, if there is any."""
        if self._waiting:
            self._waiting.popleft().release()


class Semaphore:
    """
    A ``threading.Semaphore`` of originals.

    Args:
        value: how many may acquire it before one has to wait.

    """

    def __init__(self, value: int) -> None:
        self._changed = Condition()
        """Notified when there is more room."""
        self._value = value
        """How many may still acquire it. Under the condition."""

    def acquire(self) -> None:
        """Wait until there is room, and take it."""
        with self._changed:
            while not self._value:
                self._changed.wait()
            self._value -= 1

    def release(self, n: int = 1) -> None:
        """Give room back to ``n`` others."""
        with self._changed:
            self._value += n
            for _ in range(n):
                self._changed.notify()


class Gate:
    """An event that is set once, for all threads."""

    def __init__(self) -> None:
        self._closed = Lock()
        """Held until it is open, and for an instant by each that goes through."""
        self._closed.acquire()

    def open(self) -> None:
        """Let everybody through from now on. Once."""
        self._closed.release()

    def wait(self, timeout: float) -> bool:
        """Wait until it is open; False if that took longer than ``timeout`` seconds."""
        if not self._closed.acquire(timeout=timeout):
            return False
        self._closed.release()
        return True


# Waits of the application -----------------------------------------------------


class WakeUps(Protocol):
    """What one thread, or greenlet, of the application waits in."""

    def put(self, item: None, /) -> None:
        """Wake it. Any thread; never blocks; harmless after its end."""
        ...

    def wait(self, timeout: float) -> None:
        """Wait until woken since the last wait, ``timeout`` seconds at most."""
        ...

    def close(self) -> None:
        """Note that it waits no more."""
        ...


def wake_ups() -> WakeUps:
    """Return what the caller can wait in, so that its loop, if it has one, goes on."""
    return _GreenWakeUps() if is_patched() else _ThreadWakeUps()


class _ThreadWakeUps:
    # No Event: whoever sets one waits for its lock, which a signal handler can find with
    # the thread that it interrupts, or Ctrl-C leave locked. The engine must not wait.

    def __init__(self) -> None:
        self._queue = SimpleQueue()

    def put(self, _: None, /) -> None:
        self._queue.put(None)

    def wait(self, timeout: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._queue.get(timeout=timeout)
            while True:
                self._queue.get_nowait()

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class _GreenWakeUps:
    """A watcher in the loop of the caller: any thread wakes it, and waits for nobody."""

    def __init__(self) -> None:
        # It is there: it has patched.
        self._woken = importlib.import_module("gevent.event").Event()
        self._watcher = importlib.import_module("gevent").get_hub().loop.async_()
        self._watcher.start(self._woken.set)

    def put(self, _: None, /) -> None:
        self._watcher.send()

    def wait(self, timeout: float) -> None:
        self._woken.wait(timeout)
        self._woken.clear()

    def close(self) -> None:
        self._watcher.stop()
