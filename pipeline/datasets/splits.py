"""Splits and shards by a hash of the video id: adding videos moves none that was there."""

import hashlib

from pipeline.config.build_corpus import Fractions


def unit(video: str, purpose: str) -> float:
    """A number in [0, 1) that depends on the id and the purpose only."""
    digest = hashlib.sha256(f"{purpose}\x1f{video}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def validation_split(video: str, fractions: Fractions) -> str | None:
    """Which part of the official validation set a video belongs to; None where the fractions leave it out."""
    place = unit(video, "split")
    edge = 0.0
    for split in ("enlarged", "val", "test"):
        edge += getattr(fractions, split)
        if place < edge - 1e-12:
            return split
    return None


def shard_of(video: str, shards: int) -> int:
    """Shard of a video, 0 to shards - 1."""
    return int(unit(video, "shard") * shards)
