import asyncio

import billing
import pytest

from kubernetes_leader_election.testing import LeaseServer


@pytest.mark.asyncio
async def test_the_next_replica_bills_with_a_larger_token(lease_server: LeaseServer):
    first = billing.make_elector(server=lease_server.url, identity="one")
    second = billing.make_elector(server=lease_server.url, identity="two")
    async with first.background(billing.bill):
        await first.wait_until_leading(10)
        async with second.background(billing.bill):
            assert await second.wait_for_leader(10) == "one"
            await first.stop()
            term = await second.wait_until_leading(10)
            await asyncio.sleep(0.2)  # time for a bill
    assert billing.sent == sorted(billing.sent)
    assert billing.sent[-1] == term.fencing_token
