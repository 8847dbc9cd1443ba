"""
A frozen copy of the core, of 3766350464ed.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
