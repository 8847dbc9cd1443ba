"""
The election itself, without I/O, clocks, threads or randomness of its own.

``election`` has the four verbs; below it stand ``answers`` (what a response means),
``sightings`` (what the Lease as seen means) and ``life`` (fields, changes of state,
how terms end), ``states`` the one table of state changes,
``messages`` what goes in and out, ``record`` the view of a Lease, ``timing`` the
arithmetic of clocks.
"""
