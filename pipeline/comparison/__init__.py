"""Encoders beside one another: what was measured on each corpus, tables of it, and where it comes from."""
