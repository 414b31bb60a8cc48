"""Train a localizer, as a command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.action_corpus import DIM, ActionCorpus, small_localizer, training_words, write_action_corpus
from helpers.caption_corpus import count_steps, interrupt_in_call

from pipeline import train_localizer
from pipeline.config.localizers import LOCALIZERS
from pipeline.datasets.corpus import ActionSegment
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.io.atomic import read_json, sha256
from pipeline.localization import localizer_training
from pipeline.localization.bmn.localizer import BmnLocalizer
from pipeline.localization.gtad.localizer import GtadLocalizer
from pipeline.localization.gtad.window_localizer import GtadWindowLocalizer
from pipeline.localization.localizer import Localizer
from pipeline.localization.localizer_bundle import load_localizer
from pipeline.localization.localizer_training import build_localizer

KIND = pytest.mark.parametrize("kind", LOCALIZERS)


def run(corpus: ActionCorpus, folder: Path, config: dict[str, Any]) -> int:
    return train_localizer.main(training_words(corpus, config, folder))


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "localizer" / "metrics.jsonl").read_text().splitlines()]


def test_localizers_of_the_papers_are_registered() -> None:
    loaded = [LOCALIZERS[kind].load() for kind in ("gtad", "gtad_windows", "bmn")]
    assert loaded == [GtadLocalizer, GtadWindowLocalizer, BmnLocalizer]


@KIND
def test_train_localizer_writes_a_bundle_that_load_localizer_reads(tmp_path: Path, kind: str) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 6, "val": 2})
    config = small_localizer(kind)
    assert run(corpus, tmp_path, config) == 0
    manifest = tmp_path / "localizer" / "manifest.json"
    bundle = load_localizer(manifest)
    assert isinstance(bundle.localizer, Localizer)
    assert bundle.settings.model_dump().items() >= config.items()
    assert bundle.open_features(corpus.features, 1).dim == bundle.dim
    metadata = read_json(manifest)["metadata"]
    assert (metadata["kind"], metadata["features"], metadata["labels"]) == (kind, ["toy"], ["jump", "roll"])
    assert not (tmp_path / "state").exists()
    assert all(row["val_loss"] > 0 for row in metrics(tmp_path))
    fresh = build_localizer(bundle.settings, bundle.dim, 2).network.state_dict()
    weights = bundle.localizer.network.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert any(not torch.equal(fresh[name], value) for name, value in weights.items())


@KIND
def test_train_localizer_resumes_with_an_equal_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 6, "val": 2})
    assert run(corpus, tmp_path / "undisturbed", small_localizer(kind)) == 0
    with monkeypatch.context() as patch:
        interrupt_in_call(patch, localizer_training, "train_on_batches", 2)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path / "stopped", small_localizer(kind))
    assert run(corpus, tmp_path / "stopped", small_localizer(kind)) == 0
    for name in ("model.safetensors", "metrics.jsonl", "config.json", "manifest.json"):
        undisturbed, stopped = (tmp_path / run_name / "localizer" / name for run_name in ("undisturbed", "stopped"))
        assert sha256(undisturbed) == sha256(stopped)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(tmp_path: Path) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 6, "val": 2})
    assert run(corpus, tmp_path, small_localizer("gtad", lr=0.05, epochs=4)) == 0
    losses = [row["val_loss"] for row in metrics(tmp_path)]
    assert read_json(tmp_path / "localizer" / "manifest.json")["metadata"]["epoch"] == 1 + int(np.argmin(losses))


def test_the_learning_rate_decays_as_configured() -> None:
    settings = LOCALIZERS["gtad"].settings(features=["toy"], lr=1.0, lr_decay=0.1, lr_decay_every=2)
    assert [settings.learning_rate(epoch) for epoch in (1, 2, 3, 5)] == pytest.approx([1, 1, 0.1, 0.01])  # type: ignore[attr-defined]


def test_steps_per_epoch_ends_an_epoch_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 6})
    steps = count_steps(monkeypatch)
    assert run(corpus, tmp_path, small_localizer("gtad", epochs=2, batch_size=2, steps_per_epoch=2)) == 0
    assert len(steps) == 2 * 2
    assert "rehearsal" in read_json(tmp_path / "localizer" / "manifest.json")["metadata"]


@KIND
def test_one_class_suffices(tmp_path: Path, kind: str) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 4}, labels=("jump",))
    assert run(corpus, tmp_path, small_localizer(kind, epochs=1)) == 0
    assert load_localizer(tmp_path / "localizer" / "manifest.json").labels == ("jump",)


@KIND
def test_features_of_one_row_and_videos_that_are_one_action_suffice(tmp_path: Path, kind: str) -> None:
    corpus = write_action_corpus(
        tmp_path,
        {"train": 3},
        damaged={"v_train0": np.ones((1, DIM), np.float32)},
        extra_segments=[ActionSegment("v_train1", 0.0, 9.0, "roll")],
    )
    assert run(corpus, tmp_path, small_localizer(kind, epochs=1)) == 0
    weights = load_localizer(tmp_path / "localizer" / "manifest.json").localizer.network.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_features_that_are_not_finite_name_the_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 1})
    monkeypatch.setattr(CombinedFeatures, "read", lambda *_: np.full((16, DIM), np.nan, np.float32))
    assert run(corpus, tmp_path, small_localizer("gtad")) == 2
    assert "v_train0" in capsys.readouterr().err
    assert not (tmp_path / "localizer" / "manifest.json").exists()


def test_no_video_with_actions_and_features_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 2, "val": 1}, featureless=["v_train0", "v_train1"])
    assert run(corpus, tmp_path, small_localizer("gtad")) == 2
    assert "no video of train has both actions and features" in capsys.readouterr().err


def test_windows_too_short_for_any_action_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 2})
    config = small_localizer("gtad_windows", temporal_scale=4, max_duration=3, window_stride=2)
    assert run(corpus, tmp_path, config) == 2
    assert "temporal_scale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "train_localizer: kind = None"),
        ({"kind": "oracle", "features": ["toy"]}, f"kind = 'oracle'; expected one of {', '.join(LOCALIZERS)}"),
        ({"kind": "gtad"}, "train_localizer.features is missing"),
        ({"kind": "gtad", "features": ["toy"], "kernel": 2}, "train_localizer.kernel = 2"),
        ({"kind": "bmn", "features": ["toy"], "bins": 10}, "unknown key train_localizer.bins"),
    ],
)
def test_wrong_settings_of_train_localizer_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], expected: str
) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 1})
    assert run(corpus, tmp_path, config) == 2
    assert expected in capsys.readouterr().err


def test_load_localizer_rejects_other_manifests(tmp_path: Path) -> None:
    corpus = write_action_corpus(tmp_path, {"train": 2})
    with pytest.raises(PipelineError, match=r"manifest\.json: not a localizer manifest: missing features"):
        load_localizer(corpus.manifest)
