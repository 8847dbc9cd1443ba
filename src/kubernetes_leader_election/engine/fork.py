"""What happens in a child process: nothing of the parent's election lives on."""

from __future__ import annotations

import os
from collections.abc import Callable


def on_child(hook: Callable[[], None]) -> None:
    """Call ``hook`` in every child process, where the platform can fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=hook)
