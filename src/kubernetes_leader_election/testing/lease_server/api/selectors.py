"""Field and label selectors: which objects a list or a watch is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http.statuses import bad_request

__all__ = ["Selector", "exact_name", "read_selectors"]

Predicate = Callable[[dict[str, Any]], bool]
_FIELDS = ("metadata.name", "metadata.namespace")


class Selector:
    """
    Decide for a document; ``name`` is set where only one name can match.

    ``only_name`` tells that the name decides alone, and no document has to be read.
    """

    def __init__(self, predicates: list[Predicate], name: str = "") -> None:
        self._predicates = predicates
        self.name = name
        self.only_name = len(predicates) == (1 if name else 0)

    def __bool__(self) -> bool:
        return bool(self._predicates)

    def matches(self, document: dict[str, Any]) -> bool:
        """Return whether the object is selected."""
        return all(predicate(document) for predicate in self._predicates)


def _terms(text: str) -> list[tuple[str, str, str]]:
    found = []
    for term in re.split(r"(?<!\\),", text):
        if not term:
            continue
        parts = re.fullmatch(r"([^=!]*)(==|!=|=)(.*)", term, re.DOTALL)
        if parts is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = parts.groups()
        found.append((field, operator, re.sub(r"\\([,=\\])", r"\1", value)))
    return found


def exact_name(text: str) -> str:
    """Return the one name a field selector asks for, or ""."""
    for term in text.split(","):
        field, operator, value = term.partition("=")
        if field == "metadata.name" and operator:
            return value.removeprefix("=")
    return ""


def read_selectors(resource: Resource, fields: str, labels: str) -> Selector:
    """
    Understand the two selectors of a list or watch.

    Raises:
        ApiError: 400 for a field that cannot be selected, or for bad syntax.
    """
    predicates: list[Predicate] = []
    name = ""
    for field, operator, value in _terms(fields):
        if field not in _FIELDS or (field == _FIELDS[1] and not resource.namespaced):
            if resource.kind == "Namespace" and field == "status.phase":
                predicates.append(_phase(value, wanted=operator != "!="))
                continue
            known = ", ".join(f'"{one}"' for one in _FIELDS)
            raise bad_request(f'"{field}" is not a known field selector: only {known}')
        key = field.partition(".")[2]
        predicates.append(_field(key, value, wanted=operator != "!="))
        if key == "name" and operator != "!=":
            name = value
    predicates += _labels(labels)
    return Selector(predicates, name)


def _field(key: str, value: str, *, wanted: bool) -> Predicate:
    return lambda document: (document["metadata"].get(key, "") == value) == wanted


def _phase(value: str, *, wanted: bool) -> Predicate:
    return lambda document: (document["status"].get("phase") == value) == wanted


_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")


def _labels(text: str) -> list[Predicate]:
    found: list[Predicate] = []
    for term in re.split(r",(?![^(]*\))", text):
        stripped = term.strip()
        if not stripped:
            continue
        predicate = _label(stripped)
        if predicate is None:
            raise bad_request(
                f"unable to parse requirement: found '{stripped}', expected: "
                "in, notin, =, ==, !=, gt, lt"
            )
        found.append(predicate)
    return found


def _label(term: str) -> Predicate | None:
    if in_set := _SET.fullmatch(term):
        key, operator, listed = in_set.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda document: _label_of(document, key) in values
        return lambda document: _label_of(document, key) not in values
    if equal := _EQUAL.fullmatch(term):
        key, operator, value = equal.groups()
        wanted = operator != "!="
        return lambda document: (_label_of(document, key) == value) == wanted
    if exists := _EXISTS.fullmatch(term):
        present, key = not exists.group(1), exists.group(2)
        return lambda document: (_label_of(document, key) is not None) == present
    return None


def _label_of(document: dict[str, Any], key: str) -> str | None:
    value: str | None = document["metadata"].get("labels", {}).get(key)
    return value
