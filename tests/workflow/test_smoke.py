"""The paper's captioning at its real size, with two steps of each training, so that a real run does not fail late.

It uses the real annotations with their vocabulary and concepts, and random features with the shapes and time grids of
the real ones. The stages from videos to features take a CPU longer: docs/activitynet.md describes how to rehearse them.
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
    train_proposer,
)
from pipeline.config.extractors import EXTRACTORS
from pipeline.config.load import CONFIG, Config, load_config
from pipeline.config.propose_events import LearnedProposalSettings
from pipeline.datasets.corpus import Corpus
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.localization.proposals import read_proposals
from pipeline.provenance.manifest import read_manifest

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "enlarged", "val", "test")


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal.

    Attributes:
        folder: folder of its results.
        config: configuration of ActivityNet's rehearsal.
    """

    folder: Path
    config: Config

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus" / "manifest.json"

    def run(self, stage: object, section: str, output: str, **files: Path | str) -> Path:
        """Run a stage as its rule does, and return its output."""
        path = self.folder / output
        words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        inputs = ["--corpus", str(self.corpus), "--features", str(self.folder / "features")]
        assert stage.main(["--config", section, *inputs, *words, "--output", str(path)]) == 0  # type: ignore[attr-defined]
        return path

    def state(self, name: str) -> Path:
        return self.folder / "state" / name


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Rehearsal:
    """The real corpus with three videos of each split, its vocabulary, and random features of two of them."""
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
    rehearsal = Rehearsal(folder, load_config("anet_smoke", overlay, ROOT / CONFIG))
    words = ["--config", rehearsal.config.build_corpus.to_json(), "--output", str(rehearsal.corpus)]
    assert build_corpus.main(words) == 0
    names = {name: str(folder / f"{name}.json") for name in ("concepts", "vocabulary", "idf")}
    words = [word for name, file in names.items() for word in (f"--{name}", file)]
    section = rehearsal.config.mine_concepts.to_json()
    assert mine_concepts.main(["--config", section, "--corpus", str(rehearsal.corpus), *words]) == 0
    write_random_features(rehearsal)
    return rehearsal


def write_random_features(rehearsal: Rehearsal) -> None:
    """Write random features of every video; one video has no sound."""
    used = [row for row in Corpus.open(rehearsal.corpus).videos if row.path is not None]
    draw = np.random.default_rng(0)
    captioners = [entry.root for entry in rehearsal.config.train_captioner.values()]
    proposers = [entry.root for entry in rehearsal.config.train_proposer.values()]
    for name in {feature for network in (*captioners, *proposers) for feature in network.feature_names}:
        feature = rehearsal.config.extract_features[name].root
        spec = EXTRACTORS[getattr(feature, "extractor", "sa_tsp")]
        grid, items = spec.grid, []
        for row in used:
            clips = max(1, 1 + int((row.duration * grid.fps - grid.frames) // grid.stride))
            rows = draw.normal(size=(clips, spec.dim)).astype(np.float32)
            silent = name == "vggish" and row == used[0]
            items.append((row.video, row.duration, "no_audio" if silent else rows))
        manifest = rehearsal.folder / "features" / name / "0000" / "manifest.json"
        write_shard(manifest, items, dim=spec.dim, grid=ClipGrid(grid.fps, grid.frames, grid.stride), metadata={})


def members(rehearsal: Rehearsal) -> list[tuple[str, int]]:
    """Return the best combination of features and the widest one, which together have all features."""
    all_members = [(member.captioner, member.seed) for member in rehearsal.config.select_captions.members]
    return [all_members[0], all_members[-1]]


@pytest.fixture(scope="module")
def proposers(rehearsal: Rehearsal) -> dict[str, Path]:
    manifests = {}
    for name in rehearsal.config.used_proposers():
        if rehearsal.config.train_proposer[name].root.trained_encoder is not None:
            continue  # its captioner is another test's
        section = rehearsal.config.train_proposer[name].to_json()
        output = f"proposers/{name}/manifest.json"
        manifests[name] = rehearsal.run(train_proposer, section, output, state=rehearsal.state(f"proposer-{name}"))
    return manifests


@pytest.fixture(scope="module")
def proposals(rehearsal: Rehearsal, proposers: dict[str, Path]) -> dict[str, Path]:
    files = {}
    for name in ("gt", "learned", rehearsal.config.finetune_scst.proposals):
        section = rehearsal.config.propose_events[name]
        proposer = (
            {"proposer": proposers[section.root.proposer]} if isinstance(section.root, LearnedProposalSettings) else {}
        )
        files[name] = rehearsal.run(propose_events, section.to_json(), f"proposals/{name}.json", **proposer)
    return files


@pytest.fixture(scope="module")
def captioners(rehearsal: Rehearsal, proposals: dict[str, Path]) -> list[Path]:
    """Manifests of captioners that were trained by cross-entropy, then by SCST."""
    manifests = []
    for name, seed in members(rehearsal):
        section, vocabulary = rehearsal.config.train_captioner[name].to_json(), rehearsal.folder / "vocabulary.json"
        arguments = {"seed": str(seed), "state": rehearsal.state(f"{name}-{seed}")}
        manifest = f"captioners/{name}/{seed}/{{}}/manifest.json"
        trained = rehearsal.run(train_captioner, section, manifest.format("xe"), vocabulary=vocabulary, **arguments)
        scst = rehearsal.config.finetune_scst
        arguments |= {"captioner": trained, "proposals": proposals[scst.proposals]}
        manifests.append(rehearsal.run(finetune_scst, scst.to_json(), manifest.format("scst"), **arguments))
    return manifests


def test_vocabulary_and_concepts_have_the_size_of_the_real_run(rehearsal: Rehearsal) -> None:
    # 8,160 words, except for the nine pinned videos and two events without length.
    assert abs(len(json.loads((rehearsal.folder / "vocabulary.json").read_text())["words"]) - 8160) < 20
    assert len(json.loads((rehearsal.folder / "concepts.json").read_text())) == 1000
    used = [row.split for row in Corpus.open(rehearsal.corpus).videos if row.path is not None]
    assert {split: used.count(split) for split in SPLITS} == dict.fromkeys(SPLITS, 2), "two of the three videos"


def test_bmn_of_the_published_size_proposes_events(rehearsal: Rehearsal, proposals: dict[str, Path]) -> None:
    assert read_proposals(proposals["gt"])
    assert len(read_proposals(proposals["learned"])) == 2 * len(SPLITS)


def test_captioners_of_the_published_size_train_for_two_steps(rehearsal: Rehearsal, captioners: list[Path]) -> None:
    for manifest, (name, seed) in zip(captioners, members(rehearsal), strict=True):
        metadata = read_manifest(manifest).metadata
        features = rehearsal.config.train_captioner[name].root.features
        assert (metadata["architecture"]["hidden"], metadata["features"], metadata["seed"]) == (512, features, seed)
        assert metadata["combination"]["features"]["missing_videos"] == {"vggish": 1}
        assert metadata["rehearsal"] == "epochs ended after 2 steps"
        assert len((manifest.parent / "metrics.jsonl").read_text().splitlines()) >= 1


def test_the_ensemble_captions_every_event(
    rehearsal: Rehearsal, proposals: dict[str, Path], captioners: list[Path]
) -> None:
    section = rehearsal.config.generate_captions.to_json()
    for kind in ("gt", "learned"):
        arguments = {"proposals": proposals[kind], "split": "test"}
        captions = [
            rehearsal.run(
                generate_captions, section, f"captions/{number}-{kind}.json", captioner=captioner, **arguments
            )
            for number, captioner in enumerate(captioners)
        ]
        output = rehearsal.folder / "captions" / f"ensemble-{kind}.json"
        settings = json.loads(rehearsal.config.select_captions.to_json())
        settings["members"] = [{"captioner": name, "seed": seed} for name, seed in members(rehearsal)]
        words = ["--config", json.dumps(settings), "--output", str(output), "--captions"]
        words += [str(path) for path in captions]
        words += [
            word for name in ("concepts", "idf") for word in (f"--{name}", str(rehearsal.folder / f"{name}.json"))
        ]
        assert select_captions.main(words) == 0
        results = json.loads(output.read_text())["results"]
        events = read_proposals(proposals[kind])
        assert len(results) == 2
        assert {video: len(sentences) for video, sentences in results.items()} == {
            video: len(events[video]) for video in results
        }


def test_the_bi_modal_transformer_of_the_published_size_proposes_and_captions_events(
    rehearsal: Rehearsal, proposals: dict[str, Path]
) -> None:
    config = rehearsal.config
    proposer = config.train_proposer["bmt"].root
    assert proposer.trained_encoder is not None
    captioner = rehearsal.run(
        train_captioner,
        config.train_captioner[proposer.trained_encoder.captioner].to_json(),
        "captioners/bmt/0/xe/manifest.json",
        vocabulary=rehearsal.folder / "vocabulary.json",
        state=rehearsal.state("bmt-0"),
    )
    metadata = read_manifest(captioner).metadata
    words = metadata["sizes"]["vocabulary"]
    # With a learned embedding of 300 numbers a word; 27,413,169 are the others', with 10,173 words.
    assert metadata["parameters"] == 27_413_169 + 301 * (words - 10_173) + 300 * words
    assert metadata["rehearsal"] == "epochs ended after 2 steps"
    trained = rehearsal.run(
        train_proposer,
        proposer.to_json(),
        "proposers/bmt/manifest.json",
        captioner=captioner,
        state=rehearsal.state("proposer-bmt"),
    )
    output = rehearsal.run(
        propose_events, config.propose_events["bmt"].to_json(), "proposals/bmt.json", proposer=trained
    )
    of_videos = read_proposals(output)
    assert len(of_videos) == 2 * len(SPLITS)
    assert all(0 < len(of_video) <= 100 for of_video in of_videos.values())
    captions = rehearsal.run(
        generate_captions,
        config.generate_captions.to_json(),
        "captions/bmt-0-test-gt.json",
        captioner=captioner,
        proposals=proposals["gt"],
        split="test",
    )
    assert all(row["sentence"] for rows in json.loads(captions.read_text())["results"].values() for row in rows)
