"""Read the blocks of code of a page, each with what the comment above it says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tests.programs import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts
    ),
)
"""Every page that people read; the changelog has no blocks."""
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    """Where its fence is."""
    language: str
    text: str
    kind: str
    """What the comment above it begins with, up to a colon; empty where there is none."""
    about: str
    """What the comment says after the colon."""

    def __str__(self) -> str:
        """Name it as an editor does."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines that are typed, without prompts and comments, each a whole one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        typed = [re.split(r"(?:^| +)# ", line)[0].strip() for line in lines]
        if any(line.startswith("$ ") for line in typed):
            typed = [line for line in typed if line.startswith("$ ")]
        return [line.removeprefix("$ ") for line in typed if line]


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """Return the blocks of a page, without what directives of the site make."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language = match["language"].strip()
        if language.startswith("{"):
            continue
        kind, _, about = (match["mark"] or "").partition(": ")
        lines = match["text"].splitlines(keepends=True)
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start("indent")) + 1,
                language,
                "".join(line.removeprefix(match["indent"]) for line in lines),
                kind,
                about,
            )
        )
    return tuple(found)


BLOCKS = tuple(block for page in PAGES for block in blocks_of(page))
