"""``python -m tests.differential``: see ``command``, which processes can import."""

from __future__ import annotations

from tests.differential.command import main

raise SystemExit(main())
