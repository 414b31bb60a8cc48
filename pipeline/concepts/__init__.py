"""Semantic concepts: taggers and the counting of words."""
