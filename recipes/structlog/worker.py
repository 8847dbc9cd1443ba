import asyncio
import contextlib

import structlog

from kubernetes_leader_election import Elector, Term

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.JSONRenderer(sort_keys=True),
    ]
)
log = structlog.get_logger()


async def work(term: Term) -> None:
    structlog.contextvars.bind_contextvars(token=term.fencing_token)
    while True:
        log.info("bill sent")  # with the token of the term, as each line of the work
        await asyncio.sleep(60)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
    asyncio.run(Elector(lease_name="shop", log=log).run(work))
