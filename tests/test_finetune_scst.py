"""Self-critical finetuning, as a command."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from captioned import FakeMeteor, Small, die_in_call, fake_tokenize, write_small

from pipeline import finetune_scst
from pipeline.captioners.bundle import METRICS, load_captioner, save_captioner
from pipeline.captioners.learn import Course
from pipeline.captioners.model import Architecture, Captioner
from pipeline.captioners.vocabulary import Vocabulary
from pipeline.store.atomic import sha256
from pipeline.store.manifest import read_manifest
from pipeline.training.epochs import Selected, copy_of
from pipeline.training.seeds import seed_all

CONFIG = {"lr": 0.01, "batch_videos": 4, "selection": "last", "epochs": 2}


class HarmfulMeteor(FakeMeteor):
    """Likes captions the less, the oftener it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += 1
        return [1 / self.asked] * len(pairs)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_scst, "Meteor", FakeMeteor)
    monkeypatch.setattr(finetune_scst, "tokenize", fake_tokenize)


def untrained(small: Small, folder: Path, dim: int = 6) -> Path:
    """A captioner that knows nothing yet."""
    output = folder / "xe" / "manifest.json"
    output.parent.mkdir(parents=True)
    output.with_name(METRICS).write_text("")
    seed_all("untrained")
    size = Vocabulary.read(small.vocabulary).size
    captioner = Captioner(Architecture(dim, 16, size, 5, 0.2))
    facts = {"stage": "train_captioner", "features": ["toy"], "seed": 0}
    save_captioner(output, captioner, small.vocabulary, Selected(7, None, copy_of(captioner)), facts)
    return output


def run(small: Small, captioner: Path, folder: Path, *, seed: int = 0, **config: object) -> int:
    text = json.dumps(CONFIG | config)
    places = ["--state", str(folder / "state"), "--output", str(folder / "scst" / "manifest.json")]
    start = ["--captioner", str(captioner), "--seed", str(seed)]
    return finetune_scst.main(["--config", text, *small.arguments(), *start, *places])


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "scst" / METRICS).read_text().splitlines()]


@pytest.mark.usefixtures("no_java")
def test_the_reward_rises(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 8, "enlarged": 4})
    assert run(small, untrained(small, tmp_path), tmp_path, epochs=40, lr=0.02) == 0
    rows = metrics(tmp_path)
    for who, rise in (("sampled", 0.1), ("greedy", 0.2)):
        first, last = (sum(row[f"reward_{who}"] for row in part) / len(part) for part in (rows[:3], rows[-3:]))
        assert last > first + rise, who
    assert {"reward_greedy", "bad_endings_sampled", "loss"} <= set(rows[0])
    facts = read_manifest(tmp_path / "scst" / "manifest.json").facts
    assert (facts["stage"], facts["started_from_epoch"], facts["epoch"]) == ("finetune_scst", 7, 40)


@pytest.mark.usefixtures("no_java")
def test_it_trains_on_the_enlarged_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2, "enlarged": 3, "val": 1, "test": 1})
    assert run(small, untrained(small, tmp_path), tmp_path) == 0
    assert "8 sequences of 16 events" in capsys.readouterr().err, "two annotators for each of the three"


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


@pytest.mark.usefixtures("no_java")
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 4, "val": 1})
    start = untrained(small, tmp_path)
    settings = {"selection": "meteor", "epochs": 4, "lr_decay_every": 1}
    assert run(small, start, tmp_path / "undisturbed", **settings) == 0

    with monkeypatch.context() as patch:
        die_in_call(patch, Course, "one_pass", 3)
        with pytest.raises(KeyboardInterrupt):
            run(small, start, tmp_path / "stopped", **settings)
    assert run(small, start, tmp_path / "stopped", **settings) == 0
    for name in ("manifest.json", "model.safetensors", METRICS):
        one, other = (tmp_path / run_ / "scst" / name for run_ in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), name


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


def test_the_real_meteor_is_the_reward(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 2, "val": 1})
    assert run(small, untrained(small, tmp_path), tmp_path, epochs=1, selection="meteor") == 0
    start, after = metrics(tmp_path)
    assert 0 <= start["meteor"] < 1
    assert 0 < after["reward_sampled"] < 1


@pytest.mark.usefixtures("no_java")
def test_features_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2})
    assert run(small, untrained(small, tmp_path, dim=7), tmp_path) == 2
    assert "6 channels, the captioner was trained on 7" in capsys.readouterr().err
