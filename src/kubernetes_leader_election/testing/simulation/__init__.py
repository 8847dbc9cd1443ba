"""
The deterministic simulator: whole elections in virtual time, from one seed.

``generate`` makes a plan from a seed, ``world`` runs it, ``checkers`` and ``liveness``
watch the guarantees, ``shrink`` makes a failing plan small, ``trace`` and
``timeline_svg`` show it.
"""
