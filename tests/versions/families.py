"""
The classes of each copy of the core, and the way from one to the other.

Two copies of the core have messages of different classes. This module is the one place
that knows how they correspond: by the names of classes and fields. When the core's
messages, events or modules get other names or fields, :data:`RENAMED`,
:data:`NOT_COMPARED` and :meth:`Family.kind` are what has to follow; and, as earlier cores
do not fill a new field of an event, :meth:`EventsOfNow.take`.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

__all__ = ["Adapted", "EventsOfNow", "Family", "family", "plain", "this_version"]

HERE: Final = "kubernetes_leader_election"

RENAMED: Final[Mapping[str, str]] = {}
"""Names of classes that have changed: the name elsewhere, by the name here."""
NOT_COMPARED: Final[Mapping[str, frozenset[str]]] = {}
"""Fields that only one of two families has, by the name of the class here."""

_OLD_NAMES: Final = {old: new for new, old in RENAMED.items()}
_EVENTS: Final = frozenset(
    {
        "ErrorOccurred",
        "LeaderChanged",
        "LeadershipAcquired",
        "LeadershipLost",
        "LeaseRenewed",
    }
)
_PLAIN: Final = frozenset({int, float, str, bool, type(None), dict, list})


class Family:
    """
    One copy of the core, with all of its classes.

    Args:
        package: the Python package that has a package ``core``.

    """

    def __init__(self, package: str) -> None:
        self.package = package
        core = importlib.import_module(f"{package}.core")
        names = [f"{package}.errors", f"{package}.core.messages"]
        names += [
            module.name
            for module in pkgutil.walk_packages(core.__path__, f"{package}.core.")
        ]
        # The events are there, and in an earlier version in the core.
        if importlib.util.find_spec(f"{package}.events") is not None:
            names.append(f"{package}.events")
        self._kinds: dict[str, type[Any]] = {}
        for name in names:
            for kind in vars(importlib.import_module(name)).values():
                if isinstance(kind, type) and kind.__module__.startswith(package):
                    self._kinds.setdefault(kind.__name__, kind)
        self._converters: dict[type[Any], Callable[[Any], Any]] = {}

    def kind(self, name: str) -> type[Any]:
        """Return the class of this family that corresponds to a name."""
        for known in (name, RENAMED.get(name), _OLD_NAMES.get(name)):
            if known in self._kinds:
                return self._kinds[known]
        raise LookupError(
            f"{self.package} has no class {name!r}; if it has another name there, add "
            "it to RENAMED in tests/versions/families.py"
        )

    def knows(self, name: str) -> bool:
        """Return whether this family has a class that corresponds to a name."""
        return any(
            known in self._kinds
            for known in (name, RENAMED.get(name), _OLD_NAMES.get(name))
        )

    def election(self, settings: Any, *, draw: Callable[[], float]) -> Any:
        """Return a core of this family in its first state; ``settings`` are of any."""
        return self.kind("Election")(self.take(settings), draw=draw)

    def assumed(self, settings: Any, *, draw: Callable[[], float]) -> Any:
        """Return a core that assumes leadership, as off-cluster; it draws nothing."""
        del draw
        return self.kind("AssumedElection")(self.take(settings))

    def take(self, value: Any) -> Any:
        """Return what corresponds, in this family, to a value of any family."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        converter = self._converters.get(kind)
        if converter is None:
            converter = self._converters[kind] = self._converter(kind)
        return converter(value)

    def _converter(self, kind: type[Any]) -> Callable[[Any], Any]:
        if kind.__module__.startswith(f"{self.package}."):
            return _as_it_is
        if issubclass(kind, enum.Enum):
            ours: Any = self.kind(kind.__name__)
            return lambda member: ours[member.name]
        if issubclass(kind, BaseException):
            return self._take_error
        if not hasattr(kind, "_fields"):
            return _as_it_is
        made = self.kind(kind.__name__)
        common = [name for name in kind._fields if name in made._fields]
        take = self.take
        return lambda value: made(**{f: take(getattr(value, f)) for f in common})

    def _take_error(self, error: BaseException) -> BaseException:
        try:
            kind = self.kind(type(error).__name__)
        except LookupError:
            return error  # of the standard library: the same in each family
        made: BaseException = kind.__new__(kind, *error.args)
        made.args = error.args
        made.__dict__.update(vars(error))
        made.__cause__ = error.__cause__
        return made


def _as_it_is(value: Any) -> Any:
    return value


class EventsOfNow:
    """
    Events as this version makes them, from those of any core.

    Earlier cores told less: not whose event it is, and the token only once. What is
    missing is worked out from what they told before, not taken from the present core.

    Args:
        settings: of the core whose events they are.
        assumed: whether that core assumes leadership.

    """

    def __init__(self, settings: Any, *, assumed: bool = False) -> None:
        self._assumed = assumed
        self._token: int | None = None
        self._origin = {
            "lease": settings.lease_name,
            "namespace": settings.namespace,
            "identity": settings.identity,
        }

    def take(self, item: Any) -> Any:
        """Return an event of this version; requests, and such an event, as they are."""
        name, fields = type(item).__name__, getattr(item, "_fields", ())
        if name not in _EVENTS or "lease" in fields:
            return item
        ours = this_version()
        told = {field: ours.take(getattr(item, field)) for field in fields}
        if name == "LeadershipAcquired":
            self._token = told["token_if_any"] = told.pop("token")
            told["assumed"] = self._assumed
        elif name in {"LeadershipLost", "LeaseRenewed"}:
            told["token"] = self._token
        if name == "LeaseRenewed":
            moment = datetime(1970, 1, 1, tzinfo=UTC)
            told["renew_time"] = moment + timedelta(microseconds=told["renew_time"])
        return ours.kind(name)(**self._origin, **told)


@cache
def family(package: str) -> Family:
    """Return the classes of a copy of the core."""
    return Family(package)


def this_version() -> Family:
    """Return the classes of the working tree."""
    return family(HERE)


def plain(value: Any) -> Any:
    """Return a value as data that is equal for equal values of different families."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return value.name
    name = _OLD_NAMES.get(kind.__name__, kind.__name__)
    if isinstance(value, BaseException):
        cause = None if value.__cause__ is None else repr(value.__cause__)
        return (name, str(value), {**vars(value), "cause": cause})
    if isinstance(value, list | tuple) and not hasattr(kind, "_fields"):
        return [plain(item) for item in value]
    if not hasattr(kind, "_fields"):
        return value
    left_out = NOT_COMPARED.get(name, frozenset())
    return (
        name,
        {f: plain(getattr(value, f)) for f in kind._fields if f not in left_out},
    )


class Adapted:
    """
    A core of another family, spoken to in the words of this version.

    Args:
        core: has the four verbs and the public properties.
        its_family: the family of ``core``.
        ours: the family of whoever drives it.

    """

    def __init__(self, core: Any, its_family: Family, ours: Family) -> None:
        self.core = core
        self._its_family = its_family
        self._ours = ours
        self._events = EventsOfNow(core.settings)
        self._belief: tuple[Any, Any] = (None, None)

    def receive(self, message: Any, *, now: Any) -> None:
        """Take a response, or a word of the application."""
        its = self._its_family
        self.core.receive(its.take(message), now=its.take(now))

    def handle_timer(self, *, now: Any) -> None:
        """Do what is due at ``now``."""
        self.core.handle_timer(now=self._its_family.take(now))

    def drain(self) -> list[Any]:
        """Return the requests and events since the last call, in order."""
        return [self._ours.take(self._events.take(item)) for item in self.core.drain()]

    def next_deadline(self) -> float | None:
        """Return the CLOCK_BOOTTIME at which ``handle_timer`` is due."""
        due: float | None = self.core.next_deadline()
        return due

    @property
    def belief(self) -> Any:
        """How long the present term may be trusted: the same object until it changes."""
        its = self.core.belief
        if its is not self._belief[0]:
            self._belief = (its, self._ours.take(its))
        return self._belief[1]

    def __getattr__(self, name: str) -> Any:
        return self._ours.take(getattr(self.__dict__["core"], name))
