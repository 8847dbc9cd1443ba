"""What a machine lacks that a test needs."""

from __future__ import annotations

from typing import NoReturn

import pytest
from controlplane import binaries


def leave_out(reason: str) -> NoReturn:
    """Skip this test; in CI, where nothing may be skipped, fail it."""
    if binaries.in_ci():
        pytest.fail(f"Nothing may be skipped in CI: {reason}", pytrace=False)
    pytest.skip(reason)
