"""
Metrics of elections, for those who run them.

One file per backend; none is imported before it is used.
"""
