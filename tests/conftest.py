"""What all tests share: how the scenario files are written anew."""

from __future__ import annotations


def pytest_addoption(parser):
    """Add the flag that writes the scenario files anew."""
    parser.addoption(
        "--rewrite-traces",
        action="store_true",
        help="write what happens now into tests/traces; read the difference",
    )
