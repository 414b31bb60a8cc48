"""The tests themselves: which run, in how many processes, what they check on the way, what they print together."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jaxtyping
import pytest
import torch
from helpers import parallel
from helpers.measurements import Measurements
from helpers.parallel import MAX_WORKERS, count_workers, make_once
from helpers.parts import TESTS, is_in_part, list_parts, stages_of_part
from helpers.stage_cases import CASES, RANDOM_KILLS

from pipeline.captioning.streams import gather_event_rows
from pipeline.config.load import stages

ROOT = TESTS.parent
FILES = sorted(TESTS.rglob("test_*.py"))


def files_of_part(part: str) -> set[str]:
    return {path.relative_to(TESTS).as_posix() for path in FILES if is_in_part(path, part)}


def test_a_part_is_a_folder_and_the_stages_that_import_the_package() -> None:
    files = files_of_part("captioning")
    assert {"captioning/test_decoding.py", "test_train_captioner.py", "test_conventions.py"} <= files
    assert not files & {"encoders/test_losses.py", "test_pretrain_encoder.py", "workflow/test_plan.py"}
    assert files_of_part("workflow") >= {"workflow/test_plan.py", "test_conventions.py"}


def test_every_stage_belongs_to_a_part() -> None:
    assert set().union(*map(stages_of_part, list_parts())) == set(stages())


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (2, 3), (100, MAX_WORKERS)])
def test_a_worker_more_than_cores_runs_the_tests(cores: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "count_cores", lambda: cores)
    assert count_workers() == workers


def test_a_wrong_shape_is_an_error_at_every_call() -> None:
    features, sequence_index = torch.zeros(1, 4, 2), torch.zeros(3, dtype=torch.int64)
    event_rows = torch.tensor([[0, 1], [1, 2], [0, 4]])
    gather_event_rows(features, sequence_index, event_rows)
    for wrong in (event_rows[:, :1], event_rows[:2]):
        with pytest.raises(jaxtyping.TypeCheckError, match="parameter 'event_rows'"):
            gather_event_rows(features, sequence_index, wrong)


def test_a_shared_folder_is_filled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    fills: list[Path] = []
    tmp_path_factory.getbasetemp()  # makes the folder of this process, in one thread

    def make(_: int) -> Path:
        return make_once(tmp_path_factory, "test-make-once", fills.append)

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(make, range(4)))
    assert [*folders] == fills


def test_measurements_of_all_workers_are_printed_in_one_table() -> None:
    together = Measurements()
    for name, kills in (("b", 3), ("a", 12)):
        worker = Measurements()
        worker.append(f"line of {name}")
        worker.add_row("kills", case=name, kills=kills, seconds=0.25)
        together.merge(worker.dump())
    assert together.format() == [
        "line of b",
        "line of a",
        "kills:",
        "case  kills  seconds",
        "a        12      0.2",
        "b         3      0.2",
        "all      15         ",
    ]


def test_the_campaign_kills_at_least_three_hundred_times_at_random_moments() -> None:
    assert len(CASES) * RANDOM_KILLS >= 300


def test_the_last_line_counts_the_campaigns_that_are_left_out() -> None:
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_kills.py"]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = process.stdout.splitlines()[-1]
    assert last.startswith(f"left out: {2 * len(CASES)} tests of marker campaign")
    assert "make test-all" in last
