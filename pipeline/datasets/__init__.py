"""Annotation readers, the tables of the corpus, splits, concepts and vocabulary."""
