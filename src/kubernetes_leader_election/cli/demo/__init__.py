"""The story that ``demo`` tells: its processes, its plot, its pictures."""
