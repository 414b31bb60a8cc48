"""Self-critical finetuning, as a command."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.caption_corpus import Small, die_in_call, fake_tokenize, write_small

from pipeline import finetune_scst, train_captioner
from pipeline.captioning.bundle import METRICS, load_captioner, save_captioner
from pipeline.captioning.data import EventSequence, annotated, collate
from pipeline.captioning.decoding import greedy
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.captioning.trainer import Course
from pipeline.captioning.validation import bad_endings
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import END, Vocabulary
from pipeline.evaluation.meteor.formula import Pair, Scorer, Stats
from pipeline.io.atomic import sha256
from pipeline.localization.proposals import Proposal, write_proposals
from pipeline.provenance.manifest import read_manifest
from pipeline.features.cache import ClipCache
from pipeline.training.seeds import seed_all
from pipeline.training.trainer import Selected, copy_of

CONFIG = {"lr": 0.01, "batch_videos": 4, "selection": "last", "epochs": 2, "reward_workers": 0}


class ExactMeteor(Scorer):
    """METEOR of equal words alone, all of them content words: needs no Java."""

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        found = np.zeros((len(pairs), 23))
        for row, (caption, reference) in enumerate(pairs):
            said, wanted = caption.split(), reference.split()
            places = [
                wanted.index(word) if word in wanted and said.index(word) == at else -9 for at, word in enumerate(said)
            ]
            matched = sum(place >= 0 for place in places)
            chunks = sum(place >= 0 and place != before + 1 for before, place in pairwise([-9, *places]))
            found[row, [0, 1, 4, 5, 20, 21, 22]] = len(said), len(wanted), matched, matched, chunks, matched, matched
        return found


class HarmfulMeteor(ExactMeteor):
    """Likes captions the less, the oftener it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        self.asked += 1
        return [1 / self.asked] * len(pairs)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_scst, "Meteor", ExactMeteor)
    monkeypatch.setattr(finetune_scst, "tokenize", fake_tokenize)


def untrained(small: Small, folder: Path, dim: int = 6) -> Path:
    """A captioner that knows nothing yet."""
    output = folder / "xe" / "manifest.json"
    output.parent.mkdir(parents=True)
    output.with_name(METRICS).write_text("")
    seed_all("untrained")
    size = Vocabulary.read(small.vocabulary).size
    captioner = Captioner(Architecture(dim, 16, size, 5, 0.2))
    facts = {"stage": "train_captioner", "features": ["toy"], "combination": small.open_features().facts(), "seed": 0}
    save_captioner(output, captioner, small.vocabulary, Selected(7, None, copy_of(captioner)), facts)
    return output


def run(
    small: Small, captioner: Path, folder: Path, *, seed: int = 0, proposals: Path | None = None, **config: object
) -> int:
    text = json.dumps(CONFIG | config | ({"proposals": "learned"} if proposals else {}))
    places = ["--state", str(folder / "state"), "--output", str(folder / "scst" / "manifest.json")]
    start = ["--captioner", str(captioner), "--seed", str(seed)]
    given = ["--proposals", str(proposals)] if proposals else []
    return finetune_scst.main(["--config", text, *small.arguments(), *start, *places, *given])


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "scst" / METRICS).read_text().splitlines()]


def shaky(folder: Path, corpus: dict[str, int]) -> Path:
    """Proposals around the events of all videos."""
    found = {
        f"v_{split}{number}": [
            Proposal(start, end + late, 1.0) for start, end in ((1.0, 3.0), (4.0, 7.0)) for late in (0.0, 0.5)
        ]
        for split, count in corpus.items()
        for number in range(count)
    }
    write_proposals(folder / "learned.json", found, {})
    return folder / "learned.json"


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, Path]:
    """A captioner that has learned by cross-entropy, a little."""
    folder = tmp_path_factory.mktemp("beginner")
    small = write_small(folder, {"train": 8, "enlarged": 4})
    (folder / "xe").mkdir()
    config = {"features": ["toy"], "hidden": 16, "max_words": 6, "selection": "last", "batch_videos": 4}
    words = ["--config", json.dumps(config | {"epochs": 6, "lr": 0.02}), *small.arguments()]
    places = ["--state", str(folder / "state"), "--output", str(folder / "xe" / "manifest.json")]
    assert train_captioner.main([*words, "--vocabulary", str(small.vocabulary), *places]) == 0
    return small, folder / "xe" / "manifest.json"


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    "scheme",
    [
        {"temperature": 0.5},  # sharp samples, that come near the greedy captions
        {"baseline": "samples", "samples": 4},
        {"baseline": "samples", "samples": 4, "reward_strings": "indices", "reward": {"meteor": 0.5, "cider_d": 0.1}},
    ],
    ids=["as published", "samples", "indices, weighted"],
)
def test_the_reward_rises_and_captions_end_well(
    tmp_path: Path, beginner: tuple[Small, Path], scheme: dict[str, object]
) -> None:
    small, start = beginner
    assert run(small, start, tmp_path, epochs=24, lr=0.01, **scheme) == 0
    rows = metrics(tmp_path)
    first, last = (sum(row["reward_sampled"] for row in part) / len(part) for part in (rows[:2], rows[-2:]))
    assert last > 1.2 * first
    assert ("reward_greedy" in rows[0]) == ("baseline" not in scheme)
    trained = load_captioner(tmp_path / "scst" / "manifest.json")
    features = small.open_features()
    events = annotated(Corpus.open(small.corpus), ["train", "enlarged"], features)
    captions = greedy(trained.captioner, collate(events, ClipCache(features, 1.0)))
    assert bad_endings(captions.ids(), trained.vocabulary) < 0.02
    assert (captions.words == END).any(1).all()
    facts = read_manifest(tmp_path / "scst" / "manifest.json").facts
    assert (facts["stage"], facts["started_from_epoch"], facts["epoch"]) == ("finetune_scst", 6, 24)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(("splits", "count"), [(["train", "enlarged"], 8), (["train"], 2), (["enlarged"], 6)])
def test_the_training_set_is_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], splits: list[str], count: int
) -> None:
    small = write_small(tmp_path, {"train": 2, "enlarged": 3, "val": 1, "test": 1})
    assert run(small, untrained(small, tmp_path), tmp_path, epochs=1, splits=splits) == 0
    said = f"{count} sequences of {2 * count} events"
    assert said in capsys.readouterr().err, "two annotators for each of the three"


@pytest.mark.usefixtures("no_java")
def test_what_makes_things_worse_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_scst, "Meteor", HarmfulMeteor)
    small = write_small(tmp_path, {"train": 2, "val": 1})
    start = untrained(small, tmp_path)
    assert run(small, start, tmp_path, selection="meteor") == 0
    before, after = load_captioner(start), load_captioner(tmp_path / "scst" / "manifest.json")
    assert after.epoch == 0
    assert sha256(start.with_name("model.safetensors")) == sha256(tmp_path / "scst" / "model.safetensors")
    assert before.vocabulary.digest == after.vocabulary.digest
    assert [row["epoch"] for row in metrics(tmp_path)] == [0, 1, 2]


def same_results(one: Path, other: Path) -> None:
    for name in ("manifest.json", "model.safetensors", METRICS):
        assert sha256(one / "scst" / name) == sha256(other / "scst" / name), name


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("learned", [False, True])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learned: bool
) -> None:
    splits = {"train": 4, "val": 1}
    small = write_small(tmp_path, splits)
    start = untrained(small, tmp_path)
    settings = {"selection": "meteor", "epochs": 4, "lr_decay_every": 1, "event_sequences": 2}
    proposals = shaky(tmp_path, splits) if learned else None
    assert run(small, start, tmp_path / "undisturbed", proposals=proposals, **settings) == 0

    with monkeypatch.context() as patch:
        die_in_call(patch, Course, "one_pass", 3)
        with pytest.raises(KeyboardInterrupt):
            run(small, start, tmp_path / "stopped", proposals=proposals, **settings)
    assert run(small, start, tmp_path / "stopped", proposals=proposals, **settings) == 0
    same_results(tmp_path / "undisturbed", tmp_path / "stopped")


def test_rewards_are_the_same_however_many_processes_compute_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write_small(tmp_path, {"train": 4, "val": 1})
    start = untrained(small, tmp_path)
    monkeypatch.setattr(finetune_scst, "tokenize", fake_tokenize)
    settings = {"selection": "meteor", "baseline": "greedy", "samples": 2, "reward": {"meteor": 1.0, "cider_d": 0.1}}
    for workers in (0, 1, 2):
        assert run(small, start, tmp_path / str(workers), reward_workers=workers, **settings) == 0
        same_results(tmp_path / "0", tmp_path / str(workers))
    first, *_ = metrics(tmp_path / "0")
    assert 0 <= first["meteor"] < 1


def test_the_number_of_processes_may_change_within_a_run() -> None:
    config = FinetuneScst()
    assert config.model_copy(update={"reward_workers": 5}).digest() == config.digest()


@pytest.mark.usefixtures("no_java")
def test_events_are_drawn_from_proposals_anew_in_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": 3}
    small = write_small(tmp_path, splits)
    seen: list[list[EventSequence]] = []
    whole_pass: Callable[..., dict[str, float]] = Course.one_pass

    def note(course: Course, order: Sequence[int], *args: object, **kwargs: object) -> dict[str, float]:
        seen.append([course.sequences[index] for index in order])
        return whole_pass(course, order, *args, **kwargs)

    monkeypatch.setattr(Course, "one_pass", note)
    settings = {"proposals": shaky(tmp_path, splits), "event_sequences": 5}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run(small, untrained(small, tmp_path / folder), tmp_path / folder, seed=seed, **settings) == 0
    first, second, again, _, other, _ = seen
    assert first == again
    assert first != second
    assert first != other
    videos = [one.video for one in first]
    assert all(len(set(videos[start : start + 5])) == 1 for start in range(0, 15, 5)), "a video's stand together"
    assert {one.times[0] for one in first} == {(1.0, 3.0), (1.0, 3.5)}


@pytest.mark.usefixtures("no_java")
def test_proposals_and_their_setting_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = {"train": 2}
    small = write_small(tmp_path, splits)
    start = untrained(small, tmp_path)
    given = ["--captioner", str(start), "--state", str(tmp_path / "s"), "--output", str(tmp_path / "o.json")]
    for name, more, said in (
        ("learned", [], "learned needs --proposals"),
        ("gt", ["--proposals", str(shaky(tmp_path, splits))], "gt reads no --proposals"),
    ):
        config = json.dumps(CONFIG | {"proposals": name})
        assert finetune_scst.main(["--config", config, *small.arguments(), *given, *more]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"v_train0": [Proposal(1.0, 240.0, 1.0)]}, "v_train0: a proposal ends at 240.00 s, the video at 8.00 s"),
        (
            {"v_train0": [Proposal(7.5, 8.0, 1.0)], "train1": [Proposal(1.0, 3.0, 1.0)]},
            "none of them overlaps an event",
        ),
    ],
    ids=["outside", "of other videos"],
)
def test_proposals_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: dict[str, list[Proposal]], said: str
) -> None:
    small = write_small(tmp_path, {"train": 2})
    write_proposals(tmp_path / "learned.json", found, {})
    assert run(small, untrained(small, tmp_path), tmp_path, proposals=tmp_path / "learned.json") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "scst" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"baseline": "samples"}, "the baseline `samples` needs samples: 2 or more"),
        ({"reward": {"meteor": 0.0}}, "all weights are 0"),
        ({"splits": ["test"]}, "splits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, object], said: str
) -> None:
    small = write_small(tmp_path, {"train": 2})
    assert run(small, tmp_path / "none.json", tmp_path, **wrong) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("no_java")
def test_the_rate_decays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 2})
    rates = []
    whole_pass = Course.one_pass

    def note(course: Course, *args: object, **kwargs: object) -> dict[str, float]:
        rates.append(course.optimizer.param_groups[0]["lr"])
        return whole_pass(course, *args, **kwargs)

    monkeypatch.setattr(Course, "one_pass", note)
    assert run(small, untrained(small, tmp_path), tmp_path, epochs=5, lr=0.1, lr_decay=0.5, lr_decay_every=2) == 0
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025])


@pytest.mark.usefixtures("no_java")
def test_features_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2})
    assert run(small, untrained(small, tmp_path, dim=7), tmp_path) == 2
    assert "6 channels, the captioner was trained on 7" in capsys.readouterr().err
