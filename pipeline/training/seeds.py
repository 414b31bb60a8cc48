"""Randomness that depends on what is done (seed, stage, epoch, step) and on nothing else.

Every epoch starts from its own derived seed, so a run that is resumed at an epoch draws what an undisturbed run would
have drawn, without any generator's state being stored.
"""

import hashlib
import random

import numpy as np
import torch


def derive(*keys: str | int) -> int:
    """A seed (63 bits) from any keys: equal keys give equal seeds, on every machine."""
    text = "\x1f".join(str(key) for key in keys)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*keys: str | int) -> np.random.Generator:
    """A NumPy generator for the given keys."""
    return np.random.default_rng(derive(*keys))


def seed_all(*keys: str | int) -> None:
    """Seed torch (all devices), NumPy's and Python's global generators from the given keys."""
    seed = derive(*keys)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
