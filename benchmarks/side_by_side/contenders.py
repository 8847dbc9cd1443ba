"""The contenders, and a stage for each part of the comparison."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# The candidates and the control plane of the end-to-end tests are used as they are.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "e2e"))

from controlplane import binaries
from controlplane.control_plane import ControlPlane
from electors.candidates import (
    Candidate,
    ClientGo,
    Official,
    Ours,
    Rhythm,
    Setting,
)
from electors.fleet import Fleet

__all__ = ["CONTENDERS", "RHYTHM", "Contender", "Stage", "stage"]

RHYTHM = Rhythm(duration=15, interval=2, deadline=10, timeout=4, stop_budget=0.5)
"""client-go's defaults, for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One library."""

    key: str
    name: str
    make: Callable[[], dict[str, Any]]
    """Gives what `Fleet.start` needs to start one."""


CONTENDERS = (
    Contender(key="ours", name="this package", make=lambda: {"kind": Ours}),
    Contender(
        key="asyncio",
        name="the same, asyncio",
        make=lambda: {"kind": Ours, "front": "asyncio"},
    ),
    Contender(
        key="clientgo",
        name="client-go",
        make=lambda: {
            "kind": ClientGo,
            "program": binaries.find(["clientgo-elector"])["clientgo-elector"],
        },
    ),
    Contender(key="official", name="official Python", make=lambda: {"kind": Official}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A namespace and a fleet for one contender in one part."""

    contender: Contender
    control_plane: ControlPlane
    fleet: Fleet
    namespace: str

    def start(
        self,
        *,
        user: str = "admin",
        server: str | None = None,
        work_period: float = 0.005,
        lease: str = "election",
        notes_renewals: bool = True,
    ) -> Candidate:
        """Start one candidate of this contender."""
        config = self.control_plane.kubeconfig(user, server=server)
        setting = Setting(
            kubeconfig=config,
            namespace=self.namespace,
            lease=lease,
            rhythm=RHYTHM,
            work_period=work_period,
            notes_renewals=notes_renewals,
        )
        return partial(self.fleet.start, setting, **self.contender.make())()


@contextmanager
def stage(contender: Contender, control_plane: ControlPlane) -> Iterator[Stage]:
    """Set a stage, and clear it afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="side-by-side-") as folder,
        Fleet(Path(folder)) as fleet,
    ):
        yield Stage(
            contender=contender,
            control_plane=control_plane,
            fleet=fleet,
            namespace=control_plane.namespace(contender.key),
        )
