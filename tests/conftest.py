"""Fixtures that many tests share, and the choice and the distribution of tests."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from helpers.fork_server import start_server, use_server
from helpers.measurements import Measurements
from helpers.parallel import FileScheduling, count_workers, is_worker, make_once, sort_by_duration
from helpers.parts import is_in_part, list_parts
from helpers.stage_cases import write_clip_captions
from helpers.workflow_sandbox import link_clone, run_pipeline
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Nothing in the tests is large enough for two threads, and threads that wait for each other slow down a busy machine.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start

# A shell without a terminal starts background processes with SIGINT ignored, and processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples everywhere, without a deadline: a busy machine must not fail a property that holds.
for profile, max_examples in (("quick", 30), ("campaigns", 100)):
    settings.register_profile(
        profile,
        max_examples=max_examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

MEASUREMENTS = pytest.StashKey[Measurements]()
LEFT_OUT = pytest.StashKey[int]()
SERVER = "fork_server"
"""Key of the path of the server's socket in what a worker is told."""
CHECKS_SHAPES = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--part` and `--campaigns`."""
    parser.addoption("--part", choices=list_parts(), help="run only the tests of one package or folder of tests")
    parser.addoption("--campaigns", action="store_true", help="run the tests of marker campaign too")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what workers send, and keep the order of the files."""
    config.stash[MEASUREMENTS] = Measurements()
    config.stash[LEFT_OUT] = 0
    config.option.loadscopereorder = False
    settings.load_profile("campaigns" if config.getoption("campaigns") else "quick")
    if is_worker(config):
        use_server(config.workerinput[SERVER])  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let all workers use one server of forks."""
    node.workerinput[SERVER] = start_server()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore the files that do not belong to the part."""
    part = config.getoption("part")
    if part and collection_path.name.startswith("test_"):
        return not is_in_part(collection_path, part)
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the campaigns, unless they are selected; sort the tests for several workers."""
    if not config.getoption("campaigns"):
        campaigns = [item for item in items if item.get_closest_marker("campaign")]
        config.stash[LEFT_OUT] = len(campaigns)
        config.hook.pytest_deselected(items=campaigns)
        items[:] = [item for item in items if not item.get_closest_marker("campaign")]
    functions = set()
    for item in items:
        function = item.nodeid.partition("[")[0]
        item.stash[CHECKS_SHAPES] = config.getoption("campaigns") or function not in functions
        functions.add(function)
    if is_worker(config):
        sort_by_duration(items)


def pytest_collection_finish() -> None:
    """Let the garbage collector visit the imported modules no more: they are millions of objects that stay."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check the shapes of tensors in the first case of each test, and in campaigns in all: it takes time."""
    jaxtyping.config.update("jaxtyping_disable", not item.stash[CHECKS_SHAPES])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers of `-n auto`."""
    return count_workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """Give each worker whole files."""
    return FileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has measured and left out."""
    output, stash = getattr(node, "workeroutput", {}), node.config.stash
    if "measurements" in output:
        stash[MEASUREMENTS].merge(output["measurements"])
        stash[LEFT_OUT] = output["left_out"]  # every worker collects, and leaves out, the same


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Send what this worker has measured, or print as the last line which tests were left out."""
    config = session.config
    if is_worker(config):
        config.workeroutput["measurements"] = config.stash[MEASUREMENTS].dump()  # type: ignore[attr-defined]
        config.workeroutput["left_out"] = config.stash[LEFT_OUT]  # type: ignore[attr-defined]
    yield
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and config.stash[LEFT_OUT]:
        count = config.stash[LEFT_OUT]
        reporter.write_line(f"left out: {count} tests of marker campaign; --campaigns (make test-all) runs them")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the measurements."""
    if lines := config.stash[MEASUREMENTS].format():
        terminalreporter.section("measured")
        terminalreporter.write("\n".join([*lines, ""]))


@pytest.fixture(scope="session")
def measurements(pytestconfig: pytest.Config) -> Measurements:
    """Lines and tables that are printed after all tests."""
    return pytestconfig.stash[MEASUREMENTS]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of one small end-to-end run, shared by all tests, which must not change it."""

    def run(folder: Path) -> None:
        run_pipeline(link_clone(folder))
        write_clip_captions(folder)

    return make_once(tmp_path_factory, "finished", run)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder `../shared` with real annotations, videos and golden numbers; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here")
    return folder
