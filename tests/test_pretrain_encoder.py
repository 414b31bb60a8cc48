"""Tests of the stage pretrain_encoder: training, selection of the epoch, resumption, and errors before it starts."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_corpus import SMALL, VideoCorpus, write_video_corpus
from safetensors.torch import load_file

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.encoders.pretrained import read_encoder
from pipeline.encoders.pretraining_data import build_pretraining_data
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.trainer import EncoderTrainer
from pipeline.errors import PipelineError
from pipeline.features.pooled import write_pooled
from pipeline.io.tables import read_rows
from pipeline.pretrain_encoder import main, read_global_features
from pipeline.provenance.manifest import read_manifest
from pipeline.training.checkpoints import CheckpointManager
from pipeline.training.seeds import seed_all
from pipeline.training.training_loop import MidEpochCheckpoint
from pipeline.video.shard import ReencodedVideos

FILES = {"model.safetensors", "config.json", "metrics.jsonl", "dropped.parquet"}


@pytest.fixture
def corpus(tmp_path: Path) -> VideoCorpus:
    return write_video_corpus(tmp_path, {"train": 4, "val": 2}, rejected=1)


def run(
    corpus: VideoCorpus, name: str = "sa_tsp", video_features: Path | None = None, **changes: object
) -> tuple[int, Path]:
    folder = corpus.corpus.parents[1]
    output = folder / "encoders" / name / "manifest.json"
    files = {"--corpus": corpus.corpus, "--videos": corpus.videos, "--concepts": corpus.concepts}
    files |= {"--state": folder / "state" / name, "--output": output}
    files |= {"--video-features": video_features} if video_features else {}
    arguments = [str(word) for pair in files.items() for word in pair]
    return main(["--name", name, "--config", json.dumps({**SMALL, **changes}), *arguments]), output


def read_metrics(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output.parent / "metrics.jsonl").read_text().splitlines()]


def test_pretraining_learns_the_colours_of_the_frames_and_lists_its_files(corpus: VideoCorpus) -> None:
    gentle = {"clips_per_segment": 8, "backbone_lr": 0.003, "milestones": [4.0], "decay": 0.1}
    status, output = run(corpus, epochs=6, losses={"action": 1.0, "region": 1.0, "concepts": 1.0}, **gentle)
    assert status == 0
    manifest = read_manifest(output)
    assert set(manifest.files) == FILES
    assert all(manifest.file(name) for name in FILES)
    metadata = manifest.metadata
    assert {key: metadata[key] for key in ("architecture", "dim", "labels", "concepts")} == {
        "architecture": "r2plus1d_narrow",
        "dim": 128,
        "labels": ["glow blue", "glow red"],
        "concepts": 4,
    }
    assert metadata["clip"] == {"resize": "stretch", **SMALL["clip"]}
    rows = read_metrics(output)
    assert [row["epoch"] for row in rows] == list(range(1, 7))
    assert metadata["best"] == max(rows, key=lambda row: row["val_score"])
    assert metadata["best"]["val_action_accuracy"] == 1.0
    assert metadata["best"]["val_region_accuracy"] > 0.9
    assert metadata["best"]["val_concepts_map"] > 0.9
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert not (output.parents[2] / "state" / "sa_tsp").exists()


def test_read_encoder_returns_the_written_weights(corpus: VideoCorpus) -> None:
    _, output = run(corpus)
    written = load_file(output.parent / "model.safetensors")
    pretrained = read_encoder(output)
    assert all(torch.equal(tensor, written[f"encoder.{n}"]) for n, tensor in pretrained.encoder.state_dict().items())
    assert not pretrained.encoder.training
    assert pretrained.weights_sha256 == read_manifest(output).files["model.safetensors"]["sha256"]
    assert pretrained.clip.frames == 4


def test_card_shows_data_settings_metrics_and_cost(corpus: VideoCorpus) -> None:
    _, output = run(corpus)
    card = (output.parent / "card.md").read_text()
    assert card.startswith("# sa_tsp\n")
    assert "- training: 3 videos: 3 foreground segments, 6 background segments" in card
    assert "- selection of the epoch: 2 videos: 2 foreground segments" in card
    assert "- unused videos: 1 (1 rejected), listed in `dropped.parquet`" in card
    assert "2 action classes, 4 concepts" in card
    assert "- global feature for the region head: none\n" in card
    assert f"- val_score: {read_manifest(output).metadata['best']['val_score']:.4g}" in card
    assert read_manifest(output).files["model.safetensors"]["sha256"] in card
    assert re.search(
        r"- training time: \d+ s, finished \d{4}-\d\d-\d\dT.*\+00:00\n- devices: 1 x \d+ threads of a CPU", card
    )


def test_equal_runs_give_equal_manifests_with_any_cache_and_workers(corpus: VideoCorpus) -> None:
    _, first = run(corpus, "one", epochs=2)
    _, again = run(corpus, "two", epochs=2)
    _, cached = run(corpus, "three", epochs=2, cache_gb=1.0)
    _, with_workers = run(corpus, "four", epochs=2, workers=2)
    _, seeded = run(corpus, "five", epochs=2, seed=1)
    digests = [
        read_manifest(output).files["model.safetensors"]["sha256"]
        for output in (first, again, cached, with_workers, seeded)
    ]
    assert digests[0] == digests[1]
    assert first.read_bytes() == again.read_bytes()
    assert (first.parent / "card.md").is_file()
    weights = [load_file(output.parent / "model.safetensors") for output in (first, cached, with_workers, seeded)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), "the cache changes nothing"
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0]), "workers draw no random numbers"
    assert digests[4] != digests[0]


def test_interrupted_run_resumes_and_equals_an_uninterrupted_one(
    corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, uninterrupted = run(corpus, "one")
    saves = iter(range(2))
    monkeypatch.setattr(CheckpointManager, "save", interrupt_after(CheckpointManager.save, saves))
    with pytest.raises(KeyboardInterrupt):
        run(corpus, "two")
    monkeypatch.undo()
    epochs: list[int] = []
    monkeypatch.setattr("pipeline.encoders.trainer.EncoderTrainer.train_epoch", record_epochs(epochs))
    _, resumed = run(corpus, "two")
    assert epochs == [3], "only the epoch that was not saved"
    assert read_metrics(resumed) == read_metrics(uninterrupted)
    expected, weights = (load_file(output.parent / "model.safetensors") for output in (uninterrupted, resumed))
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


SWEEP = {"backbone_lr": 0.0, "epochs": 2, "head_lr": [0.0, 0.05, 0.0]}


def test_sweep_over_head_rates_keeps_the_best(corpus: VideoCorpus) -> None:
    _, swept = run(corpus, "one", **SWEEP)
    _, single = run(corpus, "two", **{**SWEEP, "head_lr": [0.05]})
    rows = read_metrics(swept)
    assert [(row["head_lr"], row["epoch"]) for row in rows] == [
        (0.0, 1), (0.0, 2), (0.05, 1), (0.05, 2), (0.0, 1), (0.0, 2)
    ]  # fmt: skip
    best = read_manifest(swept).metadata["best"]
    assert best == max(rows, key=lambda row: row["val_score"])
    assert best["head_lr"] == 0.05
    assert {**read_manifest(single).metadata["best"], "head_lr": 0.05} == best, (
        "a rate of a sweep gives the result of a run of its own"
    )
    expected, weights = (load_file(output.parent / "model.safetensors") for output in (swept, single))
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


@pytest.mark.parametrize("saves", [1, 4, *(pytest.param(saves, marks=pytest.mark.campaign) for saves in (2, 3, 5))])
def test_interrupted_sweep_resumes(corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    _, uninterrupted = run(corpus, "one", **SWEEP)
    monkeypatch.setattr(CheckpointManager, "save", interrupt_after(CheckpointManager.save, iter(range(saves))))
    with pytest.raises(KeyboardInterrupt):
        run(corpus, "two", **SWEEP)
    monkeypatch.undo()
    _, resumed = run(corpus, "two", **SWEEP)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (resumed.parent / name).read_bytes() == (uninterrupted.parent / name).read_bytes()


def interrupt_after(save: Callable[..., None], saves: Iterator[int]) -> Callable[..., None]:
    """Return a save function that works once for each item of `saves`, then raises KeyboardInterrupt."""

    def wrapped(self: CheckpointManager, state: dict[str, object]) -> None:
        if next(saves, None) is None:
            raise KeyboardInterrupt
        save(self, state)

    return wrapped


def record_epochs(epochs: list[int]) -> Callable[..., dict[str, float]]:
    train_epoch = EncoderTrainer.train_epoch

    def wrapped(self: EncoderTrainer, epoch: int, samples: list, mid_epoch: MidEpochCheckpoint) -> dict[str, float]:
        epochs.append(epoch)
        return train_epoch(self, epoch, samples, mid_epoch)

    return wrapped


def test_other_settings_do_not_resume_an_old_state(corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointManager, "save", interrupt_after(CheckpointManager.save, iter(range(1))))
    with pytest.raises(KeyboardInterrupt):
        run(corpus)
    monkeypatch.undo()
    epochs: list[int] = []
    monkeypatch.setattr("pipeline.encoders.trainer.EncoderTrainer.train_epoch", record_epochs(epochs))
    run(corpus, head_lr=[0.04])
    assert epochs == [1, 2, 3]


def test_last_epoch_is_kept_with_a_warning_without_validation_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output = run(write_video_corpus(tmp_path, {"train": 2}), epochs=2)
    assert status == 0
    assert read_manifest(output).metadata["best"]["epoch"] == 2
    assert "no validation clips in split val" in capsys.readouterr().err


def test_pretraining_without_background_warns(corpus: VideoCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = run(corpus, epochs=1, background_gap=5.333)
    assert status == 0
    assert "split train: no background" in capsys.readouterr().err


def test_log_counts_short_segments_and_unused_videos(corpus: VideoCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    run(corpus, epochs=1)
    log = capsys.readouterr().err
    assert "1 videos are not used: rejected" in log
    assert "split train: 3 videos; segments: 3 foreground (3 shorter than a clip left out), 6 background" in log


def test_unused_videos_are_listed(corpus: VideoCorpus) -> None:
    _, output = run(corpus, epochs=1)
    rows = read_rows(read_manifest(output).file("dropped.parquet"), RejectedVideo)
    assert [(row.video, row.source, row.reason) for row in rows] == [("v_train0", "train", "rejected")]


def test_empty_class_is_an_error_unless_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_video_corpus(tmp_path, {"train": 1, "val": 2})
    status, output = run(corpus, epochs=1)
    assert status == 2
    assert "1 of 2 action classes have no training segment as long as one clip: glow blue" in capsys.readouterr().err
    assert not output.exists()
    assert run(corpus, epochs=1, empty_classes="allow")[0] == 0


def test_losses_without_concepts_need_no_concepts_file(corpus: VideoCorpus) -> None:
    corpus.concepts.unlink()
    status, output = run(corpus, "tsp", epochs=1, losses={"action": 1.0, "region": 1.0})
    assert status == 0
    assert read_manifest(output).metadata["concepts"] == 0
    assert read_encoder(output).encoder.dim == 128


def test_zero_epochs_write_the_initial_encoder(corpus: VideoCorpus) -> None:
    status, output = run(corpus, "initial", epochs=0, losses={"action": 1.0})
    assert status == 0
    assert read_metrics(output) == []
    seed_all("pretrain_encoder", 0, "weights")
    initial = build_encoder("r2plus1d_narrow").state_dict()
    written = read_encoder(output).encoder.state_dict()
    assert all(torch.equal(written[name], initial[name]) for name in initial)


def test_videos_without_global_feature_are_left_out(corpus: VideoCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"global_feature": {"feature": "initial"}}
    assert run(corpus, epochs=1, **changes)[0] == 2
    assert "--video-features: give the manifest of the pooled features of initial" in capsys.readouterr().err
    manifest = corpus.corpus.parents[1] / "video_features" / "manifest.json"
    videos = ["v_train1", "v_train2", "v_val0", "v_val1"]
    write_pooled(manifest, [(video, {"max": np.zeros(128)}) for video in videos], {})
    config = EncoderEntry.parse({**SMALL, **changes}, "pretrain_encoder")
    reencoded = ReencodedVideos.open(corpus.videos, 2).by_id
    global_features = read_global_features([manifest], config)
    data = build_pretraining_data(Corpus.open(corpus.corpus), reencoded, config, [], global_features)
    assert sorted(data.videos) == videos
    assert [(row.video, row.reason) for row in data.unused] == [
        ("v_train0", "rejected"),
        ("v_train3", "no_global_feature"),
    ]


def test_region_head_sees_the_global_feature(corpus: VideoCorpus) -> None:
    manifest = corpus.corpus.parents[1] / "video_features" / "manifest.json"
    videos = [row.video for row in Corpus.open(corpus.corpus).videos]
    write_pooled(manifest, [(video, {"max": np.full(5, 0.1 * row)}) for row, video in enumerate(videos)], {})
    changes = {"global_feature": {"feature": "initial", "pool": "max"}, "epochs": 1}
    status_without, without = run(corpus, "without", epochs=1)
    status, output = run(corpus, "with", manifest, **changes)
    assert (status_without, status) == (0, 0)
    narrow, wide = (load_file(path.parent / "model.safetensors") for path in (without, output))
    assert wide["heads.region.weight"].shape[1] == narrow["heads.region.weight"].shape[1] + 5
    assert wide["heads.action.weight"].shape == narrow["heads.action.weight"].shape


def test_unreadable_video_ends_no_epoch_below_max_unreadable(
    corpus: VideoCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(corpus.videos.rglob("v_train1.mp4"))
    path.write_bytes(path.read_bytes()[:300] + bytes(path.stat().st_size - 300))
    assert run(corpus, "strict", epochs=1, max_unreadable=0.0)[0] == 2
    assert "videos of the epoch are unreadable" in capsys.readouterr().err
    status, output = run(corpus, "lenient", epochs=1, max_unreadable=1.0)
    assert status == 0
    dropped = read_rows(output.parent / "dropped.parquet", RejectedVideo)
    assert [(row.video, row.reason) for row in dropped if row.source == "clips"] == [("v_train1", "unreadable")]
    assert all(weight.isfinite().all() for weight in load_file(output.parent / "model.safetensors").values())


def test_unreadable_video_of_an_interrupted_job_is_still_listed(
    corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(corpus.videos.rglob("v_train1.mp4"))
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(len(whole) - 300))
    monkeypatch.setattr(CheckpointManager, "save", interrupt_after(CheckpointManager.save, iter(range(1))))
    with pytest.raises(KeyboardInterrupt):
        run(corpus, epochs=2, max_unreadable=1.0)
    monkeypatch.undo()
    path.write_bytes(whole)
    status, output = run(corpus, epochs=2, max_unreadable=1.0)
    assert status == 0
    dropped = read_rows(output.parent / "dropped.parquet", RejectedVideo)
    assert [row.video for row in dropped if row.source == "clips"] == ["v_train1"]


def test_pretraining_starts_from_initial_weights(corpus: VideoCorpus, tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = build_encoder("r2plus1d_narrow").state_dict()
    torch.save(start, tmp_path / "start.pth")
    _, output = run(corpus, epochs=1, initial_weights=str(tmp_path / "start.pth"), backbone_lr=0.0, freeze_stem=True)
    written = load_file(output.parent / "model.safetensors")
    weights = dict(build_encoder("r2plus1d_narrow").named_parameters())
    assert all(torch.equal(written[f"encoder.{name}"], start[name]) for name in weights), "the backbone rate is 0"
    provenance = json.loads((output.parent / "manifest.provenance.json").read_text())
    assert any(name.endswith("start.pth") for name in provenance["inputs"])


@pytest.mark.parametrize(
    ("splits", "segments", "changes", "message"),
    [
        ({"val": 2}, True, {}, "no training videos"),
        ({"train": 2}, False, {}, "no foreground: none of 2 training videos has an action segment as long as one clip"),
        ({"train": 2}, True, {"clip": {**SMALL["clip"], "frames": 20}}, "no foreground"),
        ({"train": 2}, True, {"clip": {**SMALL["clip"], "fps": 8.0}}, "make clip.fps divide reencode.fps"),
        ({"train": 2}, True, {"initial_weights": "absent.pth"}, "absent.pth: no such weight file"),
        ({"train": 2}, True, {"head_lr": [0.1, 0.2]}, "pretrain_encoder.head_lr: 2 rates, but no validation clips"),
        ({"train": 2}, True, {"head_lr": ["1e-3"]}, "config: pretrain_encoder.head_lr.0 = '1e-3'"),
    ],
)
def test_impossible_runs_end_with_one_line_before_training(
    tmp_path: Path,
    splits: dict[str, int],
    segments: bool,
    changes: dict[str, object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, output = run(write_video_corpus(tmp_path, splits, segments=segments), **changes)
    assert status == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not output.exists()


def test_read_encoder_finds_a_damaged_file(corpus: VideoCorpus) -> None:
    _, output = run(corpus, epochs=1)
    weights = output.parent / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(PipelineError, match=r"model\.safetensors: differs from its entry"):
        read_encoder(output)


def test_steps_per_epoch_ends_epochs_early_and_is_on_the_card(
    corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, rates = torch.optim.SGD.step, list[float]()

    def counted(self: torch.optim.SGD, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    schedule = {"warmup_epochs": 0.0, "milestones": [2.0], "decay": 0.1}
    status, output = run(corpus, epochs=3, batch_size=2, steps_per_epoch=2, **schedule)
    assert (status, len(rates)) == (0, 3 * 2)
    assert rates[4] == pytest.approx(0.1 * rates[3]), "the rates follow the epochs, however short"
    assert "- rehearsal: epochs ended after 2 steps\n" in (output.parent / "card.md").read_text()
