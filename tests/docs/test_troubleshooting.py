"""The page about troubleshooting quotes what the code says, and leaves nothing out."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.programs import ROOT

SOURCE = ROOT / "src" / "kubernetes_leader_election"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SHOWN = PAGE.replace("`", "")
QUOTED = [
    quote
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for quote in re.findall(
        r"(?<![\w`])`((?:[^`]|`(?=\w+`))+?)`(?=,| with| \||\W*$)", line.split(" | ")[0]
    )
]
"""What its tables quote; `...` stands for what differs."""
RAISED = {
    "CredentialsError",
    "LeaderElectionError",
    "LeadershipLostError",
    "NotLeaderError",
    "ProtocolMisuseError",
}
"""Errors whose texts are on the page: what is refused in an option says what would work."""


def _text(node):
    """Return the text of an expression, with ... for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} {_text(node.orelse)}"
    return "..."


@cache
def said():
    """Return every text of the package, in one, with ... for what is filled in."""
    texts = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "testing"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts += [
            re.sub(r"%\w|%\.\d\w", "...", _text(node))
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)
        ]
    return "\n".join(texts)


def pieces(quote):
    """Return the words between the gaps of a quote that are long enough to be known."""
    return [p.strip(" .:,()`'") for p in quote.split("...") if len(p.strip()) > 7]


def test_page_quotes_messages():
    """The pattern finds what the tables have."""
    assert len(QUOTED) > 80


@pytest.mark.parametrize("quote", QUOTED)
def test_quoted_message_is_one_of_the_code(quote):
    """Word for word: what is searched for is found."""
    for piece in pieces(quote):
        for part in re.split(r"(?<=[.:;]) | \(", piece):
            assert part.strip(" .:,()`'") in said(), part


def warnings_of(path):
    """Return the texts that a file logs as a warning or an error, or raises."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        level = (
            node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value
        )
        if called in RAISED and node.args:
            yield _text(node.args[0])
        if called == "trouble" or (called == "say" and level in {"warning", "error"}):
            text = _text(node.args[called == "say"])
            yield re.sub(r"%\w", "...", text)


LOGGED = sorted(
    {
        text
        for room in ("core", "credentials", "engine", "lifecycle")
        for path in (SOURCE / room).rglob("*.py")
        for text in warnings_of(path)
        if len(text.replace(".", "")) > 12
    }
)
NOT_MET = {
    "the work of term ... was reported as ended, but ... under way: it is said once for "
    "each term.": "a defect of the driver, which is reported",
    "term ... was lost, which never began": "a defect of the driver, which is reported",
}
"""What nobody meets, and why."""


@pytest.mark.parametrize("text", LOGGED)
def test_each_message_of_an_elector_is_on_the_page(text):
    """Whoever searches for a line of the log finds it, and why."""
    if text in NOT_MET:
        return
    parts = [part.strip(" .:,()") for part in re.split(r"\.\.\.|[.:;] ", text)]
    parts = [part.replace("`", "") for part in parts]
    found = any(part[:35] in SHOWN for part in parts if len(part) > 7)
    assert found or text.removeprefix("...: ") in SHOWN, text


def test_there_are_warnings_to_look_for():
    """The search has found the calls that log."""
    assert len(LOGGED) > 8
    assert set(NOT_MET) <= set(LOGGED)
