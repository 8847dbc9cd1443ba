"""Who hears how it goes, for the tests of this room."""

from __future__ import annotations


class Told:
    """Keep what was said."""

    def __init__(self):
        self.failures = []
        self.notes = []
        self.wells = 0

    def failed(self, error):
        """Take a failure."""
        self.failures.append(str(error))

    def went_well(self):
        """Count a success."""
        self.wells += 1

    def noted(self, text):
        """Take a note."""
        self.notes.append(text)
