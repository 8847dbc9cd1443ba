import asyncio

from kubernetes_leader_election import Elector, Term

sent: list[int | None] = []  # the tokens that bills were sent with


async def bill(term: Term) -> None:
    while True:
        sent.append(term.fencing_token)
        await asyncio.sleep(0.05)


def make_elector(**options: object) -> Elector:
    return Elector(lease_name="shop", **options)
