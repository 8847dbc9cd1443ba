"""The recipe of a bot: Discord sees one session of it, whichever replica has it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from controlplane.processes import wait_until
from discord_gateway import Gateway
from server_programs import PATIENCE, Running
from test_recipes import (
    Recipe,
    check_end,
    first_and_second,
    hand_over,
    programs,
    replica,
    server,
    wait_for_work,
    works,
)

from kubernetes_leader_election.testing import LeaseServer

__all__ = ["programs", "replica", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

BOT = Recipe("discord", "python bot.py", "connected as", terminated=143, interrupted=0)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Give a gateway that answers."""
    with Gateway(tmp_path / "authority.pem") as gateway:
        yield gateway


def test_recipe_hands_over_its_one_session(
    replica: Callable[..., Running], server: LeaseServer, gateway: Gateway
) -> None:
    """As the other recipes; and never were there two sessions at one time."""
    both = first_and_second(BOT, lambda: replica(BOT, **gateway.variables))
    hand_over(BOT, server, *both)
    wait_until(lambda: gateway.open == 0, within=PATIENCE, what="both have left")
    assert (gateway.opened, gateway.most) == (2, 1)


def test_session_of_a_bot_that_was_killed_is_followed_by_one_other(
    replica: Callable[..., Running], gateway: Gateway
) -> None:
    """The other replica connects when the Lease has run out, which the page says."""
    first, second = first_and_second(BOT, lambda: replica(BOT, **gateway.variables))
    first.process.kill()
    first.finish()
    wait_until(lambda: gateway.open == 0, within=PATIENCE, what="its session ends")
    assert works(BOT, second) == 0
    wait_for_work(BOT, second)
    assert (gateway.opened, gateway.most) == (2, 1)
    second.process.send_signal(signal.SIGTERM)
    check_end(BOT, second, signal.SIGTERM)
