"""
What asyncio does in this thread, as a handler of signals sees it, or may wake it.

Of the signals asyncio handles SIGINT alone by itself. What a program adds to its loop, with
``loop.add_signal_handler()``, is to :mod:`.signals` an earlier handler like any other.

Nothing here imports asyncio: a program that does not use it does not pay for it.
"""

from __future__ import annotations

import functools
import signal
import sys
from contextlib import suppress
from typing import Any, TypeGuard


def is_of_asyncio(action: Any) -> TypeGuard[functools.partial[Any]]:
    """
    Return whether this is what ``asyncio.run()``, or a Runner, does at SIGINT.

    The name is private: in a Python that knows it no more, such a handler is taken for
    one like any other, and called at once.
    """
    runners = sys.modules.get("asyncio.runners")
    own = getattr(getattr(runners, "Runner", None), "_on_sigint", None)
    return (
        own is not None
        and isinstance(action, functools.partial)
        and getattr(action.func, "__func__", None) is own
        and "main_task" in action.keywords
    )


def can_cancel(action: functools.partial[Any]) -> bool:
    """Return whether asyncio's main task is there to be cancelled, or has ended."""
    task = action.keywords["main_task"]
    return not task.done() and task.get_loop().is_running()


def running_loop() -> Any:
    """Return the event loop that runs in this thread, if any."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def other_tasks() -> list[str]:
    """Return the names of what goes on beside the calling task, on this thread's loop."""
    loop, asyncio = running_loop(), sys.modules.get("asyncio")
    if loop is None or asyncio is None:
        return []
    others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    return [task.get_name() for task in others]


def remove_from_loop(number: int) -> None:
    """Forget what was added to the loop of this thread for a signal, if anything was."""
    loop = running_loop()
    if loop is not None:
        with suppress(NotImplementedError):  # a loop that handles no signals
            loop.remove_signal_handler(number)


def owner_of(action: Any) -> str:
    """Say in words whose the handler of a signal is."""
    if action is signal.SIG_DFL:
        return "nobody (the default action)"
    if action is signal.SIG_IGN:
        return "nobody (it is ignored)"
    if action is None:
        return "code that was not written in Python"
    added = ""
    if action is getattr(sys.modules.get("asyncio.unix_events"), "_sighandler_noop", 0):
        added = "what was added to an event loop (loop.add_signal_handler)"
    module = getattr(action, "__module__", None) or type(action).__module__
    name = getattr(action, "__qualname__", None) or type(action).__qualname__
    return added or f"{module}.{name}"


def wake(loop: Any) -> None:
    """
    Wake an event loop: a Python handler does not do that.

    After the handler, the loop waits on in ``select`` for the rest of its time, with
    whatever the handler scheduled still undone.
    """
    if loop is not None and loop.is_running():
        with suppress(RuntimeError):  # closed meanwhile
            loop.call_soon_threadsafe(_nothing)


def _nothing() -> None:
    """Be called."""
