"""
Orders to a running server over its own port: faults, freezes, restarts.

Served below ``/control`` when the server was started with ``control=True``, to users
in the group system:masters. No real server has these paths, so they are off by default.

- ``GET /control/faults``: the rules in force, as JSON.
- ``POST /control/faults``: a rule in words, as :func:`parse_fault` reads it.
- ``DELETE /control/faults``: take all rules back.
- ``POST /control/do``: one of the orders of :data:`ORDERS`, such as ``freeze seconds=2``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from kubernetes_leader_election.errors import ConfigurationError
from kubernetes_leader_election.testing.faults import FaultPlan, parse_fault
from kubernetes_leader_election.testing.lease_server.http import statuses
from kubernetes_leader_election.testing.lease_server.http.exchange import (
    Exchange,
    Prepared,
    Reply,
)

__all__ = ["ORDERS", "Control"]

ORDERS = {
    "freeze": "stand still for seconds=N",
    "freeze-storage": "let the storage hang, as etcd can",
    "thaw-storage": "bring the storage back",
    "compact": "forget the history of watches",
    "drop-connections": "reset every connection",
    "end-watches": "end every watch cleanly",
    "restart": "be gone for down=N seconds, then listen again",
}


_OPTIONS = {"freeze": "seconds", "restart": "down"}
LONGEST = 86_400
"""Seconds; a day is longer than any test."""


class Control:
    """
    Understand orders and have them carried out.

    Args:
        faults: the rules in force.
        orders: what carries out each of :data:`ORDERS`; each waits until it is done.

    """

    def __init__(
        self, faults: FaultPlan, orders: Mapping[str, Callable[..., None]]
    ) -> None:
        self._plan = faults
        self._orders = orders

    async def prepare(self, exchange: Exchange) -> Prepared:
        """
        Read an order.

        Raises:
            ApiError: 400 for what is no order, 404 for another path.
        """
        route = (exchange.method, exchange.info.path)
        if route == ("GET", "/control/faults"):
            return Prepared(lambda: exchange.reply(self._faults()))
        if route == ("DELETE", "/control/faults"):
            return Prepared(lambda: self._cleared(exchange))
        text = (await exchange.body()).decode(errors="replace").strip()
        if route == ("POST", "/control/faults"):
            return Prepared(lambda: self._added(exchange, text))
        if route == ("POST", "/control/do"):
            return Prepared(lambda: self._done(exchange, text))
        raise statuses.unknown_path()

    def _faults(self) -> list[dict[str, Any]]:
        return [
            {
                "action": type(active.rule.action).__name__,
                "options": asdict(active.rule.action),
                "times": active.rule.times,
                "hits": active.hits,
            }
            for active in self._plan
        ]

    def _cleared(self, exchange: Exchange) -> Reply:
        self._plan.clear()
        return exchange.reply(self._faults())

    def _added(self, exchange: Exchange, text: str) -> Reply:
        try:
            self._plan.add(parse_fault(text))
        except ConfigurationError as error:
            raise statuses.bad_request(str(error)) from error
        return exchange.reply(self._faults(), 201)

    def _done(self, exchange: Exchange, text: str) -> Reply:
        order, *words = text.split() or [""]
        if order not in ORDERS:
            known = "; ".join(f"{name}: {about}" for name, about in ORDERS.items())
            raise statuses.bad_request(f"no such order {order!r}. Known: {known}")
        numbers = dict(_seconds(order, word) for word in words)
        # Orders wait for the server's thread, which is this one.
        threading.Thread(
            target=self._orders[order], kwargs=numbers, name="lease-server-order"
        ).start()
        return exchange.reply({"order": order, **numbers}, 202)


def _seconds(order: str, word: str) -> tuple[str, float]:
    """
    Read an option of an order.

    Raises:
        ApiError: 400, the order takes no such thing.
    """
    key, _, value = word.partition("=")
    takes = _OPTIONS.get(order)
    if key != takes:
        what = f"{takes}=N, in seconds" if takes else "no options"
        raise statuses.bad_request(f"{order} takes {what}, not {word!r}")
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST:
        raise statuses.bad_request(
            f"{order} takes {key}=N with 0 to {LONGEST} seconds, not {word!r}"
        )
    return key, seconds
