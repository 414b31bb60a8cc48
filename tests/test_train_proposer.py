"""Train a proposer, as a command."""

import json
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import CaptionCorpus, count_steps, interrupt_in_call, write_caption_corpus

from pipeline import train_proposer
from pipeline.config.proposers import PROPOSERS
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, sha256, write_json
from pipeline.localization import proposer_training
from pipeline.localization.bmn.proposer import BmnProposer
from pipeline.localization.boundary import BoundaryProposer
from pipeline.localization.proposer import TrainableProposer
from pipeline.localization.proposer_bundle import load_proposer
from pipeline.localization.proposer_training import build_proposer

SMALL: dict[str, dict[str, object]] = {
    "boundary": {"hidden": 16},
    "bmn": {
        **{"temporal_scale": 24, "num_samples": 8, "hidden_dim_1d": 32, "hidden_dim_2d": 16, "hidden_dim_3d": 32},
        **{"lr": 0.003, "lr_decay_every": 2},
    },
    "bmt": {
        "features": {"visual": ["toy"], "audio": ["audio"]},
        **{"hidden": 16, "visual_anchors": 4, "audio_anchors": 3, "visual_kernels": [1, 3], "audio_kernels": [3, 5]},
        **{"head_channels": [8, 8], "missing": "zeros"},
    },
}
"""Settings of proposers whose default sizes are slow to train, or that read two streams."""
CONFIGS: dict[str, dict[str, object]] = {
    kind: {"kind": kind, "features": ["toy"], "batch_size": 4, "lr": 0.01, "epochs": 3} | SMALL.get(kind, {})
    for kind in PROPOSERS
}
BOUNDARY = CONFIGS["boundary"]
PROPOSER = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def write_corpus(folder: Path, splits: dict[str, int]) -> CaptionCorpus:
    """Write a corpus with visual and audio features; one video has no sound."""
    corpus = write_caption_corpus(folder, splits)
    corpus.add_audio(reject=["v_train1"])
    return corpus


def run(corpus: CaptionCorpus, folder: Path, config: dict[str, object]) -> int:
    paths = ["--state", str(folder / "state"), "--output", str(folder / "proposer" / "manifest.json")]
    return train_proposer.main(["--config", json.dumps(config), *corpus.arguments(), *paths])


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "proposer" / "metrics.jsonl").read_text().splitlines()]


def test_proposers_of_the_papers_are_registered() -> None:
    assert (PROPOSERS["boundary"].load(), PROPOSERS["bmn"].load()) == (BoundaryProposer, BmnProposer)


@PROPOSER
def test_train_proposer_writes_a_bundle_that_load_proposer_reads(tmp_path: Path, config: dict[str, object]) -> None:
    corpus = write_corpus(tmp_path, {"train": 4, "val": 1})
    assert run(corpus, tmp_path, config) == 0
    manifest = tmp_path / "proposer" / "manifest.json"
    bundle = load_proposer(manifest)
    assert isinstance(bundle.proposer, TrainableProposer)
    assert bundle.settings.model_dump().items() >= config.items()
    assert bundle.open_features(corpus.features, 1).dims == bundle.dims
    metadata = read_json(manifest)["metadata"]
    assert (metadata["kind"], metadata["features"], metadata["epoch"]) == (config["kind"], config["features"], 3)
    is_single = config["features"] == ["toy"]
    assert (metadata["grid"] if is_single else metadata["grid"]["visual"]) == {"fps": 16.0, "frames": 16, "stride": 16}
    assert not (tmp_path / "state").exists()
    fresh = build_proposer(bundle.settings, metadata["dim"]).network.state_dict()
    assert all(torch.isfinite(value).all() for value in bundle.proposer.network.state_dict().values())
    assert any(not torch.equal(fresh[name], value) for name, value in bundle.proposer.network.state_dict().items())


@PROPOSER
def test_train_proposer_resumes_with_an_equal_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, object]
) -> None:
    corpus = write_corpus(tmp_path, {"train": 6, "val": 1})
    assert run(corpus, tmp_path / "undisturbed", config) == 0
    with monkeypatch.context() as patch:
        interrupt_in_call(patch, proposer_training, "train_on_batches", 3)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path / "stopped", config)
    assert run(corpus, tmp_path / "stopped", config) == 0
    for name in ("model.safetensors", "metrics.jsonl", "config.json", "manifest.json"):
        assert sha256(tmp_path / "undisturbed" / "proposer" / name) == sha256(tmp_path / "stopped" / "proposer" / name)


def test_metrics_without_val_videos_have_no_precision_and_recall(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    assert run(corpus, tmp_path, BOUNDARY) == 0
    assert all(row.keys() == {"epoch", "loss"} for row in metrics(tmp_path))


def test_train_proposer_without_training_videos_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2, "val": 1}, featureless=["v_train0", "v_train1"])
    assert run(corpus, tmp_path, BOUNDARY) == 2
    assert "no video of train has both captions and features" in capsys.readouterr().err


@PROPOSER
def test_steps_per_epoch_ends_an_epoch_early(
    tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path, {"train": 6})
    steps = count_steps(monkeypatch)
    assert run(corpus, tmp_path, config | {"epochs": 2, "batch_size": 2, "steps_per_epoch": 2}) == 0
    assert len(steps) == 2 * 2
    assert "rehearsal" in read_json(tmp_path / "proposer" / "manifest.json")["metadata"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "train_proposer: kind = None"),
        ({"kind": "oracle", "features": ["toy"]}, f"kind = 'oracle'; expected one of {', '.join(PROPOSERS)}"),
        ({"kind": "bmn"}, "train_proposer.features is missing"),
        ({"kind": "bmn", "features": ["toy"], "hidden_dim_1d": 6}, "train_proposer.hidden_dim_1d = 6"),
        ({"kind": "boundary", "features": ["toy"], "temporal_scale": 10}, "unknown key train_proposer.temporal_scale"),
        ({"kind": "boundary", "features": ["toy"], "validation": {"min_score": 2}}, "validation.min_score = 2"),
    ],
)
def test_wrong_settings_of_train_proposer_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, object], expected: str
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1})
    assert run(corpus, tmp_path, config) == 2
    assert expected in capsys.readouterr().err


def test_load_proposer_rejects_other_manifests(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    with pytest.raises(PipelineError, match=r"manifest\.json: not a proposer manifest: missing features"):
        load_proposer(corpus.manifest)


def test_open_features_rejects_features_of_another_geometry(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    assert run(corpus, tmp_path, BOUNDARY | {"epochs": 1}) == 0
    bundle = load_proposer(tmp_path / "proposer" / "manifest.json")
    manifest = corpus.features / "toy" / "0000" / "manifest.json"
    stored = read_json(manifest)
    stored["metadata"]["stride"] = 8
    write_json(manifest, stored)
    with pytest.raises(PipelineError, match="stride"):
        bundle.open_features(corpus.features, 1)
