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
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

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


class Server(Protocol):
    """What the orders are carried out on."""

    @property
    def faults(self) -> FaultPlan:
        """Return the rules in force."""

    def freeze(self, seconds: float | None = None) -> None:
        """Stand still."""

    def freeze_storage(self, *, apply_late: bool = False) -> None:
        """Let the storage hang."""

    def thaw_storage(self) -> None:
        """Bring the storage back."""

    def compact(self) -> None:
        """Forget the history."""

    def drop_connections(self) -> None:
        """Reset every connection."""

    def end_watches(self) -> None:
        """End every watch."""

    def restart(self, *, down: float = 0.0, graceful: bool = False) -> None:
        """Restart."""


class Control:
    """Understand orders and carry them out."""

    def __init__(self, server: Server) -> None:
        self._server = server

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
            for active in self._server.faults
        ]

    def _cleared(self, exchange: Exchange) -> Reply:
        self._server.faults.clear()
        return exchange.reply(self._faults())

    def _added(self, exchange: Exchange, text: str) -> Reply:
        try:
            self._server.faults.add(parse_fault(text))
        except ConfigurationError as error:
            raise statuses.bad_request(str(error)) from error
        return exchange.reply(self._faults(), 201)

    def _done(self, exchange: Exchange, text: str) -> Reply:
        order, *words = text.split() or [""]
        if order not in ORDERS:
            known = "; ".join(f"{name}: {about}" for name, about in ORDERS.items())
            raise statuses.bad_request(f"no such order {order!r}. Known: {known}")
        numbers = dict(_seconds(order, word) for word in words)
        carry_out = self._order(order, numbers)
        # Orders wait for the server's thread, which is this one.
        threading.Thread(target=carry_out, name="lease-server-order").start()
        return exchange.reply({"order": order, **numbers}, 202)

    def _order(self, order: str, numbers: dict[str, float]) -> Callable[[], None]:
        server = self._server
        orders: dict[str, Callable[[], None]] = {
            "freeze": lambda: server.freeze(numbers.get("seconds", 1.0)),
            "freeze-storage": server.freeze_storage,
            "thaw-storage": server.thaw_storage,
            "compact": server.compact,
            "drop-connections": server.drop_connections,
            "end-watches": server.end_watches,
            "restart": lambda: server.restart(down=numbers.get("down", 0.0)),
        }
        return orders[order]


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
