"""Field and label selectors: which objects a list or a watch is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubernetes_leader_election.testing.lease_server.api.event_objects import (
    SELECTABLE as EVENT_FIELDS,
)
from kubernetes_leader_election.testing.lease_server.api.event_objects import (
    selected,
)
from kubernetes_leader_election.testing.lease_server.api.label_selectors import (
    read_label_selector,
)
from kubernetes_leader_election.testing.lease_server.api.resources import Resource
from kubernetes_leader_election.testing.lease_server.http.statuses import bad_request

__all__ = ["Selector", "exact_name", "read_selectors"]

Predicate = Callable[[dict[str, Any]], bool]
_POD_FIELDS = frozenset({"spec.nodeName", "spec.restartPolicy", "status.phase"})
"""Of a real server's dozen those that tools ask for."""
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
    for term in _split(text):
        if not term:
            continue
        parts = re.fullmatch(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if parts is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = parts.groups()
        found.append((field, operator, _unescaped(value)))
    return found


def _split(text: str) -> list[str]:
    """Cut at the commas that no backslash stands before."""
    return [found[0] for found in re.finditer(r"(?:\\.|[^\\,]|\\$)*", text, re.DOTALL)]


def _unescaped(value: str) -> str:
    text, rest = "", iter(value)
    for character in rest:
        if character in {",", "="}:
            raise bad_request(
                "invalid field selector: unescaped character in value: "
                f"{ord(character)}"
            )
        if character == "\\":
            character = next(rest, "")  # noqa: PLW2901 - what it stands for
            if character not in {"\\", ",", "="}:
                raise bad_request(
                    f"invalid field selector: invalid escape sequence: \\{character}"
                )
        text += character
    return text


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
            if resource.kind == "Namespace":
                if field != "status.phase":
                    raise bad_request(f"field label not supported: {field}")
                predicates.append(_phase(value, wanted=operator != "!="))
                continue
            if resource.kind == "Pod":
                if field not in _POD_FIELDS:
                    raise bad_request(f"field label not supported: {field}")
                predicates.append(_inner(field, value, wanted=operator != "!="))
                continue
            if resource.kind == "Event":
                if field not in EVENT_FIELDS:
                    raise bad_request(f"field label not supported: {field}")
                predicates.append(_of_event(field, value, wanted=operator != "!="))
                continue
            known = ", ".join(f'"{one}"' for one in _FIELDS)
            raise bad_request(f'"{field}" is not a known field selector: only {known}')
        key = field.partition(".")[2]
        predicates.append(_field(key, value, wanted=operator != "!="))
        if key == "name" and operator != "!=":
            name = value
    predicates += read_label_selector(labels)
    return Selector(predicates, name)


def _field(key: str, value: str, *, wanted: bool) -> Predicate:
    return lambda document: (document["metadata"].get(key, "") == value) == wanted


def _phase(value: str, *, wanted: bool) -> Predicate:
    return lambda document: (document["status"].get("phase") == value) == wanted


def _of_event(field: str, value: str, *, wanted: bool) -> Predicate:
    return lambda document: (selected(document, field) == value) == wanted


def _inner(field: str, value: str, *, wanted: bool) -> Predicate:
    part, _, key = field.partition(".")
    return lambda document: ((document.get(part) or {}).get(key, "") == value) == wanted
