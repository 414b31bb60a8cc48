"""The paper's captioning at its real size, each training for two steps: a first real run is not to fail on day three.

Real annotations, with the vocabulary and the concepts that they give; random features of the shapes and times that the
pool's have. The rest, from videos to features, takes a CPU longer: docs/activitynet.md tells how to run it all.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline import (
    build_corpus,
    finetune_scst,
    generate_captions,
    mine_concepts,
    propose_events,
    select_captions,
    train_captioner,
)
from pipeline.config.load import CONFIG, Config, load
from pipeline.datasets.corpus import Corpus
from pipeline.features.combined import ClipGrid, write_features
from pipeline.features.networks.registry import entry_of
from pipeline.localization.proposals import read_proposals
from pipeline.provenance.manifest import read_manifest

pytestmark = pytest.mark.road

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "enlarged", "val", "test")


@dataclass(frozen=True)
class Road:
    """Where a rehearsal stands.

    Attributes:
        folder: of its results.
        config: ActivityNet's, rehearsed.
    """

    folder: Path
    config: Config

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus" / "manifest.json"

    def run(self, stage: object, section: str, output: str, **files: Path | str) -> Path:
        """Run a stage as its rule does; `output` is what it writes."""
        path = self.folder / output
        words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        given = ["--corpus", str(self.corpus), "--features", str(self.folder / "features")]
        assert stage.main(["--config", section, *given, *words, "--output", str(path)]) == 0  # type: ignore[attr-defined]
        return path

    def state(self, name: str) -> Path:
        return self.folder / "state" / name


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Road:
    """The real corpus of which three videos of each split are there, its words, and random features of two of them."""
    folder = tmp_path_factory.mktemp("smoke")
    data = shared / "data"
    tables = {
        subset: str(data / "activitynet_tsp" / f"activitynet_v1-3_{name}_tsp_groundtruth.csv")
        for subset, name in (("training", "train"), ("validation", "valid"))
    }
    captions = [str(data / "activitynet_captions" / f"{name}.json") for name in ("train", "val_1", "val_2")]
    sources = {
        **{"actions": list(tables.values()), "subsets": {path: subset for subset, path in tables.items()}},
        **{"captions_train": captions[0], "captions_val": captions[1:], "videos": str(folder / "videos")},
    }
    (folder / "videos").mkdir()
    train, val = (sorted(json.loads(Path(path).read_text())) for path in captions[:2])
    pins = dict(zip(val, sorted(3 * SPLITS[1:]), strict=False))
    for video in [*train[:3], *pins]:
        (folder / "videos" / f"{video}.mp4").touch()
    overlay = {"build_corpus": {**sources, "pins": pins, "shards": 1}, "mine_concepts": {"tagger": "lexicon"}}
    found = Road(folder, load("anet_smoke", overlay, ROOT / CONFIG))
    words = ["--config", found.config.build_corpus.canonical(), "--output", str(found.corpus)]
    assert build_corpus.main(words) == 0
    names = {name: str(folder / f"{name}.json") for name in ("concepts", "vocabulary", "idf")}
    words = [word for name, file in names.items() for word in (f"--{name}", file)]
    section = found.config.mine_concepts.canonical()
    assert mine_concepts.main(["--config", section, "--corpus", str(found.corpus), *words]) == 0
    write_pool(found)
    return found


def write_pool(road: Road) -> None:
    """Random features of every video that is used; of one there is no sound."""
    used = [row for row in Corpus.open(road.corpus).videos if row["path"] is not None]
    draw = np.random.default_rng(0)
    for name in {feature for captioner in road.config.train_captioner.values() for feature in captioner.features}:
        made = road.config.extract_features[name].root
        entry = entry_of(getattr(made, "extractor", "sa_tsp"))
        grid, items = entry.grid, []
        for row in used:
            clips = max(1, 1 + int((row["duration"] * grid.fps - grid.frames) // grid.stride))
            rows = draw.normal(size=(clips, entry.dim)).astype(np.float32)
            silent = name == "vggish" and row == used[0]
            items.append((row["video"], row["duration"], "no_audio" if silent else rows))
        manifest = road.folder / "features" / name / "0000" / "manifest.json"
        write_features(manifest, items, dim=entry.dim, grid=ClipGrid(grid.fps, grid.frames, grid.stride), facts={})


def members(road: Road) -> list[tuple[str, int]]:
    """The best combination and the widest one: of the others, all parts are among theirs."""
    chosen = [(member.captioner, member.seed) for member in road.config.select_captions.members]
    return [chosen[0], chosen[-1]]


@pytest.fixture(scope="module")
def proposals(road: Road) -> dict[str, Path]:
    found = {}
    for name in ("gt", "learned", road.config.finetune_scst.proposals):
        section = road.config.propose_events[name].canonical()
        found[name] = road.run(propose_events, section, f"proposals/{name}.json", state=road.state(name))
    return found


@pytest.fixture(scope="module")
def captioners(road: Road, proposals: dict[str, Path]) -> list[Path]:
    """Trained by cross-entropy, then by SCST."""
    found = []
    for name, seed in members(road):
        section, vocabulary = road.config.train_captioner[name].canonical(), road.folder / "vocabulary.json"
        told = {"seed": str(seed), "state": road.state(f"{name}-{seed}")}
        manifest = f"captioners/{name}/{seed}/{{}}/manifest.json"
        trained = road.run(train_captioner, section, manifest.format("xe"), vocabulary=vocabulary, **told)
        scst = road.config.finetune_scst
        told |= {"captioner": trained, "proposals": proposals[scst.proposals]}
        found.append(road.run(finetune_scst, scst.canonical(), manifest.format("scst"), **told))
    return found


def test_the_words_are_those_of_the_real_run(road: Road) -> None:
    # 8,160 but for the nine videos that are pinned, and two events without length, which are left out.
    assert abs(len(json.loads((road.folder / "vocabulary.json").read_text())["words"]) - 8160) < 20
    assert len(json.loads((road.folder / "concepts.json").read_text())) == 1000
    used = [row["split"] for row in Corpus.open(road.corpus).videos if row["path"] is not None]
    assert {split: used.count(split) for split in SPLITS} == dict.fromkeys(SPLITS, 2), "two of the three that are there"


def test_bmn_proposes_at_its_published_size(road: Road, proposals: dict[str, Path]) -> None:
    assert read_proposals(proposals["gt"])
    assert len(read_proposals(proposals["learned"])) == 2 * len(SPLITS)


def test_captioners_learn_at_their_published_size_for_two_steps(road: Road, captioners: list[Path]) -> None:
    for manifest, (name, seed) in zip(captioners, members(road), strict=True):
        facts = read_manifest(manifest).facts
        features = road.config.train_captioner[name].features
        assert (facts["architecture"]["hidden"], facts["features"], facts["seed"]) == (512, features, seed)
        assert facts["combination"]["lacking"] == {"vggish": 1}
        assert facts["rehearsal"] == "epochs ended after 2 steps"
        assert len((manifest.parent / "metrics.jsonl").read_text().splitlines()) >= 1


def test_the_ensemble_says_something_about_every_event(
    road: Road, proposals: dict[str, Path], captioners: list[Path]
) -> None:
    section = road.config.generate_captions.canonical()
    for kind in ("gt", "learned"):
        given = proposals[kind]
        told = {"proposals": given, "split": "test"}
        said = [
            road.run(generate_captions, section, f"captions/{number}-{kind}.json", captioner=captioner, **told)
            for number, captioner in enumerate(captioners)
        ]
        chosen = road.folder / "captions" / f"ensemble-{kind}.json"
        chosen_by = json.loads(road.config.select_captions.canonical())
        chosen_by["members"] = [{"captioner": name, "seed": seed} for name, seed in members(road)]
        words = ["--config", json.dumps(chosen_by), "--output", str(chosen), "--captions"]
        words += [str(path) for path in said]
        words += [word for name in ("concepts", "idf") for word in (f"--{name}", str(road.folder / f"{name}.json"))]
        assert select_captions.main(words) == 0
        results = json.loads(chosen.read_text())["results"]
        wanted = read_proposals(given)
        assert len(results) == 2
        assert {video: len(events) for video, events in results.items()} == {
            video: len(wanted[video]) for video in results
        }
