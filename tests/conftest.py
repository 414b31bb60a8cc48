"""Fixtures that many tests share."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Nothing here is large enough for two threads, and threads that wait for each other make a busy machine crawl.
torch.set_num_threads(1)

# Same examples everywhere, and no clock: a busy machine must not fail a property that holds.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real annotations, videos and golden numbers that may stand beside the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here")
    return folder
