"""
A frozen copy of the core, of 883ce913046f.

Made by ``python -m tests.versions.freeze``; never edit it, but where the text of an
error is another one on purpose, as of requests that took too long.
"""
