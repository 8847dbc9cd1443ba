"""
Read JSON and YAML as Go reads them, and complain in its words.

Plain values come out, with two marks: an object in which a key stood twice, and a
number written with a fraction, which is no integer even if it is whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DuplicateKeys", "FloatLiteral", "json_kind", "load_json", "load_yaml"]


class DuplicateKeys(dict[str, Any]):
    """An object in which some key stood twice; the last value won."""

    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FloatLiteral:
    """A number with a fraction or an exponent, as it was written."""

    text: str


def json_kind(value: Any) -> str:
    """Name a JSON value's type as Go does."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return "number"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    seen: set[str] = set()
    twice: list[str] = []
    for key, _ in pairs:
        if key in seen and key not in twice:
            twice.append(key)
        seen.add(key)
    marked = DuplicateKeys(document)
    marked.duplicates = tuple(twice)
    return marked


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"invalid character {name[:1]!r} looking for beginning of value")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=FloatLiteral, parse_constant=_refuse_constant
)


def load_json(body: bytes) -> Any:
    """
    Read JSON; bytes that are no UTF-8 become replacement characters, as in Go.

    Raises:
        ValueError: The text is not JSON, or is nested too deeply.
    """
    text = body.decode(errors="replace")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    except json.JSONDecodeError as error:
        raise ValueError(_go_syntax(error)) from error
    if "\\u" in text:
        return _without_surrogates(value)
    return value


def _go_syntax(error: json.JSONDecodeError) -> str:
    """Say roughly what Go says about broken JSON."""
    if error.pos >= len(error.doc) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    character = error.doc[error.pos]
    where = "looking for beginning of value"
    if error.msg == "Extra data":
        where = "after top-level value"
    elif error.msg.startswith("Invalid control"):
        where = "in string literal"
    return f"invalid character {character!r} {where}"


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        cleaned = type(value)(
            {
                _without_surrogates(key): _without_surrogates(one)
                for key, one in value.items()
            }
        )
        if isinstance(value, DuplicateKeys) and isinstance(cleaned, DuplicateKeys):
            cleaned.duplicates = value.duplicates
        return cleaned
    return value


def load_yaml(body: bytes) -> Any:
    """
    Read YAML, first document only.

    Raises:
        ValueError: The text is not YAML, is nested too deeply, or has values that
            JSON does not know.
    """
    import yaml  # noqa: PLC0415  # most servers never meet a YAML body

    try:
        value = yaml.load(body, Loader=_json_like_loader(yaml))  # noqa: S506  # a safe loader without dates
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {error}") from error
    except _TAGGED_WRONGLY as error:
        raise ValueError("yaml: a value does not fit its tag") from error
    except RecursionError:
        raise ValueError("yaml: exceeded max depth") from None
    # Through JSON, so that a float or a duplicate key looks as it does there.
    try:
        text = json.dumps(value)
    except TypeError as error:
        raise ValueError(f"yaml: {error}") from error
    except RecursionError:
        raise ValueError("yaml: exceeded max depth") from None
    return load_json(text.encode())


_TAGGED_WRONGLY: Final = (AttributeError, LookupError, TypeError)
"""What the parser throws for ``!!bool x``, ``!!int ""`` and their like."""


def _json_like_loader(yaml: Any) -> Any:
    """Make a safe loader which reads only what JSON has: no dates, bytes or sets."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is a module given as a value
        """Leave timestamps alone."""

    def binary(loader: Any, node: Any) -> str:
        data: bytes = loader.construct_yaml_binary(node)
        return data.decode(errors="replace")

    prefix = "tag:yaml.org,2002:"
    Loader.add_constructor(f"{prefix}binary", binary)
    Loader.add_constructor(f"{prefix}set", yaml.SafeLoader.construct_yaml_map)
    Loader.add_constructor(f"{prefix}timestamp", yaml.SafeLoader.construct_yaml_str)

    Loader.yaml_implicit_resolvers = {
        letter: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader
