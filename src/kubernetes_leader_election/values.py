"""
Frozen values that cost nothing to define.

The standard library's dataclasses write and compile six methods for each class: with
seventy classes that was half of the time it took to import an elector, in every
process of every program. Here all classes share one set of methods. Type checkers see
dataclasses, frozen, slotted and keyword-only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

_T = TypeVar("_T", bound="Value")

_REQUIRED: Final = object()


class _Hidden:
    """A field whose content is not shown."""

    __slots__ = ("default",)

    def __init__(self, default: object) -> None:
        self.default = default


def hidden(*, default: Any = _REQUIRED) -> Any:
    """Make a field whose content ``repr`` does not show: a secret, or too long."""
    return _Hidden(default)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(hidden,)
)
class _ValueType(type):
    """Turn the annotations of a class into its fields."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        kw_only: bool = True,
    ) -> _ValueType:
        own = [
            field
            for field, kind in namespace.get("__annotations__", {}).items()
            if not str(kind).startswith("ClassVar")
        ]
        inherited = next((b for b in bases if isinstance(b, _ValueType)), None)
        fields: tuple[str, ...] = ()
        defaults: dict[str, Any] = {}
        shown: tuple[str, ...] = ()
        if inherited is not None:
            fields = vars(inherited)["_fields"]
            defaults = dict(vars(inherited)["_defaults"])
            shown = vars(inherited)["_shown"]
            # Not the base's, which may have been hastened: that knows its fields alone.
            namespace.setdefault("__init__", Value.__init__)
        for field in own:
            default = namespace.pop(field, _REQUIRED)
            if isinstance(default, _Hidden):
                default = default.default
            else:
                shown += (field,)
            if default is not _REQUIRED:
                defaults[field] = default
        fields += tuple(own)
        namespace["__slots__"] = tuple(own)
        made = super().__new__(mcs, name, bases, namespace)
        made._fields, made._shown, made._defaults = fields, shown, defaults  # type: ignore[attr-defined]  # declared in Value
        made._all = frozenset(fields)  # type: ignore[attr-defined]
        made._positional = () if kw_only else fields  # type: ignore[attr-defined]
        # A slot's own setter goes round the ban on changing a value.
        made._setters = tuple(  # type: ignore[attr-defined]
            (field, getattr(made, field).__set__) for field in fields
        )
        made._content = attrgetter(*fields) if fields else _nothing  # type: ignore[attr-defined]
        return made


def _nothing(_value: object) -> tuple[()]:
    return ()


class _DataclassFields:
    """Let the functions of ``dataclasses`` work on values, at their own price."""

    def __get__(self, value: object, kind: type[Value]) -> dict[str, Any]:
        import dataclasses  # noqa: PLC0415 - only who asks pays for it

        @dataclasses.dataclass
        class Sample:
            sample: object

        described: dict[str, Any] = {}
        for name in vars(kind)["_fields"]:
            described[name] = copy(vars(Sample)["__dataclass_fields__"]["sample"])
            described[name].name = name
        return described


class Value(metaclass=_ValueType):
    """
    Be a frozen value: fields are the annotations, all given by keyword.

    .. code-block:: python

        class LeaseNotFound(Value):
            request_id: int

    ``kw_only=False`` beside ``Value`` lets fields be given by position, too.
    """

    _all: ClassVar[frozenset[str]]
    _content: ClassVar[Callable[[object], object]]
    _defaults: ClassVar[Mapping[str, Any]]
    _fields: ClassVar[tuple[str, ...]]
    _positional: ClassVar[tuple[str, ...]]
    _setters: ClassVar[tuple[tuple[str, Callable[[object, object], None]], ...]]
    _shown: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Any]] = _DataclassFields()  # type: ignore[assignment]  # gives such a dictionary

    def __init__(self, *args: Any, **given: Any) -> None:
        if args or given.keys() != self._all:
            given = self._complete(args, given)
        for field, set_field in self._setters:
            set_field(self, given[field])

    @classmethod
    def _complete(
        cls, args: tuple[Any, ...], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Add what was given by position, and what was left out."""
        if len(args) > len(cls._positional):
            raise TypeError(
                f"{cls.__name__}() takes {len(cls._positional)} positional arguments, "
                f"{len(args)} were given"
            )
        placed = dict(zip(cls._positional, args, strict=False))
        unknown = given.keys() - cls._all
        if unknown or (twice := placed.keys() & given.keys()):
            problem = (
                f"has no field {min(unknown)!r}"
                if unknown
                else f"got {min(twice)!r} twice"
            )
            raise TypeError(f"{cls.__name__}() {problem}")
        whole = {**cls._defaults, **placed, **given}
        if whole.keys() != cls._all:
            missing = [field for field in cls._fields if field not in whole]
            raise TypeError(f"{cls.__name__}() needs {', '.join(missing)}")
        return whole

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        content: Callable[[object], object] = self.__class__._content
        return content(self) == content(other)

    def __hash__(self) -> int:
        content: Callable[[object], object] = self.__class__._content  # noqa: SLF001 - our own
        return hash(content(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in self._shown)
        return f"{type(self).__qualname__}({shown})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{type(self).__name__} is frozen: {name!r} stays as it is"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(
            f"{type(self).__name__} is frozen: {name!r} stays as it is"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {f: getattr(self, f) for f in self._fields})


def _rebuild(kind: type[_T], content: dict[str, Any]) -> _T:
    return kind(**content)


def replace(value: _T, /, **changes: Any) -> _T:
    """Return a copy of ``value`` with some fields changed."""
    return type(value)(**{**{f: getattr(value, f) for f in value._fields}, **changes})


def hasten(*kinds: type[Value]) -> None:
    """
    Give classes constructors of their own: dearer to define, cheaper to call.

    For values that are made again and again: at each renewal, or by the million in a
    simulator. Nothing else about the classes changes.
    """
    for kind in kinds:
        own = vars(kind)
        names: dict[str, Any] = {f"set_{name}": put for name, put in own["_setters"]}
        names["_defaults"] = defaults = own["_defaults"]
        fields = [
            f"{field}=_defaults[{field!r}]" if field in defaults else field
            for field in own["_fields"]
        ]
        if fields and not own["_positional"]:
            fields.insert(0, "*")
        lines = [f"def __init__(self, {', '.join(fields)}):"]
        lines += [f"    set_{field}(self, {field})" for field in own["_fields"]]
        exec("\n".join([*lines, "    return"]), names)  # noqa: S102 - of our own fields
        kind.__init__ = names["__init__"]  # type: ignore[method-assign]
