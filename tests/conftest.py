"""Fixtures that many tests share."""

from pathlib import Path

import pytest
import torch
from helpers.workflow_sandbox import link_clone, walk_road
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Nothing here is large enough for two threads, and threads that wait for each other make a busy machine crawl.
torch.set_num_threads(1)

# Same examples everywhere, and no clock: a busy machine must not fail a property that holds.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


TOLD = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def told(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are shown when all tests are over."""
    return pytestconfig.stash.setdefault(TOLD, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what tests have told."""
    if lines := config.stash.get(TOLD, []):
        terminalreporter.section("measured")
        terminalreporter.write("\n".join([*lines, ""]))


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the road was run to its end, small, once for all tests: they leave its results as they are."""
    return walk_road(link_clone(tmp_path_factory.mktemp("road")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real annotations, videos and golden numbers that may stand beside the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here")
    return folder
