"""
A frozen copy of the core, of 611e456b97fe.

Made by ``python -m tests.versions.freeze``; never edit it.
"""
