"""Comparison of captioning systems: scores of each video, tables with intervals, and the origin of the numbers."""
