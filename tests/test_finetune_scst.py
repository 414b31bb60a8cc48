"""The stage finetune_scst."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from helpers.campaigns import quick_cases
from helpers.caption_corpus import CaptionCorpus, fake_tokenize, interrupt_in_call, write_caption_corpus
from helpers.captioners import event_lstm
from helpers.exact_meteor import ExactMeteor

from pipeline import finetune_scst, train_captioner
from pipeline.captioning.bundle import METRICS, load_captioner, save_captioner
from pipeline.captioning.decoding import Greedy
from pipeline.captioning.event_sequences import annotated_sequences
from pipeline.captioning.shared_training import CaptionerTrainer, bad_ending_share
from pipeline.captioning.streams import EventSequence, StreamCache
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import EOS, Vocabulary
from pipeline.evaluation.meteor.formula import Pair
from pipeline.io.atomic import sha256
from pipeline.localization.proposals import Proposal, write_proposals
from pipeline.provenance.manifest import read_manifest
from pipeline.training.training_loop import BestCheckpoint, cpu_state_dict

CONFIG = {"lr": 0.01, "batch_videos": 4, "selection": "last", "epochs": 2}


class FallingMeteor(ExactMeteor):
    """Returns a lower score at each call."""

    def __init__(self) -> None:
        self.num_calls = 0

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        self.num_calls += 1
        return [1 / self.num_calls] * len(pairs)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_scst, "Meteor", ExactMeteor)
    monkeypatch.setattr(finetune_scst, "tokenize", fake_tokenize)


def save_untrained(corpus: CaptionCorpus, folder: Path, dim: int = 6) -> Path:
    """Save a captioner with its initial weights."""
    output = folder / "xe" / "manifest.json"
    output.parent.mkdir(parents=True)
    output.with_name(METRICS).write_text("")
    size = Vocabulary.read(corpus.vocabulary).size
    captioner = event_lstm(dim=dim, num_ids=size, max_words=5, dropout=0.2)
    metadata = {
        "stage": "train_captioner",
        "features": ["toy"],
        "combination": corpus.open_streams().metadata(),
        "seed": 0,
    }
    selected = BestCheckpoint(7, None, cpu_state_dict(captioner))
    save_captioner(output, captioner, corpus.vocabulary, selected, metadata)
    return output


def run(
    corpus: CaptionCorpus,
    captioner: Path,
    folder: Path,
    *,
    seed: int = 0,
    proposals: Path | None = None,
    **config: object,
) -> int:
    text = json.dumps(CONFIG | config | ({"proposals": "learned"} if proposals else {}))
    places = ["--state", str(folder / "state"), "--output", str(folder / "scst" / "manifest.json")]
    start = ["--captioner", str(captioner), "--seed", str(seed)]
    more = ["--proposals", str(proposals)] if proposals else []
    return finetune_scst.main(["--config", text, *corpus.arguments(), *start, *places, *more])


def read_metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "scst" / METRICS).read_text().splitlines()]


def write_shifted_proposals(folder: Path, splits: dict[str, int]) -> Path:
    """Write proposals around the events of all videos."""
    proposals = {
        f"v_{split}{number}": [
            Proposal(start, end + delay, 1.0) for start, end in ((1.0, 3.0), (4.0, 7.0)) for delay in (0.0, 0.5)
        ]
        for split, count in splits.items()
        for number in range(count)
    }
    write_proposals(folder / "learned.json", proposals, {})
    return folder / "learned.json"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[CaptionCorpus, Path]:
    """A captioner after a few epochs of cross-entropy."""
    folder = tmp_path_factory.mktemp("trained")
    corpus = write_caption_corpus(folder, {"train": 8, "enlarged": 4})
    (folder / "xe").mkdir()
    config = {"features": ["toy"], "hidden": 16, "max_words": 6, "selection": "last", "batch_videos": 4}
    words = ["--config", json.dumps(config | {"epochs": 6, "lr": 0.02}), *corpus.arguments()]
    places = ["--state", str(folder / "state"), "--output", str(folder / "xe" / "manifest.json")]
    assert train_captioner.main([*words, "--vocabulary", str(corpus.vocabulary), *places]) == 0
    return corpus, folder / "xe" / "manifest.json"


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    "scheme",
    quick_cases(
        [
            {"temperature": 0.5},  # sharp samples, close to the greedy captions
            {"baseline": "samples", "samples": 4},
            {
                "baseline": "samples",
                "samples": 4,
                "reward_strings": "indices",
                "reward": {"meteor": 0.5, "cider_d": 0.1},
            },
        ],
        1,
    ),
    ids=["as published", "samples", "indices, weighted"],
)
def test_finetune_scst_raises_the_reward_and_captions_end_well(
    tmp_path: Path, trained: tuple[CaptionCorpus, Path], scheme: dict[str, object]
) -> None:
    corpus, start = trained
    assert run(corpus, start, tmp_path, epochs=24, lr=0.01, **scheme) == 0
    rows = read_metrics(tmp_path)
    first, last = (sum(row["reward_sampled"] for row in part) / len(part) for part in (rows[:2], rows[-2:]))
    assert last > 1.2 * first
    assert ("reward_greedy" in rows[0]) == ("baseline" not in scheme)
    bundle = load_captioner(tmp_path / "scst" / "manifest.json")
    streams = corpus.open_streams()
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["train", "enlarged"], streams.durations)
    captions = bundle.captioner.generate(StreamCache(streams, 1.0).collate(sequences), Greedy())
    assert bad_ending_share(captions.word_ids(), bundle.vocabulary) < 0.02
    assert (captions.tokens == EOS).any(1).all()
    metadata = read_manifest(tmp_path / "scst" / "manifest.json").metadata
    assert (metadata["stage"], metadata["started_from_epoch"], metadata["epoch"]) == ("finetune_scst", 6, 24)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(("splits", "count"), [(["train", "enlarged"], 8), (["train"], 2), (["enlarged"], 6)])
def test_splits_choose_the_training_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], splits: list[str], count: int
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2, "enlarged": 3, "val": 1, "test": 1})
    assert run(corpus, save_untrained(corpus, tmp_path), tmp_path, epochs=1, splits=splits) == 0
    expected = f"{count} sequences of {2 * count} events"
    assert expected in capsys.readouterr().err, "two annotators for each of the three enlarged videos"


@pytest.mark.usefixtures("no_java")
def test_the_initial_weights_are_kept_if_finetuning_makes_them_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_scst, "Meteor", FallingMeteor)
    corpus = write_caption_corpus(tmp_path, {"train": 2, "val": 1})
    start = save_untrained(corpus, tmp_path)
    assert run(corpus, start, tmp_path, selection="meteor") == 0
    before, after = load_captioner(start), load_captioner(tmp_path / "scst" / "manifest.json")
    assert after.epoch == 0
    assert sha256(start.with_name("model.safetensors")) == sha256(tmp_path / "scst" / "model.safetensors")
    assert before.vocabulary.digest == after.vocabulary.digest
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [0, 1, 2]


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("with_proposals", [False, True])
def test_a_stopped_run_continues_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_proposals: bool
) -> None:
    splits = {"train": 4, "val": 1}
    corpus = write_caption_corpus(tmp_path, splits)
    start = save_untrained(corpus, tmp_path)
    settings = {"selection": "meteor", "epochs": 4, "lr_decay_every": 1, "event_sequences": 2}
    proposals = write_shifted_proposals(tmp_path, splits) if with_proposals else None
    assert run(corpus, start, tmp_path / "undisturbed", proposals=proposals, **settings) == 0

    with monkeypatch.context() as patch:
        interrupt_in_call(patch, CaptionerTrainer, "train_epoch", 3)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, start, tmp_path / "stopped", proposals=proposals, **settings)
    assert run(corpus, start, tmp_path / "stopped", proposals=proposals, **settings) == 0
    for name in ("manifest.json", "model.safetensors", METRICS):
        one, other = (tmp_path / folder / "scst" / name for folder in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), name


def test_finetune_scst_uses_meteor_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 4, "val": 1})
    start = save_untrained(corpus, tmp_path)
    monkeypatch.setattr(finetune_scst, "tokenize", fake_tokenize)
    settings = {"selection": "meteor", "baseline": "greedy", "samples": 2, "reward": {"meteor": 1.0, "cider_d": 0.1}}
    assert run(corpus, start, tmp_path, **settings) == 0
    first, *_ = read_metrics(tmp_path)
    assert 0 <= first["meteor"] < 1


@pytest.mark.usefixtures("no_java")
def test_events_are_drawn_from_proposals_anew_in_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": 3}
    corpus = write_caption_corpus(tmp_path, splits)
    epochs: list[list[EventSequence]] = []
    train_epoch: Callable[..., dict[str, float]] = CaptionerTrainer.train_epoch

    def note_sequences(
        trainer: CaptionerTrainer, order: Sequence[int], *args: object, **kwargs: object
    ) -> dict[str, float]:
        epochs.append([trainer.sequences[index] for index in order])
        return train_epoch(trainer, order, *args, **kwargs)

    monkeypatch.setattr(CaptionerTrainer, "train_epoch", note_sequences)
    settings = {"proposals": write_shifted_proposals(tmp_path, splits), "event_sequences": 5}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        start = save_untrained(corpus, tmp_path / folder)
        assert run(corpus, start, tmp_path / folder, seed=seed, **settings) == 0
    first, second, same_seed, _, other_seed, _ = epochs
    assert first == same_seed
    assert first != second
    assert first != other_seed
    videos = [sequence.video for sequence in first]
    assert all(len(set(videos[start : start + 5])) == 1 for start in range(0, 15, 5)), "copies of a video are adjacent"
    assert {sequence.times[0] for sequence in first} == {(1.0, 3.0), (1.0, 3.5)}


@pytest.mark.usefixtures("no_java")
def test_the_setting_and_the_file_of_proposals_must_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = {"train": 2}
    corpus = write_caption_corpus(tmp_path, splits)
    start = save_untrained(corpus, tmp_path)
    places = ["--captioner", str(start), "--state", str(tmp_path / "s"), "--output", str(tmp_path / "o.json")]
    for name, more, message in (
        ("learned", [], "learned needs --proposals"),
        ("gt", ["--proposals", str(write_shifted_proposals(tmp_path, splits))], "gt reads no --proposals"),
    ):
        config = json.dumps(CONFIG | {"proposals": name})
        assert finetune_scst.main(["--config", config, *corpus.arguments(), *places, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    ("proposals", "message"),
    [
        ({"v_train0": [Proposal(1.0, 240.0, 1.0)]}, "v_train0: a proposal ends at 240.00 s, the video at 8.00 s"),
        (
            {"v_train0": [Proposal(7.5, 8.0, 1.0)], "train1": [Proposal(1.0, 3.0, 1.0)]},
            "none of them overlaps an event",
        ),
    ],
    ids=["outside", "of other videos"],
)
def test_proposals_of_other_videos_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], proposals: dict[str, list[Proposal]], message: str
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    write_proposals(tmp_path / "learned.json", proposals, {})
    assert run(corpus, save_untrained(corpus, tmp_path), tmp_path, proposals=tmp_path / "learned.json") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "scst" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": "samples"}, "the baseline `samples` needs samples: 2 or more"),
        ({"reward": {"meteor": 0.0}}, "all reward weights are 0"),
        ({"splits": ["test"]}, "splits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], message: str
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    assert run(corpus, tmp_path / "none.json", tmp_path, **settings) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_java")
def test_the_learning_rate_decays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    rates = []
    train_epoch = CaptionerTrainer.train_epoch

    def note_rate(trainer: CaptionerTrainer, *args: object, **kwargs: object) -> dict[str, float]:
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        return train_epoch(trainer, *args, **kwargs)

    monkeypatch.setattr(CaptionerTrainer, "train_epoch", note_rate)
    settings = {"epochs": 5, "lr": 0.1, "lr_decay": 0.5, "lr_decay_every": 2}
    assert run(corpus, save_untrained(corpus, tmp_path), tmp_path, **settings) == 0
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


@pytest.mark.usefixtures("no_java")
def test_features_with_another_number_of_channels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    assert run(corpus, save_untrained(corpus, tmp_path, dim=7), tmp_path) == 2
    assert "6 channels, but the network was trained on 7" in capsys.readouterr().err
