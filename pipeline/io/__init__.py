"""Atomic files, tables of typed rows, the journal of a shard, and functions in worker processes."""
