"""What the tests of mixed versions share with those of the simulator."""

from tests.simulation.conftest import fail_with_story

__all__ = ["fail_with_story"]
