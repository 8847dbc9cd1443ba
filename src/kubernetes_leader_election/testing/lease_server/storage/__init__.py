"""Where objects are kept: one counter of versions, a history, a file."""
