"""
The election itself, without I/O, clocks, threads or randomness of its own.

``election`` has the four verbs, ``states`` the one table of state changes,
``messages`` what goes in and out, ``record`` the view of a Lease, ``timing`` the
arithmetic of clocks.
"""
