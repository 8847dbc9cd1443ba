"""
What kind of callable work is: plain, or for an event loop. Refuse the wrong kind.

A coroutine function that is called as a plain one runs nothing, and says nothing.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any, Final

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.lifecycle.handlers import name_of

_NO_LOOP: Final = (
    "and this elector has no event loop to run it on. Give a plain function, or use the "
    "elector for asyncio: kubernetes_leader_election.Elector"
)


class WrongWorkError(ConfigurationError):
    """Say that work was of the wrong kind, as only its result shows."""


def is_coroutine_function(work: object) -> bool:
    """Return whether a call gives a coroutine: also of a partial, or an ``__call__``."""
    return _is_kind(inspect.iscoroutinefunction, work)


def refuse_what_needs_a_loop(work: object, where: str) -> None:
    """
    Refuse work that would not run when it is called, as a thread does.

    Args:
        work: what is to be called.
        where: how it was given, for the message.

    Raises:
        ConfigurationError: it is no callable, or a call of it runs nothing.

    """
    _refuse_no_callable(work, where)
    if is_coroutine_function(work):
        raise ConfigurationError(
            f"{where}: {name_of(work)} is a coroutine function, {_NO_LOOP}."
        )
    _refuse_generators(work, where)


def refuse_what_is_no_job(work: object, where: str) -> None:
    """
    Refuse what does nothing when it is called, on a loop or in a thread.

    Raises:
        ConfigurationError: it is no callable, or a generator function.

    """
    _refuse_no_callable(work, where)
    _refuse_generators(work, where)


def refuse_what_would_block(work: object, where: str) -> None:
    """
    Refuse work that would hold up the event loop, and then be no coroutine.

    A function that says by its annotation that it returns something, a lambda, and what
    a decorator made with ``functools.wraps`` may return a coroutine of others.

    Args:
        work: what is to be called and awaited.
        where: how it was given, for the message.

    Raises:
        ConfigurationError: it is no callable, or a plain function.

    """
    _refuse_no_callable(work, where)
    _refuse_generators(work, where)
    plain = _plain(work)
    if not isinstance(plain, types.FunctionType) or is_coroutine_function(plain):
        return
    returns = plain.__annotations__.get("return")
    if (
        returns in (None, "None")
        and plain.__name__ != "<lambda>"
        and not hasattr(plain, "__wrapped__")
    ):
        raise ConfigurationError(
            f"{where}: {name_of(work)} is a plain function, which would hold up the event "
            "loop. Make it `async def`, or use the elector for threads: "
            "kubernetes_leader_election.sync.Elector. If it returns a coroutine, say so "
            "by its annotation."
        )


def refuse_awaitable(result: object, work: object, where: str) -> None:
    """
    Refuse what plain work gave, if it is something that was still to be awaited.

    Raises:
        ConfigurationError: it is; a coroutine is closed.

    """
    if inspect.isawaitable(result):
        _close(result)
        raise WrongWorkError(
            f"{where}: {name_of(work)} gave {_kind(result)}, which nothing awaits, so it "
            "has not run. Give a plain function; or, to the elector for asyncio "
            "(kubernetes_leader_election.Elector), the coroutine function itself."
        )


def refuse_no_awaitable(result: object, work: object, where: str) -> None:
    """
    Refuse what work for an event loop gave, if that cannot be awaited.

    Raises:
        ConfigurationError: it cannot.

    """
    if not inspect.isawaitable(result):
        raise WrongWorkError(
            f"{where}: {name_of(work)} gave {_kind(result)}, nothing to await: it has run, "
            "and held up the event loop. Give a coroutine function, or use the elector "
            "for threads: kubernetes_leader_election.sync.Elector."
        )


def _refuse_no_callable(work: object, where: str) -> None:
    if not callable(work):
        _close(work)
        raise ConfigurationError(
            f"{where}: {_kind(work)} cannot be called. Give the function itself, without "
            "parentheses: it is called with what it needs."
        )


def _refuse_generators(work: object, where: str) -> None:
    for kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if _is_kind(kind, work):
            raise ConfigurationError(
                f"{where}: {name_of(work)} is a generator function: a call of it runs "
                "nothing. Give a function without `yield`."
            )


def _is_kind(kind: Any, work: object) -> bool:
    if isinstance(work, functools.partial):
        return _is_kind(kind, work.func)
    if isinstance(work, type):
        return False
    return bool(kind(work) or kind(getattr(work, "__call__", None)))  # noqa: B004 - its kind is asked


def _plain(work: object) -> object:
    """Return the function below partials and bound methods."""
    while isinstance(work, functools.partial | types.MethodType):
        work = work.func if isinstance(work, functools.partial) else work.__func__
    return work


def _close(result: object) -> None:
    if inspect.iscoroutine(result):
        result.close()  # or Python warns that it was never awaited, with no word where


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__!r}"
