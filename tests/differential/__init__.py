"""The core beside a frozen copy of itself: same inputs, same outputs."""
