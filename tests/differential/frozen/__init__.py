"""
A frozen copy of the core, of 883ce913046f.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
