"""Fixtures that many tests share."""

from pathlib import Path

import pytest
import torch
from helpers.workflow_sandbox import link_clone, run_pipeline
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Nothing in the tests is large enough for two threads, and threads that wait for each other slow down a busy machine.
torch.set_num_threads(1)

# The same examples everywhere, without a deadline: a busy machine must not fail a property that holds.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


MEASUREMENTS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def measurements(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are printed after all tests."""
    return pytestconfig.stash.setdefault(MEASUREMENTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the measurements."""
    if lines := config.stash.get(MEASUREMENTS, []):
        terminalreporter.section("measured")
        terminalreporter.write("\n".join([*lines, ""]))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of one small end-to-end run, shared by all tests, which must not change it."""
    return run_pipeline(link_clone(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder `../shared` with real annotations, videos and golden numbers; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here")
    return folder
