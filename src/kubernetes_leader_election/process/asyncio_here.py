"""
What asyncio does in this thread, as a handler of signals sees it, or may wake it.

Of the signals asyncio handles SIGINT alone by itself. What a program adds to its loop, with
``loop.add_signal_handler()``, is to :mod:`.signals` an earlier handler like any other.

Nothing here imports asyncio: a program that does not use it does not pay for it.
"""

from __future__ import annotations

import functools
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
