"""
When to open the watch, to replace it, and to poll in its place (rule 16).

The watch is a hint that makes things fast; the timer decides expiry, and the
conditional write decides truth. So whatever is odd about a stream has one answer:
close it, read the Lease, and watch again from what was read, with a growing pause.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from kubernetes_leader_election.core.observation import Observation
from kubernetes_leader_election.core.schedule import NEVER
from kubernetes_leader_election.core.timing import ODD_DURATION, ElectionSettings
from kubernetes_leader_election.errors import LeaseApiError

SILENCE: Final = 0.6
"""Share of the holder's D after which a watch without news is replaced (rule 16)."""
SILENCE_SPREAD: Final = 0.1
"""What is added to it at most, so that a thousand candidates do not do so at once."""
TRY_WATCH_AGAIN: Final = 300.0
"""Seconds between tries to watch where that is not permitted."""
POLLS: Final = 10
"""Reads in D, and one in R at least, where watching is not permitted."""
GOOD_ORDER: Final = 1.0
"""Seconds that a watch has to last for its clean end to be no oddity."""


class WatchPolicy:
    """Decide about the watch of one elector. It opens and closes nothing itself."""

    __slots__ = (
        "_come_to",
        "_heard_at",
        "_may_open_at",
        "_opened_at",
        "_settings",
        "_silence",
        "failures",
        "open_at",
        "silent_at",
    )

    def __init__(self, settings: ElectionSettings) -> None:
        self._settings = settings
        # By the identity, not drawn anew: it is looked at far more often than used.
        share = crc32(settings.identity.encode()) / 2**32
        self._silence = SILENCE + SILENCE_SPREAD * share
        """Share of the holder's D that this elector lets a watch be silent."""
        self.begin_life()

    def begin_life(self) -> None:
        """Forget the watches before a start."""
        self.open_at = NEVER
        """The CLOCK_BOOTTIME at which one is to be opened; a read sets it."""
        self.silent_at = NEVER
        """When one that is open will have brought nothing for too long."""
        self._opened_at = 0.0
        """When the last one was opened."""
        self._heard_at = 0.0
        """When it brought something, be it a bookmark, or was opened."""
        self._come_to: int | None = None
        """Newest version that it was opened from or brought; None where it has none."""
        self._may_open_at = 0.0
        """Until when watching is not permitted; 0 where it never was refused."""
        self.failures = 0
        """Watches in a row that ended oddly and brought nothing."""

    # Opening ------------------------------------------------------------------

    def close(self) -> None:
        """Take it that there is no watch, and that a read comes before the next."""
        self.open_at = NEVER

    def is_forbidden(self, now: float) -> bool:
        """Return whether watching was refused, and is not to be tried again yet."""
        return now < self._may_open_at

    def open_when_allowed(self) -> None:
        """Open the next one when watching is to be tried again."""
        self.open_at = self._may_open_at

    def open_from(self, when: float) -> None:
        """Open the next one then; there was a read, or a clean end."""
        self.open_at = when

    def opened(self, now: float, version: int | None) -> None:
        """Take it that one is ordered, which brings what is newer than ``version``."""
        self.open_at = NEVER
        self._opened_at = self._heard_at = now
        self._come_to = version

    def poll_interval(self) -> float:
        """Return the seconds between reads where watching is not permitted."""
        settings = self._settings
        return min(settings.renew_interval, settings.lease_duration / POLLS)

    # What becomes of it -------------------------------------------------------

    def hear(self, now: float, version: int | None) -> None:
        """Take it that the watch brought a version of the Lease: it works."""
        self.hear_bookmark(now, version)
        self.failures = 0

    def hear_bookmark(self, now: float, version: int | None) -> None:
        """Take it that the watch brought a bookmark: it is alive, and has come so far."""
        opened_at = self._opened_at
        self._heard_at = now if now > opened_at else opened_at
        if version is not None and version > (self._come_to or 0):
            self._come_to = version

    def has_passed(self, version: int | None) -> bool:
        """
        Return whether the open watch will not bring a version any more.

        None, as where there is no Lease, can be compared with nothing: only a watch
        that has not come to any version is sure to bring what follows.
        """
        come_to = self._come_to
        return come_to is not None and (version is None or version <= come_to)

    def ended_in_order(self, now: float) -> bool:
        """Return whether a clean end is no oddity: servers end watches that are old."""
        return now - self._opened_at >= GOOD_ORDER

    def broke(self, error: LeaseApiError | None, now: float) -> bool:
        """Take it that the watch ended oddly; return whether people are to be told."""
        self.failures += 1
        self.open_at = NEVER
        if error is None:
            return False
        if error.status == 403:
            told, self._may_open_at = self._may_open_at != 0.0, now + TRY_WATCH_AGAIN
            return not told
        return error.status != 410  # too old a version is what every watch comes to

    def reading_is_forbidden(self) -> None:
        """Not the watch alone is forbidden: it is tried again with the reads."""
        self._may_open_at, self.open_at = 0.0, NEVER

    def mind_silence(self, observation: Observation, at_least: float) -> None:
        """
        Say until when the open watch has to bring something.

        Args:
            observation: what is known of the Lease; a free one may stay silent.
            at_least: seconds that the record counts as good for.

        """
        if not observation.holder:
            self.silent_at = NEVER
            return
        own, lasts = self._settings.lease_duration, observation.wait
        if lasts > ODD_DURATION and lasts > own:
            lasts = own  # edited, say: the watch would be trusted for years
        if lasts < at_least:
            lasts = at_least
        self.silent_at = self._heard_at + self._silence * lasts
