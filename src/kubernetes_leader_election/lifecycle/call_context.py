"""
Am I inside a scope, or inside a handler?

Context variables carry the answer into the tasks that such code starts.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from kubernetes_leader_election.lifecycle.term_work import TermWork


class CallContext:
    """
    Mark the code that runs inside a scope or a handler of an elector.

    Context variables carry it into the tasks that this code starts; it counts only
    while it is ``active``.
    """

    __slots__ = ("active", "is_scope", "owner", "work")

    def __init__(self, owner: object, *, work: TermWork | None, is_scope: bool) -> None:
        self.owner = owner
        self.work = work
        self.is_scope = is_scope
        self.active = True
        """Whether that code still runs: whoever leaves it says so, in any context."""

    @property
    def is_over(self) -> bool:
        """Return whether the term that this is part of is lost, and its work told so."""
        return self.work is not None and self.work.is_told

    def enter(self) -> None:
        """Mark what the present task or thread runs from here on."""
        _contexts.set((*(p for p in _contexts.get() if p.active), self))

    def leave(self) -> None:
        """
        Take the mark back, in whichever context the caller is.

        No token is kept: an ``async with`` in a generator may end in another context.
        """
        self.active = False
        _contexts.set(tuple(p for p in _contexts.get() if p.active))


_contexts: Final[ContextVar[tuple[CallContext, ...]]] = ContextVar(
    "call_contexts", default=()
)


def leave_all_contexts() -> None:
    """Let what the present context runs count as outside every scope and handler."""
    _contexts.set(())


def is_inside_work() -> bool:
    """Return whether the caller runs in a scope or handler, of whichever elector."""
    return any(call_context.active for call_context in _contexts.get())


def context_inside(owner: object) -> CallContext | None:
    """Return the innermost scope or handler of ``owner`` that the caller runs in."""
    for call_context in reversed(_contexts.get()):
        if call_context.owner is owner and call_context.active:
            return call_context
    return None
