"""Plans of whole runs: without any input file, and the table of the real run in the documents."""

import re
from pathlib import Path

import pytest

from pipeline.config.load import load_config
from pipeline.errors import PipelineError
from pipeline.planning.fresh_folder import fresh_folder
from pipeline.planning.run_plan import RunPlan, StatedSize
from pipeline.provenance.code_hash import ROOT
from workflow.scripts.cost_table import real_run_table
from workflow.scripts.generate import MARKED, REAL_RUN


@pytest.fixture(autouse=True)
def project_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.campaign
def test_the_table_of_the_real_run_is_that_of_the_shipped_rates() -> None:
    document = (ROOT / "docs" / "activitynet.md").read_text(encoding="utf-8")
    [text] = [match[0] for match in MARKED.finditer(document) if match[2] == REAL_RUN]
    body = text.partition("\n")[2].rpartition("\n")[0]
    assert body == real_run_table(), "renew it by `make generate`"


def test_a_fresh_folder_has_every_input_file_and_is_removed() -> None:
    config = load_config("anet", {})
    with fresh_folder(ROOT, [config]) as folder:
        assert (folder / "Snakefile").is_file()
        assert (folder / config.build_corpus.actions[0]).is_file()
        assert (folder / config.build_corpus.videos).is_dir()
        assert (folder / config.extract_features["vggish"].root.weights).is_file()
        assert any("r2plus1d_34" in path.name for path in (folder / "weights").iterdir()), "published by name"
        assert not (folder / "results").exists()
    assert not folder.exists()


def test_a_fresh_folder_is_removed_after_an_error() -> None:
    with pytest.raises(PipelineError), fresh_folder(ROOT, []) as folder:
        raise PipelineError("no plan")
    assert not folder.exists()


def test_nothing_outside_the_fresh_folder_is_written(tmp_path: Path) -> None:
    config = load_config("anet", {"build_corpus": {"videos": "../elsewhere/videos", "label_map": "/no/such/map.json"}})
    with fresh_folder(ROOT, [config]) as folder:
        assert not (folder / ".." / "elsewhere").exists()
    assert not Path("/no").exists()


@pytest.mark.parametrize(("videos", "hours"), [(0, 1.0), (10, 0.0), (10, float("nan"))])
def test_a_size_that_is_no_size_is_an_error(videos: int, hours: float) -> None:
    plan = RunPlan([], {"anet": load_config("anet", {})})
    with pytest.raises(PipelineError, match=re.escape(f"--videos {videos} --hours")):
        plan.measure_sizes(StatedSize(videos, hours))


def test_without_a_corpus_the_size_must_be_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = RunPlan([], {"anet": load_config("anet", {})})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=r"results/anet/corpus/manifest\.json.*--videos and --hours"):
        plan.measure_sizes(None)
