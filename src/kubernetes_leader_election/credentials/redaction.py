"""
Take secrets out of text that others wrote, before a person sees it (fault 50).

What a plugin says when it fails is what its user needs; but some print the token that
was refused, or the whole request. Secrets are known by their name, by their form, or
because they were given. Better a word too many is taken out than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["REDACTED", "has_secret_name", "without_secrets"]

REDACTED: Final = "[redacted]"
LEAST: Final = 4
"""Characters of a known secret at least; shorter ones stand in ordinary words."""

_NAME: Final = (
    r"(?:token|passw|passphrase|pwd|secret|credential|authori[sz]ation|cookie"
    r"|api[-_]?key|access[-_]?key|private[-_]?key|client[-_]?key|signature|assertion"
    r"|refresh[-_]?code)"
)
_VALUE: Final = r"""(?!\[redacted)(?:"[^"]*"|'[^']*'|[^\s,;&"'}\])]+)"""
_REST: Final = r"[\w.-]{0,64}"
"""
The rest of a name. What stands before the secret part is not asked for, and nothing
here is without bound: on a text of one long word the engine would stand still, since
nobody else runs while a form is searched.
"""
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
_ODD: Final = r"(?=[^\s]*[^a-z\s.,:;])"
"""Ahead: more than a word of small letters, as a sentence has it."""

_RULES: Final = (
    # Keys and certificates, also where the end was cut off.
    (r"(?s)-----BEGIN .*?(?:-----END [A-Z ]*-----|\Z)", REDACTED),
    # JSON Web Tokens.
    (r"\beyJ[\w-]{4,}(?:\.[\w-]*){0,4}", REDACTED),
    # https://user:password@host
    (r"(://)[^/\s@]+@", rf"\1{REDACTED}@"),
    # Authorization: Bearer xyz
    (rf"(?i:\b(bearer|basic|negotiate|digest)\s+){_ODD}[^\s,;\"']+", rf"\1 {REDACTED}"),
    # token=xyz, "password": "xyz", --client-secret=xyz, token:xyz
    (
        rf"(?i:({_NAME}{_REST}[\"']?(?:\s*=\s*|:)(?!\s))){_VALUE}",
        rf"\1{REDACTED}",
    ),
    (
        rf"(?i:({_NAME}{_REST}[\"']?\s*[:=]\s*))[\"'][^\"']*[\"']?",
        rf"\1{REDACTED}",
    ),
    # Password: xyz, always; but "invalid token: expired" is no token.
    (
        rf"(?i:((?:passw|passphrase|pwd|secret){_REST}\s*:\s+)){_VALUE}",
        rf"\1{REDACTED}",
    ),
    (rf"(?i:({_NAME}{_REST}\s*[:=]\s+)){_ODD}{_VALUE}", rf"\1{REDACTED}"),
    # --token xyz
    (
        rf"(?i:((?<![\w-])--?[\w-]{{0,64}}?{_NAME}{_REST}\s+)){_VALUE}",
        rf"\1{REDACTED}",
    ),
    # Long runs that look drawn by lot.
    (r"\b[0-9a-fA-F]{32,}\b", REDACTED),
    (
        r"(?<![\w+/=-])(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])[\w+=-]{28,}",
        REDACTED,
    ),
)
_COMPILED: Final = tuple((re.compile(form), instead) for form, instead in _RULES)


def has_secret_name(name: str) -> bool:
    """Return whether what goes by this name is probably secret."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str, *, known: Iterable[str] = ()) -> str:
    """
    Return ``text`` without what is, or looks like, a secret.

    Args:
        text: what somebody else wrote.
        known: secrets that may stand in it.

    """
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= LEAST:
            text = text.replace(secret, REDACTED)
    for form, instead in _COMPILED:
        text = form.sub(instead, text)
    return text
