"""A folder like a fresh clone."""

from pathlib import Path

import pytest
from helpers.workflow_sandbox import link_clone


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with links to everything but results."""
    return link_clone(tmp_path)
