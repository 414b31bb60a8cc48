"""Dual attribute prediction: a second task for captioners."""
