"""
Label selectors, read as apimachinery reads them, with its words for what is wrong.

A text is cut into symbols and words; a parser goes over them. What it expects where,
and what it says about anything else, clients can see, so both are the real ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from kubernetes_leader_election.testing.lease_server.api.validation import (
    label_value,
    qualified_name,
)
from kubernetes_leader_election.testing.lease_server.http.statuses import (
    FieldError,
    bad_request,
)

__all__ = ["read_label_selector"]

Predicate = Callable[[dict[str, Any]], bool]

_TOKENS: Final = re.compile(r"==|!=|[=!(),<>]|[^=!(),<>\s]+")
_SYMBOLS: Final = frozenset({"==", "!=", *"=!(),<>"})
_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "gt", "lt")
_BINARY: Final = {"=", "==", "!=", "<", ">", "in", "notin"}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64: Final = 2**63


class _SyntaxError(Exception):
    """What the real parser says of a selector."""


def read_label_selector(text: str) -> list[Predicate]:
    """
    Read a selector; what it selects keeps all that comes out.

    Raises:
        ApiError: 400, with the real server's text.
    """
    tokens = [*_TOKENS.findall(text), ""]
    tokens.reverse()
    found: list[Predicate] = []
    while tokens[-1]:
        if not _is_word(tokens[-1]) and tokens[-1] != "!":
            raise bad_request(
                f"found '{tokens[-1]}', expected: !, identifier, or 'end of string'"
            )
        try:
            found.append(_requirement(tokens))
        except _SyntaxError as error:
            raise bad_request(f"unable to parse requirement: {error}") from None
        ending = tokens.pop()
        if not ending:
            break
        if ending != ",":
            raise bad_request(f"found '{ending}', expected: ',' or 'end of string'")
        if not _is_word(tokens[-1]) and tokens[-1] != "!":
            raise bad_request(f"found '{tokens[-1]}', expected: identifier after ','")
    return found


def _is_word(text: str) -> bool:
    return bool(text) and text not in _SYMBOLS


def _requirement(tokens: list[str]) -> Predicate:
    """Take one requirement off the tokens, which are in reverse."""
    absent = tokens[-1] == "!"
    if absent:
        tokens.pop()
    key = tokens.pop()
    if not _is_word(key):
        raise _SyntaxError(f"found '{key}', expected: identifier")
    if wrong := qualified_name(key):
        raise _SyntaxError(str(FieldError.invalid("<nil>", key, "; ".join(wrong))))
    if absent:
        return lambda document: _label_of(document, key) is None
    if tokens[-1] in {"", ","}:
        return lambda document: _label_of(document, key) is not None
    operator = tokens.pop()
    if operator not in _BINARY:
        raise _SyntaxError(f"found '{operator}', expected: {', '.join(_OPERATORS)}")
    several = operator in {"in", "notin"}
    values = sorted(_values(tokens) if several else {_exact_value(tokens)})
    _check(key, operator, values)
    return _compared(key, operator, values)


def _values(tokens: list[str]) -> set[str]:
    opening = tokens.pop()
    if opening != "(":
        raise _SyntaxError(f"found '{opening}' expected: '('")
    found: set[str] = set()
    if tokens[-1] == ")":
        tokens.pop()
        return {""}
    if tokens[-1] != "," and not _is_word(tokens[-1]):
        raise _SyntaxError(f"found '{tokens[-1]}', expected: ',', ')' or identifier")
    while True:
        word = tokens.pop()
        if _is_word(word):
            found.add(word)
            if tokens[-1] == ")":
                tokens.pop()
                return found
            if tokens[-1] != ",":
                raise _SyntaxError(f"found '{tokens[-1]}', expected: ',' or ')'")
        elif word == ",":
            if not found:
                found.add("")
            if tokens[-1] == ")":
                tokens.pop()
                return found | {""}
            if tokens[-1] == ",":
                tokens.pop()
                found.add("")
        else:
            raise _SyntaxError(f"found '{word}', expected: ',', or identifier")


def _exact_value(tokens: list[str]) -> str:
    if tokens[-1] in {"", ","}:
        return ""
    value = tokens.pop()
    if not _is_word(value):
        raise _SyntaxError(f"found '{value}', expected: identifier")
    return value


def _check(key: str, operator: str, values: list[str]) -> None:
    found = []
    if operator in {"<", ">"}:
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        found += [
            FieldError.invalid(f"values[{place}]", value, text)
            for place, value in enumerate(values)
            if not _is_integer(value)
        ]
    for place, value in enumerate(values):
        if wrong := label_value(value):
            path = f"values[{place}][{key}]"
            found.append(FieldError.invalid(path, value, "; ".join(wrong)))
    texts = list(dict.fromkeys(str(one) for one in found))
    if texts:
        raise _SyntaxError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _is_integer(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -_INT64 <= int(text) < _INT64


def _compared(key: str, operator: str, values: list[str]) -> Predicate:
    if operator in {"<", ">"}:
        bound = int(values[0])

        def compare(document: dict[str, Any]) -> bool:
            label = _label_of(document, key)
            if label is None or not _is_integer(label):
                return False
            return int(label) < bound if operator == "<" else int(label) > bound

        return compare
    if operator in {"!=", "notin"}:
        return lambda document: _label_of(document, key) not in values
    return lambda document: _label_of(document, key) in values


def _label_of(document: dict[str, Any], key: str) -> str | None:
    value: str | None = document["metadata"].get("labels", {}).get(key)
    return value
