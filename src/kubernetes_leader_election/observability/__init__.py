"""
What elections show to those who run them: log lines and metrics.

One file per backend; none is imported before it is used.
"""
