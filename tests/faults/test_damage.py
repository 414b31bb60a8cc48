"""A damaged file is an error that names the file and the remedy, and the remedy works."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.kill_runner import Case, contents
from helpers.stage_cases import DEMO, case_of

pytestmark = pytest.mark.end_to_end


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def delete(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    """Append bytes, as if the file had changed after its manifest was written."""
    path.write_bytes(path.read_bytes() + b"newer")


READERS = [
    ("corpus/captions.parquet", "mine_concepts"),
    ("corpus/videos.parquet", "reencode"),
    ("corpus/segments.parquet", "pretrain_encoder"),
    ("corpus/references/test_1.json", "evaluate"),
    ("video/0000/videos.parquet", "extract_features"),
    ("video/0000/v_*.mp4", "extract_features"),
    ("video/0000/rejects.parquet", "evaluate"),
    ("encoders/sa_tsp/model.safetensors", "extract_features"),
    ("encoders/sa_tsp/config.json", "extract_features"),
    ("video_features/initial/video_features.safetensors", "pretrain_encoder"),
    ("video_features/initial/index.parquet", "pretrain_encoder"),
    ("features/sa_tsp/0000/index.parquet", "probe_encoder"),
    ("features/sa_tsp/0000/features.zarr/zarr.json", "train_captioner"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "train_captioner"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "train_proposer"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "propose_events"),
    ("proposers/learned/model.safetensors", "propose_events"),
    ("proposers/learned/config.json", "propose_events"),
    ("corpus/segments.parquet", "train_localizer"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "train_localizer"),
    ("localizers/gtad/model.safetensors", "localize_actions"),
    ("video_features/sa_tsp/video_features.safetensors", "classify_videos"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "analyze_localization"),
    ("features/initial/0001/features.zarr/c/0/0", "pool_features"),
    ("captioners/sa_tsp/0/xe/model.safetensors", "finetune_scst"),
    ("captioners/sa_tsp/0/xe/vocabulary.json", "finetune_scst"),
    ("captioners/sa_tsp/0/scst/model.safetensors", "generate_captions"),
]
"""Data files, and a stage that reads each."""

CLASSES = [
    ("corpus/captions.parquet", "mine_concepts"),
    ("video/0000/v_*.mp4", "extract_features"),
    ("features/sa_tsp/0000/features.zarr/c/0/0", "train_captioner"),
]
"""One file for each class of readers: files of a manifest, videos, and chunks of a feature store."""

DAMAGES = [(file, stage, flip) for file, stage in READERS]
DAMAGES += [(file, stage, damage) for file, stage in CLASSES for damage in (truncate, delete, grow)]
"""A flipped bit, which only a checksum finds, for every reader; other damages for every class of readers."""


def run(case: Case) -> int:
    status: int = importlib.import_module(case.stage).main(case.words)
    return status


@pytest.fixture(scope="module")
def module_copy(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the results for all tests; each test restores the file that it damages."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(finished_run / "results", folder / "results")
    return folder


@pytest.mark.parametrize(
    ("file", "stage", "damage"), DAMAGES, ids=[f"{stage}-{file}-{damage.__name__}" for file, stage, damage in DAMAGES]
)
def test_a_reader_names_the_damaged_file_and_the_remedy(
    module_copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    stage: str,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(module_copy)
    case = case_of(module_copy, stage)
    path = min(Path(DEMO).glob(file))
    intact = path.read_bytes()
    damage(path)
    try:
        words = [{case.declared[0]: "again/manifest.json"}.get(word, word) for word in case.words]
        assert run(Case(case.stage, words, [], [], 0, 0)) == 2
    finally:
        path.write_bytes(intact)
        shutil.rmtree("again", ignore_errors=True)
    output = capsys.readouterr().err
    name = str(path) if ".zarr/" not in str(path) else str(path).partition(".zarr/")[0]
    line = next(line for line in output.splitlines() if line.startswith("error: "))
    assert name in line
    assert "delete the manifest and run again" in line
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("reencode", "v_*.mp4"),
        ("train_captioner", "model.safetensors"),
        ("pool_features", "video_features.safetensors"),
    ],
)
def test_the_remedy_of_a_damaged_file_restores_it(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, stage: str, file: str
) -> None:
    monkeypatch.chdir(run_copy)
    case = case_of(run_copy, stage)
    before = contents(case)
    manifest = Path(case.declared[0])
    flip(min(manifest.parent.glob(file)))
    assert contents(case) != before
    manifest.unlink()
    assert run(case) == 0
    assert contents(case) == before
