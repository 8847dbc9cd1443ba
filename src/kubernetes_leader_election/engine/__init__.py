"""
The thread that drives elections, whatever the application's own threads do.

:class:`~.driver.Driver` is one election of one front; all of a process share one
:class:`~.engine.Engine`. Both, and the HTTP client below them, are imported by the
first ``start()``: a program that only imports an elector does not pay for them.
"""
