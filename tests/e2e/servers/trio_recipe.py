"""The recipe for trio, as the page has it, with a server and a job of ours."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import trio
from beside import note

from kubernetes_leader_election.credentials import kubeconfig

PAGE = Path(__file__).parents[3] / "docs" / "library.md"


async def bill_once() -> None:
    """Be the job: it runs on the loop of trio."""
    note("works", os.getpid(), trio.lowlevel.current_task().name)


async def serve() -> None:
    """Serve until SIGTERM."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            return


(recipe,) = re.findall(r"```python\n(import trio\n.*?)```", PAGE.read_text(), re.DOTALL)
names: dict[str, Any] = {
    "bill_once": bill_once,
    "serve": serve,
    "kubeconfig": kubeconfig,
}
outside_a_cluster = 'lease_name="beside", credentials=kubeconfig()'
exec(recipe.replace('lease_name="billing"', outside_a_cluster), names)  # noqa: S102 - our own page
trio.run(names["main"])
note("left", os.getpid())
