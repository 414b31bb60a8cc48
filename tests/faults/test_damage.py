"""Files that a disk or a person has damaged: who reads them names the file and what to do, and that helps."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.kill_runner import Case, contents
from helpers.stage_cases import DEMO, case_of

pytestmark = pytest.mark.road


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def delete(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    """As if it had been made anew, with another end, after its manifest was written."""
    path.write_bytes(path.read_bytes() + b"newer")


READ = [
    ("corpus/captions.parquet", "mine_concepts"),
    ("corpus/videos.parquet", "reencode"),
    ("corpus/segments.parquet", "pretrain_encoder"),
    ("corpus/references/test_1.json", "evaluate"),
    ("video/0000/videos.parquet", "extract_features"),
    ("video/0000/v_*.mp4", "extract_features"),
    ("video/0000/rejects.parquet", "evaluate"),
    ("encoders/sa_tsp/model.safetensors", "extract_features"),
    ("encoders/sa_tsp/config.json", "extract_features"),
    ("globals/initial/globals.safetensors", "pretrain_encoder"),
    ("globals/initial/index.parquet", "pretrain_encoder"),
    ("features/sa_tsp/0000/index.parquet", "probe_encoder"),
    ("features/sa_tsp/0000/features.zarr/zarr.json", "train_captioner"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "train_captioner"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "propose_events"),
    ("features/initial/0001/features.zarr/c/0/0", "pool_features"),
    ("captioners/sa_tsp/0/xe/model.safetensors", "finetune_scst"),
    ("captioners/sa_tsp/0/xe/vocabulary.json", "finetune_scst"),
    ("captioners/sa_tsp/0/scst/model.safetensors", "generate_captions"),
]
"""Payloads, and a stage that reads each."""


def run(case: Case) -> int:
    status: int = importlib.import_module(case.stage).main(case.words)
    return status


@pytest.fixture(scope="module")
def module_copy(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the road's results for all: each test puts in order what it has damaged."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(road / "results", folder / "results")
    return folder


@pytest.mark.parametrize("harm", [flip, truncate, delete, grow], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize(("payload", "stage"), READ, ids=lambda value: value)
def test_the_reader_names_the_file_and_what_to_do(
    module_copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    payload: str,
    stage: str,
    harm: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(module_copy)
    case = case_of(module_copy, stage)
    path = min(Path(DEMO).glob(payload))
    whole = path.read_bytes()
    harm(path)
    try:
        words = [{case.declared[0]: "again/manifest.json"}.get(word, word) for word in case.words]
        assert run(Case(case.stage, words, [], [], 0, 0)) == 2
    finally:
        path.write_bytes(whole)
        shutil.rmtree("again", ignore_errors=True)
    said = capsys.readouterr().err
    named = str(path) if ".zarr/" not in str(path) else str(path).partition(".zarr/")[0]
    line = next(line for line in said.splitlines() if line.startswith("error: "))
    assert named in line
    assert "delete the manifest and run again" in line
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("stage", "payload"),
    [
        ("reencode", "v_*.mp4"),
        ("train_captioner", "model.safetensors"),
        ("pool_features", "globals.safetensors"),
    ],
)
def test_what_the_error_says_helps(road_copy: Path, monkeypatch: pytest.MonkeyPatch, stage: str, payload: str) -> None:
    monkeypatch.chdir(road_copy)
    case = case_of(road_copy, stage)
    before = contents(case)
    manifest = Path(case.declared[0])
    flip(min(manifest.parent.glob(payload)))
    assert contents(case) != before
    manifest.unlink()
    assert run(case) == 0
    assert contents(case) == before
