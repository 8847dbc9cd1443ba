"""What the command line's exit codes mean; printed by ``--help`` and the docs."""

from __future__ import annotations

from typing import Final

OK: Final = 0
NO: Final = 1
"""The answer is no: not enough time left, a check failed, a promise was broken."""
USAGE: Final = 2
"""The call cannot work as it was made: unknown option, impossible timing."""
NO_CLUSTER: Final = 3
"""No usable credentials, or the API server did not answer as needed."""
LOST: Final = 4
"""Leadership was lost and ``--on-loss=exit`` was asked for."""
WARNED: Final = 5
"""``doctor`` found nothing that fails, and something to look at."""
DEFECT: Final = 70
"""Something that should not happen: a defect of this program."""
NOT_WRITTEN: Final = 74
"""A file or the output cannot be written or read; EX_IOERR of ``sysexits.h``."""
NOT_EXECUTABLE: Final = 126
"""The command exists and cannot be run, as shells say it."""
NOT_FOUND: Final = 127
"""The command does not exist, as shells say it."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C: 128 and the number of SIGINT, as shells say it."""

HELP: Final = """\b
Exit codes:
    0  done
    1  the answer is no (too little time left, a check failed)
    2  wrong usage (an unknown option, impossible times)
    3  no usable credentials, or no usable answer of the API server
    4  leadership was lost and --on-loss=exit was asked for
    5  doctor found no failure, but something to look at
   70  a defect of this program; KLE_DEBUG=1 shows where
   74  a file or the output cannot be written or read: a full disk, a read-only folder
  126  the command exists and cannot be run
  127  the command does not exist
  130  ended by Ctrl-C
128+n  ended by signal n; else the exit code of the command that was run"""
