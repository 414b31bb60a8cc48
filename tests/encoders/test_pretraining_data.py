"""Tests with the published tables, from the corpus to the clips of an epoch: exactly TSP's numbers."""

import csv
from pathlib import Path

import pytest

from pipeline.build_corpus import build
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.annotations import read_captions
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.pretraining_data import PretrainingData, build_pretraining_data
from pipeline.video.shard import ReencodedVideo


def build_data(tables: dict[str, Path], settings: dict[str, object], folder: Path) -> tuple[Corpus, PretrainingData]:
    """Build the corpus of TSP's tables, with a file for each of their videos, and the data of a pretraining.

    Args:
        tables: table of each subset.
        settings: further settings of the section build_corpus.
        folder: the folder to write to.
    """
    videos, rows = folder / "videos", {}
    videos.mkdir()
    for table in tables.values():
        with table.open(newline="") as file:
            for line in csv.DictReader(file):
                path = videos / line["filename"]
                frames, fps = int(line["video-frames"]), float(line["fps"])
                rows[path.stem] = ReencodedVideo(path.stem, frames, fps, 320, 240, False, path=path)
    for row in rows.values():
        row.path.touch()
    section = {
        "actions": [path.as_posix() for path in tables.values()],
        "subsets": {path.as_posix(): subset for subset, path in tables.items()},
        "videos": videos.as_posix(),
        "uncaptioned": "keep",
        "fractions": {"enlarged": 0.0, "val": 1.0, "test": 0.0},
        **settings,
    }
    manifest = folder / "corpus" / "manifest.json"
    build(BuildCorpus.parse(section, "build_corpus"), manifest)
    corpus = Corpus.open(manifest)
    return corpus, build_pretraining_data(corpus, rows, EncoderEntry(balance=False), [])


def counts(data: PretrainingData) -> tuple[int, int, int, int]:
    """Return the numbers of segments and clips of training, and of segments and clips of validation."""
    config = EncoderEntry(balance=False)
    return len(data.train.all), len(data.train_samples(1, config)), len(data.val.all), len(data.val_samples(config))


@pytest.mark.campaign
def test_activitynet_tables_give_tsps_segments_and_all_captioned_videos(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "activitynet_tsp"
    captions = shared / "data" / "activitynet_captions"
    tables = {
        "training": folder / "activitynet_v1-3_train_tsp_groundtruth.csv",
        "validation": folder / "activitynet_v1-3_valid_tsp_groundtruth.csv",
    }
    settings = {
        "captions_train": str(captions / "train.json"),
        "captions_val": [str(captions / f"val_{number}.json") for number in (1, 2)],
        "reversed_segments": "swap",
        "label_map": str(folder / "activitynet_v1-3_action_label_mapping.json"),
    }
    corpus, data = build_data(tables, settings, tmp_path)
    assert counts(data) == (31_187, 155_935, 15_305, 76_525)
    assert len(data.labels) == 200
    with_actions = {row.video for row in corpus.segments}
    for names, expected in ((("train.json",), 10_009), (("val_1.json", "val_2.json"), 4_917)):
        captioned = set().union(*(read_captions(captions / name) for name in names))
        assert len(captioned) == len(captioned & with_actions) == expected
    balanced = data.train_samples(1, EncoderEntry())
    assert len(balanced) == 2 * 5 * 15_231
    assert sum(sample.action >= 0 for sample in balanced) == 5 * 15_231


def test_thumos_tables_give_tsps_segments_without_captions(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "thumos14"
    tables = {
        "training": folder / "thumos14_valid_tsp_groundtruth.csv",
        "validation": folder / "thumos14_test_tsp_groundtruth.csv",
    }
    label_map = str(folder / "thumos14_action_label_mapping.json")
    _, data = build_data(tables, {"captions_train": None, "captions_val": [], "label_map": label_map}, tmp_path)
    assert counts(data) == (4_794, 5 * 4_794, 5_568, 5 * 5_568)
    assert (len(data.labels), len(data.videos)) == (20, 412)


@pytest.mark.parametrize("duplicates", ["keep", "drop"])
def test_duplicate_segments_count_as_in_tsp(shared: Path, tmp_path: Path, duplicates: str) -> None:
    table = shared / "data" / "activitynet_tsp" / "activitynet_v1-3_valid_tsp_groundtruth.csv"
    settings = {"captions_train": None, "captions_val": [], "duplicates": duplicates}
    _, data = build_data({"training": table}, settings, tmp_path)
    assert len(data.train.all) == (15_305 if duplicates == "keep" else 15_305 - 19)
