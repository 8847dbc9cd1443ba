"""Text for people: shown safely, on one line, with the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?", or a list of what there is; to end a message with."""
    # Only a mistake pays for the import.
    import difflib  # noqa: PLC0415

    names = [str(name) for name in known]
    close = difflib.get_close_matches(str(word)[:100].lower(), names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(names)}."


def shown(value: object) -> str:
    """Show a value that somebody gave: escaped, and cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


LONGEST_LINE: Final = 2000
"""Characters: a server, or a Lease, may send any amount of text."""


def printable(text: str, *, longest: int = 80) -> str:
    """Escape what is not printable and cut what is long: others wrote it (fault 51)."""
    cut = text[: longest + 1]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return cut if len(cut) <= longest else f"{cut[: longest - 3]}..."


def quoted(name: str) -> str:
    """Write a name within a sentence, so that 'nobody' is not taken for its words."""
    return f"'{printable(name)}'"


def shown_seconds(seconds: float) -> str:
    """Show a number that was asked for, however large: an int may be no float."""
    try:
        return f"{seconds:g} s"
    except OverflowError:
        return "inf s" if seconds > 0 else "-inf s"
