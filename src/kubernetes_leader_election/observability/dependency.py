"""``observability.require_leader()``: refuse requests where another replica leads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol

from kubernetes_leader_election.errors import (
    ConfigurationError,
    LeadershipLostError,
    NotLeaderError,
)

_LOST: Final = "the Lease was lost before the request was done"


class Guarding(Protocol):
    """The part of an elector, for asyncio or for threads, that requests need."""

    @property
    def leader_identity(self) -> str | None:
        """Who holds the Lease as last seen."""
        ...

    def guard(self) -> Any:
        """Return a guard whose body runs only if this elector leads."""
        ...


def require_leader(elector: Guarding) -> Callable[[], Any]:
    """
    Return a FastAPI dependency that admits a request only where this replica leads.

    .. code-block:: python

        @app.post("/bill")
        async def bill(term: Annotated[Term, Depends(require_leader(elector))]):
            ...

    Elsewhere the answer is 503 with the leader's name and a header ``Retry-After``. The
    request is work of the term: the Lease is not released before it has been answered,
    and the endpoint gets the term, with its fencing token. Where the Lease is lost
    meanwhile, asyncio cancels the request, which then is a 503, too.

    In Starlette, or anywhere else: ``async with asynccontextmanager(leading)() as term:``
    (``contextmanager`` for the elector for threads), where ``leading`` is what this
    returns.

    Args:
        elector: The one that has to lead.

    Raises:
        ConfigurationError: This is not an elector, or Starlette is not installed.

    """
    try:
        from starlette.exceptions import HTTPException  # noqa: PLC0415 - FastAPI has it
    except ImportError as error:
        raise ConfigurationError(
            "require_leader() needs Starlette, on which FastAPI stands: install fastapi "
            "or starlette."
        ) from error
    if isinstance(elector, type) or not hasattr(type(elector), "guard"):
        raise ConfigurationError(
            f"{type(elector).__name__} is not an elector. Give an Elector.",
            option="elector",
        )

    def refusal(text: str) -> Exception:
        refused: Exception = HTTPException(503, text, {"Retry-After": "1"})
        return refused

    def not_here() -> Exception:
        leader = elector.leader_identity
        return refusal(f"the leader is {leader}" if leader else "nobody leads")

    async def leading() -> AsyncIterator[Any]:
        guard = elector.guard()
        try:
            async with guard as term:
                yield term
        except NotLeaderError as error:
            if error is not guard.refusal:
                raise  # the endpoint's own
            raise not_here() from error
        except LeadershipLostError as error:
            raise refusal(_LOST) from error

    def leading_in_threads() -> Iterator[Any]:
        guard = elector.guard()
        try:
            with guard as term:
                yield term
        except NotLeaderError as error:
            if error is not guard.refusal:
                raise  # the endpoint's own
            raise not_here() from error
        except LeadershipLostError as error:
            raise refusal(_LOST) from error

    is_for_asyncio = hasattr(elector.guard(), "__aenter__")
    return leading if is_for_asyncio else leading_in_threads
