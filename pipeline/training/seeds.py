"""Random seeds that depend on the computation (seed, stage, epoch, step) and on nothing else.

Every epoch derives its own seed, so a run that resumes at an epoch draws the same numbers as an uninterrupted run,
without storing the state of a generator.
"""

import hashlib
import random

import numpy as np
import torch


def derive_seed(*keys: str | int) -> int:
    """Derive a seed (63 bits) from keys: equal keys give equal seeds, on every machine."""
    text = "\x1f".join(str(key) for key in keys)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*keys: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded from the keys."""
    return np.random.default_rng(derive_seed(*keys))


def seed_all(*keys: str | int) -> None:
    """Seed torch (all devices) and the global generators of NumPy and Python from the keys."""
    seed = derive_seed(*keys)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
