"""Splits and shards by a hash of the video id: they stay the same when videos are added."""

import hashlib

from pipeline.config.build_corpus import ValidationSplitFractions


def unit_hash(video: str, purpose: str) -> float:
    """Return a number in [0, 1) that depends on the id and the purpose only."""
    digest = hashlib.sha256(f"{purpose}\x1f{video}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def validation_split(video: str, fractions: ValidationSplitFractions) -> str | None:
    """Return the split of a validation video; None if the fractions leave it out."""
    position = unit_hash(video, "split")
    upper = 0.0
    for split in ("enlarged", "val", "test", "train"):
        upper += getattr(fractions, split)
        if position < upper - 1e-12:
            return split
    return None


def shard_of(video: str, shards: int) -> int:
    """Return the shard of a video, 0 to shards - 1."""
    return int(unit_hash(video, "shard") * shards)
