"""The instants at which a signal handler can run in a thread, one after the other."""

from __future__ import annotations


class Instant:
    """
    Strike at the instant of this number, counted from 0; for `sys.setprofile`.

    A handler runs where a function begins and where a call into C has returned.
    """

    def __init__(self, number):
        self.number = number
        self.seen = 0
        self.met = None

    def __call__(self, frame, event, _arg):
        """Look at what the interpreter does next."""
        if event in ("call", "c_return"):
            self.seen += 1
            if self.seen > self.number:
                self.met = event, frame.f_code
                self.strike()

    def strike(self):
        """Do what a handler does there."""
        raise NotImplementedError
