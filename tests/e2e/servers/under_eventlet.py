"""Start an elector where eventlet has patched, and say what comes of it."""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

from kubernetes_leader_election import ConfigurationError, sync  # noqa: E402 - after the patch

try:
    sync.Elector().start()
except ConfigurationError as error:
    print(error, flush=True)
