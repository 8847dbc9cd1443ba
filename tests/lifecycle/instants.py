"""The instants at which a signal handler can run in a thread, one after the other."""

from __future__ import annotations

import gc

WEAK = ("_weakrefset.py", "weakref.py")
"""Files of the standard library with callbacks of weak references."""


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
        if event in ("call", "c_return") and not _drops_exceptions(frame.f_code):
            self.seen += 1
            if self.seen > self.number:
                self.met = event, frame.f_code
                self.strike()

    def strike(self):
        """Do what a handler does there."""
        raise NotImplementedError


def _drops_exceptions(code):
    """
    Return whether Python drops what is raised here, as another test shows.

    That is so in callbacks of weak references and of the garbage collector, which come
    at any instant, those of the libraries that the tests use among them.
    """
    return (
        code.co_name in {"_remove", "remove"} and code.co_filename.endswith(WEAK)
    ) or any(getattr(callback, "__code__", None) is code for callback in gc.callbacks)
