import anyio
import billing
import pytest

from kubernetes_leader_election import LeadershipLostError
from kubernetes_leader_election.testing import Answer, Fault, LeaseServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # with trio use the elector for threads


@pytest.mark.anyio
async def test_work_stops_when_the_api_server_is_away(lease_server: LeaseServer):
    fast = {"renew_interval_ms": 100, "lease_duration_sec": 2}
    async with billing.make_elector(server=lease_server.url, **fast) as elector:
        with pytest.raises(LeadershipLostError, match="renew deadline"):
            async with elector.leadership() as term:
                lease_server.faults.add(Fault(Answer(503), times=None))
                with anyio.fail_after(10):
                    await billing.bill(term)
        assert not elector.current_leader
