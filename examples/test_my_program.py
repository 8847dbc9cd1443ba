"""How a program that leads is tested, with the fixtures of the package."""

import asyncio

from kubernetes_leader_election import Elector, Term
from kubernetes_leader_election.testing import Answer, Fault, LeaseServer


def elector(server: LeaseServer, **options: object) -> Elector:
    """Make an elector with a short rhythm: a leader trusts itself for 1.2 s."""
    return Elector(
        lease_name="my-program",
        server=server.url,
        renew_interval_ms=100,
        lease_duration_sec=2,
        auto_close=False,
        **options,  # type: ignore[arg-type]
    )


def test_work_is_cancelled_when_the_api_server_is_away(
    lease_server: LeaseServer,
) -> None:
    """The term ends at the renew deadline; work begins again with the next one."""
    tokens: list[int | None] = []

    async def work(term: Term) -> str:
        tokens.append(term.fencing_token)
        if len(tokens) == 1:
            outage = lease_server.faults.add(Fault(Answer(503), times=None))
            try:
                await asyncio.Event().wait()
            finally:
                assert term.reason == "renew_deadline"
                lease_server.faults.remove(outage)
        return "done"

    assert asyncio.run(elector(lease_server).run(work)) == "done"
    first, second = tokens
    assert first is not None
    assert second is not None
    assert first < second
