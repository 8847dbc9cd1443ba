"""What a type checker must accept of a user's program; checked, never run."""

from __future__ import annotations

from kubernetes_leader_election import NOT_LEADER
from kubernetes_leader_election.core.timing import Now
from kubernetes_leader_election.elector import Elector as AsyncElector
from kubernetes_leader_election.elector import Term as AsyncTerm
from kubernetes_leader_election.sync import Elector, Term


def lead(elector: Elector) -> None:
    """Use the threaded front."""
    with elector, elector.leadership() as term:
        token: int | None = term.fencing_token
        term.ensure(1.0)
        assert token is None or not term.lost.is_set()


def fence() -> tuple[Elector, AsyncElector]:
    """Ask for the hard fence: yes or no, and nothing else."""
    Elector(hard_fence="yes")  # type: ignore[arg-type]
    Elector(crash_takeover=1.5)  # type: ignore[arg-type]
    Elector(crash_takeover=True, crash_challenge_sec=1.5)
    return Elector(hard_fence=True), AsyncElector(hard_fence=True)


def work(term: Term) -> int:
    """Be the work of a term."""
    return term.number


async def lead_async(elector: AsyncElector) -> None:
    """Use the asyncio front."""
    async with elector, elector.leadership() as term:
        left: float = term.remaining()
        assert left >= Now(0.0, 0.0, 0).boottime


def upload(path: str, *, retries: int = 3) -> bytes:
    """Be a call that blocks."""
    return path.encode() * retries


def hand_on(term: Term) -> bytes:
    """Hand work to a thread, and hold the term for other work."""
    with term.hold("upload"):
        return term.to_thread(upload, "a", retries=2)


async def hand_on_async(term: AsyncTerm) -> bytes:
    """Do the same with asyncio."""
    with term.hold("upload"):
        return await term.to_thread(upload, "a", retries=2)


def misuse(term: Term) -> None:
    """See that a call in a thread is checked as a plain one is: an ignore is unused else."""
    term.to_thread(upload, 7)  # type: ignore[arg-type]
    term.hold(7)  # type: ignore[arg-type]


def charge(amount: int, *, currency: str = "EUR") -> float:
    """Be a job of the leader."""
    return amount + len(currency)


def jobs(elector: Elector) -> float:
    """Run jobs only while leading; where one is misused, an ignore would be unused else."""
    result = elector.call_if_leading(charge, 1, currency="SEK")
    decorated = elector.only_while_leading(charge)
    other = decorated(1, currency="SEK")
    elector.call_if_leading(charge, "a")  # type: ignore[arg-type]
    decorated("a")  # type: ignore[arg-type]
    with elector.guard() as term:
        term.check()
    if result is NOT_LEADER or other is NOT_LEADER:
        return 0.0
    return result + other


async def charge_later(amount: int) -> float:
    """Be a job of an event loop."""
    return float(amount)


async def jobs_async(elector: AsyncElector) -> float:
    """
    Do the same with asyncio: a plain job is called in a thread.

    The ignore would be unused if what is misused were not found.
    """
    result = await elector.call_if_leading(charge_later, 1)
    plain = await elector.call_if_leading(charge, 1)
    decorated = await elector.only_while_leading(charge_later)(1)
    on_a_thread = elector.only_while_leading(charge)(1)
    await elector.only_while_leading(charge_later)("a")  # type: ignore[arg-type]
    async with elector.guard() as term:
        term.check()
    if result is NOT_LEADER or plain is NOT_LEADER:
        return 0.0
    if decorated is NOT_LEADER or on_a_thread is NOT_LEADER:
        return 0.0
    return result + plain + decorated + on_a_thread


def beside(elector: Elector) -> None:
    """Work beside a server, in a thread."""
    with elector.background(work, restart="never") as leading:
        assert leading.running
        error: Exception | None = leading.last_error
        assert error is None


async def work_async(term: AsyncTerm) -> int:
    """Be the work of a term, on a loop."""
    return term.number


async def beside_async(elector: AsyncElector) -> None:
    """Work beside a server, in a task."""
    async with elector.background(work_async) as leading:
        assert leading.running
    elector.background(work)  # type: ignore[arg-type]  # of the other elector
    number: int | None = await elector.run(work_async, restart="on-failure")
    assert number is None
