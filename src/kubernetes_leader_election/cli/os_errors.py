"""What the system refuses, in words: which file, why, and what to do."""

from __future__ import annotations

import errno
import os
from typing import Final

import click

from kubernetes_leader_election.cli import exit_codes

_ADVICE: Final = {
    errno.ENOSPC: " Free some space, or write to another place.",
    errno.EDQUOT: " Free some space, or write to another place.",
    errno.EROFS: " Name a folder that can be written to.",
    errno.EACCES: " Name one that this user may use, or change its rights.",
}
_NO_FOLDER: Final = "No usable temporary directory"
"""How Python says that it found none: its error names no file."""


class NotWrittenError(click.ClickException):
    """Say that a file cannot be written or read."""

    exit_code = exit_codes.NOT_WRITTEN


def in_words(error: OSError) -> str:
    """Return what went wrong, without the number of the error."""
    why = error.strerror or str(error)
    if why.startswith(_NO_FOLDER):
        return (
            "no folder for temporary files can be written to. Mount a writable /tmp, or "
            "name another folder with TMPDIR."
        )
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{where}{why}.{_ADVICE.get(error.errno or 0, '')}"
