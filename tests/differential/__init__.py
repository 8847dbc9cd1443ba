"""The core beside that of an earlier commit: same inputs, same outputs."""
