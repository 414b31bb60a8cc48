"""The stage trains, keeps the best epoch, goes on where it stopped, and says what is wrong before it starts."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_corpus import SMALL, Filmed, write_filmed
from safetensors.torch import load_file

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.encoders.architectures import build
from pipeline.encoders.data import gather
from pipeline.encoders.model import read_encoder
from pipeline.encoders.trainer import Fitting
from pipeline.errors import PipelineError
from pipeline.features.pooled import write_globals
from pipeline.io.tables import read_table
from pipeline.pretrain_encoder import main, read_globals
from pipeline.provenance.manifest import read_manifest
from pipeline.training.checkpoints import TrainingState
from pipeline.training.seeds import seed_all
from pipeline.training.trainer import Within
from pipeline.video.shard import Videos

PAYLOADS = {"model.safetensors", "config.json", "metrics.jsonl", "dropped.parquet"}


@pytest.fixture
def filmed(tmp_path: Path) -> Filmed:
    return write_filmed(tmp_path, {"train": 4, "val": 2}, rejected=1)


def run(filmed: Filmed, name: str = "sa_tsp", pooled: Path | None = None, **changes: object) -> tuple[int, Path]:
    folder = filmed.corpus.parents[1]
    output = folder / "encoders" / name / "manifest.json"
    files = {"--corpus": filmed.corpus, "--videos": filmed.videos, "--concepts": filmed.concepts}
    files |= {"--state": folder / "state" / name, "--output": output}
    files |= {"--globals": pooled} if pooled else {}
    words = [str(word) for pair in files.items() for word in pair]
    return main(["--name", name, "--config", json.dumps({**SMALL, **changes}), *words]), output


def metrics(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output.parent / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_what_the_pictures_show_and_vouches_for_it(filmed: Filmed) -> None:
    gentle = {"clips_per_segment": 8, "backbone_lr": 0.003, "milestones": [4.0], "decay": 0.1}
    status, output = run(filmed, epochs=6, beta=1.0, **gentle)
    assert status == 0
    manifest = read_manifest(output)
    assert set(manifest.payloads) == PAYLOADS
    assert all(manifest.payload(name) for name in PAYLOADS)
    facts = manifest.facts
    assert {key: facts[key] for key in ("architecture", "dim", "labels", "concepts")} == {
        "architecture": "r2plus1d_narrow",
        "dim": 128,
        "labels": ["glow blue", "glow red"],
        "concepts": 4,
    }
    assert facts["clip"] == {"resize": "stretch", **SMALL["clip"]}
    rows = metrics(output)
    assert [row["epoch"] for row in rows] == list(range(1, 7))
    assert facts["best"] == max(rows, key=lambda row: row["val_score"])
    assert facts["best"]["val_action_accuracy"] == 1.0
    assert facts["best"]["val_region_accuracy"] > 0.9
    assert facts["best"]["val_concept_map"] > 0.9
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert not (output.parents[2] / "state" / "sa_tsp").exists()


def test_the_chosen_weights_are_those_that_are_written(filmed: Filmed) -> None:
    _, output = run(filmed)
    written = load_file(output.parent / "model.safetensors")
    pretrained = read_encoder(output)
    assert all(torch.equal(tensor, written[f"encoder.{n}"]) for n, tensor in pretrained.encoder.state_dict().items())
    assert not pretrained.encoder.training
    assert pretrained.weights_sha256 == read_manifest(output).payloads["model.safetensors"]["sha256"]
    assert pretrained.config.clip.frames == 4


def test_the_card_tells_the_data_the_settings_and_the_metrics(filmed: Filmed) -> None:
    _, output = run(filmed)
    card = (output.parent / "card.md").read_text()
    assert card.startswith("# sa_tsp\n")
    assert "trained on 3 videos: 3 foreground segments, 6 background segments" in card
    assert "chosen on 2 videos: 2 foreground segments" in card
    assert "- videos not used: 1 (1 rejected), listed in `dropped.parquet`" in card
    assert "2 action classes, 4 concepts" in card
    assert "- beside the clip, the region head sees nothing\n" in card
    assert f"- val_score: {read_manifest(output).facts['best']['val_score']:.4g}" in card
    assert read_manifest(output).payloads["model.safetensors"]["sha256"] in card
    assert re.search(r"- training took \d+ s, finished \d{4}-\d\d-\d\dT.*\+00:00\n- on 1 x \d+ threads of a CPU", card)


def test_equal_runs_give_equal_manifests_whoever_reads(filmed: Filmed) -> None:
    _, first = run(filmed, "one", epochs=2)
    _, again = run(filmed, "two", epochs=2)
    _, cached = run(filmed, "three", epochs=2, cache_gb=1.0)
    _, others = run(filmed, "four", epochs=2, workers=2)
    _, seeded = run(filmed, "five", epochs=2, seed=1)
    digests = [
        read_manifest(output).payloads["model.safetensors"]["sha256"]
        for output in (first, again, cached, others, seeded)
    ]
    assert digests[0] == digests[1]
    assert first.read_bytes() == again.read_bytes()
    assert (first.parent / "card.md").is_file()
    weights = [load_file(output.parent / "model.safetensors") for output in (first, cached, others, seeded)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), "memory or files: no matter"
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0]), "workers draw nothing"
    assert digests[4] != digests[0]


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(filmed: Filmed, monkeypatch: pytest.MonkeyPatch) -> None:
    _, undisturbed = run(filmed, "one")
    saves = iter(range(2))
    monkeypatch.setattr(TrainingState, "save", interrupting(TrainingState.save, saves))
    with pytest.raises(KeyboardInterrupt):
        run(filmed, "two")
    monkeypatch.undo()
    trained: list[int] = []
    monkeypatch.setattr("pipeline.encoders.trainer.Fitting.train", noting(trained))
    _, resumed = run(filmed, "two")
    assert trained == [3], "only the epoch that was not saved"
    assert metrics(resumed) == metrics(undisturbed)
    one, two = (load_file(output.parent / "model.safetensors") for output in (undisturbed, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


SEARCH = {"backbone_lr": 0.0, "epochs": 2, "head_lr": [0.0, 0.05, 0.0]}


def test_of_several_head_rates_the_best_is_kept(filmed: Filmed) -> None:
    _, searched = run(filmed, "one", **SEARCH)
    _, alone = run(filmed, "two", **{**SEARCH, "head_lr": [0.05]})
    rows = metrics(searched)
    assert [(row["head_lr"], row["epoch"]) for row in rows] == [
        (0.0, 1), (0.0, 2), (0.05, 1), (0.05, 2), (0.0, 1), (0.0, 2)
    ]  # fmt: skip
    best = read_manifest(searched).facts["best"]
    assert best == max(rows, key=lambda row: row["val_score"])
    assert best["head_lr"] == 0.05
    assert {**read_manifest(alone).facts["best"], "head_lr": 0.05} == best, "tried as if it were the only one"
    one, two = (load_file(output.parent / "model.safetensors") for output in (searched, alone))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("saves", range(1, 6))
def test_a_search_that_was_interrupted_goes_on(filmed: Filmed, monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    _, undisturbed = run(filmed, "one", **SEARCH)
    monkeypatch.setattr(TrainingState, "save", interrupting(TrainingState.save, iter(range(saves))))
    with pytest.raises(KeyboardInterrupt):
        run(filmed, "two", **SEARCH)
    monkeypatch.undo()
    _, resumed = run(filmed, "two", **SEARCH)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (resumed.parent / name).read_bytes() == (undisturbed.parent / name).read_bytes()


def interrupting(save: Callable[..., None], saves: Iterator[int]) -> Callable[..., None]:
    """Save so often; the next time the job is killed."""

    def wrapped(self: TrainingState, state: dict[str, object]) -> None:
        if next(saves, None) is None:
            raise KeyboardInterrupt
        save(self, state)

    return wrapped


def noting(trained: list[int]) -> Callable[..., dict[str, float]]:
    train = Fitting.train

    def wrapped(self: Fitting, epoch: int, samples: list, within: Within) -> dict[str, float]:
        trained.append(epoch)
        return train(self, epoch, samples, within)

    return wrapped


def test_other_settings_do_not_go_on_from_an_old_state(filmed: Filmed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingState, "save", interrupting(TrainingState.save, iter(range(1))))
    with pytest.raises(KeyboardInterrupt):
        run(filmed)
    monkeypatch.undo()
    trained: list[int] = []
    monkeypatch.setattr("pipeline.encoders.trainer.Fitting.train", noting(trained))
    run(filmed, head_lr=[0.04])
    assert trained == [1, 2, 3]


def test_without_validation_videos_the_last_epoch_is_kept_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output = run(write_filmed(tmp_path, {"train": 2}), epochs=2)
    assert status == 0
    assert read_manifest(output).facts["best"]["epoch"] == 2
    assert "split val holds no clips: the last epoch is kept" in capsys.readouterr().err


def test_without_background_it_trains_and_warns(filmed: Filmed, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = run(filmed, epochs=1, background_gap=5.333)
    assert status == 0
    assert "split train: no background" in capsys.readouterr().err


def test_left_out_segments_and_rejected_videos_are_counted(filmed: Filmed, capsys: pytest.CaptureFixture[str]) -> None:
    run(filmed, epochs=1)
    said = capsys.readouterr().err
    assert "1 videos are not used: rejected" in said
    assert "split train: 3 videos; segments: 3 foreground (3 shorter than a clip left out), 6 background" in said


def test_videos_that_nothing_is_learned_from_are_listed(filmed: Filmed) -> None:
    _, output = run(filmed, epochs=1)
    rows = read_table(read_manifest(output).payload("dropped.parquet"), REJECTS)
    assert [(row["video"], row["source"], row["reason"]) for row in rows] == [("v_train0", "train", "rejected")]


def test_a_class_that_no_training_video_shows_is_told_or_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed = write_filmed(tmp_path, {"train": 1, "val": 2})
    status, output = run(filmed, epochs=1)
    assert status == 2
    assert "1 of 2 action classes have no training segment as long as one clip: glow blue" in capsys.readouterr().err
    assert not output.exists()
    assert run(filmed, epochs=1, empty_classes="allow")[0] == 0


def test_plain_tsp_needs_no_concepts(filmed: Filmed) -> None:
    filmed.concepts.unlink()
    status, output = run(filmed, "tsp", epochs=1, beta=0.0)
    assert status == 0
    assert read_manifest(output).facts["concepts"] == 0
    assert read_encoder(output).encoder.dim == 128


def test_no_epochs_give_the_encoder_that_the_others_start_from(filmed: Filmed) -> None:
    status, output = run(filmed, "initial", epochs=0, alpha=0.0, beta=0.0)
    assert status == 0
    assert metrics(output) == []
    seed_all("pretrain_encoder", 0, "weights")
    start = build("r2plus1d_narrow").state_dict()
    written = read_encoder(output).encoder.state_dict()
    assert all(torch.equal(written[name], start[name]) for name in start)


def test_videos_without_global_features_are_left_out(filmed: Filmed, capsys: pytest.CaptureFixture[str]) -> None:
    seen = {"global_feature": {"feature": "initial"}}
    assert run(filmed, epochs=1, **seen)[0] == 2
    assert "--globals: give the manifest of the global features of initial" in capsys.readouterr().err
    manifest = filmed.corpus.parents[1] / "globals" / "manifest.json"
    videos = ["v_train1", "v_train2", "v_val0", "v_val1"]
    write_globals(manifest, [(video, {"max": np.zeros(128)}) for video in videos], {})
    config = PretrainEncoder.parse({**SMALL, **seen}, "pretrain_encoder")
    corpus = Corpus.open(filmed.corpus)
    rows = Videos.open(filmed.videos, 2).rows
    data = gather(corpus, rows, config, [], read_globals([manifest], config))
    assert sorted(data.rows) == videos
    assert [(row["video"], row["reason"]) for row in data.dropped] == [
        ("v_train0", "rejected"),
        ("v_train3", "no_global_feature"),
    ]


def test_the_region_head_sees_the_global_feature(filmed: Filmed) -> None:
    manifest = filmed.corpus.parents[1] / "globals" / "manifest.json"
    videos = [row["video"] for row in Corpus.open(filmed.corpus).videos]
    write_globals(manifest, [(video, {"max": np.full(5, 0.1 * row)}) for row, video in enumerate(videos)], {})
    seen = {"global_feature": {"feature": "initial", "pool": "max"}, "epochs": 1}
    (alone, plain), (status, output) = run(filmed, "plain", epochs=1), run(filmed, "seen", manifest, **seen)
    assert (alone, status) == (0, 0)
    narrow, wide = (load_file(path.parent / "model.safetensors") for path in (plain, output))
    assert wide["heads.region.weight"].shape[1] == narrow["heads.region.weight"].shape[1] + 5
    assert wide["heads.action.weight"].shape == narrow["heads.action.weight"].shape


def test_a_file_that_breaks_later_ends_no_epoch_unless_there_are_many(
    filmed: Filmed, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = next(filmed.videos.rglob("v_train1.mp4"))
    bad.write_bytes(bad.read_bytes()[:300] + bytes(bad.stat().st_size - 300))
    assert run(filmed, "strict", epochs=1, max_unreadable=0.0)[0] == 2
    assert "videos of the epoch are unreadable" in capsys.readouterr().err
    status, output = run(filmed, "lenient", epochs=1, max_unreadable=1.0)
    assert status == 0
    dropped = read_table(output.parent / "dropped.parquet", REJECTS)
    assert [(row["video"], row["reason"]) for row in dropped if row["source"] == "clips"] == [
        ("v_train1", "unreadable")
    ]
    assert all(weight.isfinite().all() for weight in load_file(output.parent / "model.safetensors").values())


def test_what_could_not_be_read_before_an_interruption_is_still_told(
    filmed: Filmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = next(filmed.videos.rglob("v_train1.mp4"))
    whole = bad.read_bytes()
    bad.write_bytes(whole[:300] + bytes(len(whole) - 300))
    monkeypatch.setattr(TrainingState, "save", interrupting(TrainingState.save, iter(range(1))))
    with pytest.raises(KeyboardInterrupt):
        run(filmed, epochs=2, max_unreadable=1.0)
    monkeypatch.undo()
    bad.write_bytes(whole)
    status, output = run(filmed, epochs=2, max_unreadable=1.0)
    assert status == 0
    dropped = read_table(output.parent / "dropped.parquet", REJECTS)
    assert [row["video"] for row in dropped if row["source"] == "clips"] == ["v_train1"]


def test_it_starts_from_given_weights(filmed: Filmed, tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = build("r2plus1d_narrow").state_dict()
    torch.save(start, tmp_path / "start.pth")
    _, output = run(filmed, epochs=1, initial_weights=str(tmp_path / "start.pth"), backbone_lr=0.0, freeze_stem=True)
    written = load_file(output.parent / "model.safetensors")
    weights = dict(build("r2plus1d_narrow").named_parameters())
    assert all(torch.equal(written[f"encoder.{name}"], start[name]) for name in weights), "of zero rate"
    provenance = json.loads((output.parent / "manifest.provenance.json").read_text())
    assert any(name.endswith("start.pth") for name in provenance["inputs"])


@pytest.mark.parametrize(
    ("splits", "segments", "changes", "said"),
    [
        ({"val": 2}, True, {}, "no training videos"),
        ({"train": 2}, False, {}, "no foreground: none of 2 training videos has an action segment as long as one clip"),
        ({"train": 2}, True, {"clip": {**SMALL["clip"], "frames": 20}}, "no foreground"),
        ({"train": 2}, True, {"clip": {**SMALL["clip"], "fps": 8.0}}, "make clip.fps divide reencode.fps"),
        ({"train": 2}, True, {"initial_weights": "absent.pth"}, "absent.pth: no such weight file"),
        ({"train": 2}, True, {"head_lr": [0.1, 0.2]}, "head_lr: 2 rates, but split val holds no clips to choose by"),
        ({"train": 2}, True, {"head_lr": ["1e-3"]}, "config: pretrain_encoder.head_lr.0 = '1e-3'"),
    ],
)
def test_what_cannot_work_is_one_line_before_training(
    tmp_path: Path,
    splits: dict[str, int],
    segments: bool,
    changes: dict[str, object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, output = run(write_filmed(tmp_path, splits, segments=segments), **changes)
    assert status == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not output.exists()


def test_a_damaged_encoder_is_found_by_its_reader(filmed: Filmed) -> None:
    _, output = run(filmed, epochs=1)
    weights = output.parent / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(PipelineError, match=r"model\.safetensors: not as"):
        read_encoder(output)


def test_an_epoch_may_end_early_and_the_card_says_so(filmed: Filmed, monkeypatch: pytest.MonkeyPatch) -> None:
    step, rates = torch.optim.SGD.step, list[float]()

    def counted(self: torch.optim.SGD, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    schedule = {"warmup_epochs": 0.0, "milestones": [2.0], "decay": 0.1}
    status, output = run(filmed, epochs=3, batch_size=2, steps_per_epoch=2, **schedule)
    assert (status, len(rates)) == (0, 3 * 2)
    assert rates[4] == pytest.approx(0.1 * rates[3]), "the rates follow the epochs, however short"
    assert "- rehearsal: epochs ended after 2 steps\n" in (output.parent / "card.md").read_text()
