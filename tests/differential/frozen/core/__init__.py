"""
The election itself, without I/O, clocks, threads or randomness of its own.

``election`` has the four verbs. It is composed: ``standing`` has the state, the term and
the parts; ``observed`` says what a sighting of the Lease means, ``outcomes`` what a
response means, ``commands`` what the application's words mean. Each part owns its
fields: ``own_writes`` (is this record ours?), ``retry``, ``watch_policy``,
``contending``, ``schedule``, ``cut_record``, ``participation``, ``notices``,
``in_flight`` and ``observation``. ``states`` is the one table of state changes,
``messages`` what goes in and out, ``record`` the view of a Lease, ``timing`` the
arithmetic of clocks.
"""
