"""Extraction of features: one pass over each video for any number of extractors, and the files that it writes."""
