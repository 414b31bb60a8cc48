"""Manifests, code hashes and provenance records; the plan of the next run and the comparison of two results."""
