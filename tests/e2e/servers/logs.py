"""Log to loguru or structlog, whichever is named; a leader of nothing but itself."""

from __future__ import annotations

import sys
from typing import Any

from kubernetes_leader_election import sync
from kubernetes_leader_election.process.log_thread import shared_log_thread

log: Any
if sys.argv[1] == "loguru":
    from loguru import logger

    logger.remove()
    logger.add(sys.stdout, format="{message} {extra[lease]} {extra[reason]}")
    log = logger
else:
    import structlog

    log = structlog.get_logger()

# Without a cluster: leadership is assumed.
with sync.Elector(lease_name="logs", identity="{me} 100 %", log=log) as elector:
    elector.wait_until_leading(60)
shared_log_thread().flush(60)  # at the exit it is not waited for
