"""Draw a world: ``python -m kubernetes_leader_election.testing.simulation 11``."""

from __future__ import annotations

import sys

from kubernetes_leader_election.testing.simulation.timeline import main

sys.exit(main())
