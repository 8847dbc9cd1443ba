"""Say what the library says in the words of the command line."""

from __future__ import annotations

import re
from typing import Final

_OPTION: Final = re.compile(
    r"(?<!-)\b(renew_interval_ms|lease_duration_sec|renew_deadline_sec|stop_budget_sec"
    r"|request_timeout_sec|grace_sec|clock_rate_error|token_file|ca_file"
    r"|crash_challenge_sec|crash_takeover|leader_endpoints|kubernetes_events"
    r"|preset(?==)|identity(?==)|namespace(?==))"
    r"(=)?"
)


def as_options(message: str) -> str:
    """Write the library's options as the command line has them: --lease-duration-sec."""
    message = message.replace("lease_name=", "LEASE ")
    message = message.replace("crash_takeover=True", "--crash-takeover")
    message = message.replace("kubeconfig(context=...)", "--context")
    return _OPTION.sub(
        lambda found: f"--{found[1].replace('_', '-')}{found[2] or ''}", message
    )
