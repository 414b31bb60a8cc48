"""Build the corpus: every annotation is in a table or in the rejects, and every error is one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.build_corpus import main
from pipeline.datasets.corpus import Corpus

Settings = dict[str, Any]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One training, two validation and one testing video; settings that point at them."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for name in ("v_t.mp4", "v_a.mkv", "v_b.webm", "v_s.mp4"):
        Path("videos", name).write_bytes(b"")
    save("train.json", {"v_t": event([[0.5, 4], [3, 10.5]], [" A man  runs. ", "He stops."])})
    save("val_1.json", {"v_a": event([[0, 5]], ["A dog."]), "v_b": event([[1, 2]], ["A cat."])})
    save("val_2.json", {"v_a": event([[0, 4]], ["One dog."])})
    action = {"segment": [1, 5], "label": "Running"}
    past = {"segment": [6, 12], "label": "Running"}
    empty = {"segment": [0, 0], "label": "Running"}
    save(
        "actions.json",
        {
            "database": {
                "t": {"subset": "training", "duration": 10, "annotations": [action, past, empty, action]},
                "a": {"subset": "validation", "duration": 10, "annotations": []},
                "s": {"subset": "testing", "duration": 7, "annotations": []},
                "x": {"subset": "training", "duration": 7, "annotations": []},
            }
        },
    )
    return {
        "actions": ["actions.json"],
        "captions_train": "train.json",
        "captions_val": ["val_1.json", "val_2.json"],
        "videos": "videos",
        "duplicates": "drop",
        "pins": {"v_a": "test", "v_b": "val"},
        "shards": 2,
    }


def event(times: list[list[float]], sentences: list[str]) -> dict[str, Any]:
    return {"duration": 10, "timestamps": times, "sentences": sentences}


def save(name: str, data: Any) -> None:
    Path(name).write_text(json.dumps(data))


def run(settings: Settings) -> int:
    return main(["--config", json.dumps(settings), "--output", "corpus/manifest.json"])


def failing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(settings) == 2
    assert not Path("corpus/manifest.json").exists()
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_build_corpus_writes_each_annotation_once(dataset: Settings) -> None:
    assert run(dataset) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    splits = {row.video: row.split for row in corpus.videos}
    assert splits == {"v_t": "train", "v_a": "test", "v_b": "val", "v_s": "submission"}
    assert {row.video: row.duration for row in corpus.videos}["v_s"] == 7
    assert [(row.start, row.end) for row in corpus.segments] == [(1, 5), (6, 10)]
    assert [(row.video, row.annotator, row.sentence) for row in corpus.captions] == [
        ("v_a", 1, "A dog."),
        ("v_a", 2, "One dog."),
        ("v_b", 1, "A cat."),
        ("v_t", 1, "A man runs."),
        ("v_t", 1, "He stops."),
    ]
    counts = corpus.manifest.metadata["counts"]
    assert (counts["clipped_segment"], counts["empty_segment"], counts["duplicate_segment"]) == (2, 1, 1)
    assert counts["actions_of_uncaptioned_videos"] == 1
    assert [row.reason for row in corpus.rejects] == ["empty_segment", "duplicate_segment"]


def test_duplicate_segments_are_kept_by_duplicates_keep(dataset: Settings) -> None:
    run(dataset | {"duplicates": "keep"})
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [(row.start, row.end) for row in corpus.segments] == [(1, 5), (6, 10), (1, 5)]


TABLE = """video-name,t-start,t-end,action-label,video-duration,temporal-region-label
t,1,5,Running,10,Action
t,6,12,,10,No action
u,0,3,Diving,7,Action
"""


def test_readers_selects_the_reader_of_a_file_without_the_usual_suffix(dataset: Settings) -> None:
    Path("actions.table").write_text(TABLE)
    named = dataset | {"actions": ["actions.table"], "readers": {"actions.table": "tsp_csv"}}
    assert run(named) == 0
    labels = [row.label for row in Corpus.open(Path("corpus/manifest.json")).segments]
    assert labels == ["Running", None]


@pytest.fixture
def tables(dataset: Settings) -> Settings:
    """The dataset with its actions in a table; one action is of a video without captions."""
    Path("actions.csv").write_text(TABLE)
    Path("videos/u.mp4").write_bytes(b"")
    Path("labels.json").write_text('["Running", "Diving", "Sleeping"]')
    return dataset | {"actions": ["actions.csv"]}


def test_background_of_tsp_tables_is_read(tables: Settings) -> None:
    run(tables)
    corpus = Corpus.open(Path("corpus/manifest.json"))
    segments = [(row.video, row.start, row.end, row.label) for row in corpus.segments]
    assert segments == [("v_t", 1, 5, "Running"), ("v_t", 6, 10, None)]
    assert corpus.has_annotated_background
    assert corpus.labels == ["Running"]
    run(tables | {"background": "gaps"})
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [row.label for row in corpus.segments] == ["Running"]
    assert not corpus.has_annotated_background


def test_uncaptioned_videos_are_kept_by_uncaptioned_keep(tables: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    keep = tables | {"uncaptioned": "keep"}
    assert "build_corpus.subsets" in failing(keep, capsys)
    for subset, split in (("training", "train"), ("testing", "submission")):
        assert run(keep | {"subsets": {"actions.csv": subset}}) == 0
        corpus = Corpus.open(Path("corpus/manifest.json"))
        assert {row.video: row.split for row in corpus.videos}["u"] == split
    assert run(keep | {"subsets": {"actions.csv": "validation"}, "pins": {"u": "val", "v_a": "test"}}) == 0
    assert {row.video: row.split for row in Corpus.open(Path("corpus/manifest.json")).videos}["u"] == "val"


def test_a_corpus_without_captions_is_built(tables: Settings) -> None:
    none = {"captions_train": None, "captions_val": [], "uncaptioned": "keep", "pins": {}}
    assert run(tables | none | {"subsets": {"actions.csv": "training"}}) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [(row.video, row.split) for row in corpus.videos] == [("u", "train"), ("v_t", "train")]
    assert corpus.captions == []


def test_label_map_orders_the_classes(tables: Settings) -> None:
    run(tables | {"label_map": "labels.json"})
    assert Corpus.open(Path("corpus/manifest.json")).labels == ["Running", "Diving", "Sleeping"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Running"], "labels.json: video u has label 'Diving', which is none of the 1 classes of the label map"),
        (["Running", "Running"], "labels.json: expected a JSON list of action classes, each once"),
        ({"Running": 0}, "labels.json: expected a JSON list"),
    ],
)
def test_a_label_missing_in_the_label_map_is_an_error(
    tables: Settings, capsys: pytest.CaptureFixture[str], labels: Any, expected: str
) -> None:
    save("labels.json", labels)
    assert expected in failing(tables | {"label_map": "labels.json"}, capsys)


def test_references_are_the_annotated_captions_of_a_split(dataset: Settings) -> None:
    run(dataset)
    first, second = Corpus.open(Path("corpus/manifest.json")).references("test")
    assert json.loads(first.read_text()) == {"v_a": event([[0, 5]], ["A dog."])}
    assert json.loads(second.read_text()) == {"v_a": event([[0, 4]], ["One dog."])}


def test_build_corpus_twice_gives_equal_bytes(dataset: Settings) -> None:
    run(dataset)
    before = Path("corpus/manifest.json").read_bytes()
    run(dataset)
    assert Path("corpus/manifest.json").read_bytes() == before


def test_missing_videos_fail_or_are_rejected(dataset: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/v_t.mp4").unlink()
    error = failing(dataset, capsys)
    assert "1 of 4 annotated videos are missing (v_t" in error
    assert "build_corpus.missing: allow" in error
    assert run(dataset | {"missing": "allow"}) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [row.video for row in corpus.videos_of_splits("train")] == []
    assert ("v_t", "missing") in {(row.video, row.reason) for row in corpus.rejects}


def test_a_folder_without_any_annotated_video_is_an_error_even_with_missing_allow(
    dataset: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in Path("videos").iterdir():
        path.unlink()
    assert "holds none of the 4 annotated videos" in failing(dataset | {"missing": "allow"}, capsys)
    assert "no such folder of videos" in failing(dataset | {"videos": "nowhere"}, capsys)


def test_reversed_segments_fail_or_are_swapped(dataset: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    save("train.json", {"v_t": event([[4, 1]], ["A man runs."])})
    error = failing(dataset, capsys)
    assert "train.json: video v_t, event 0: starts at 4.0 s after it ends at 1.0 s" in error
    assert run(dataset | {"reversed_segments": "swap"}) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [(row.start, row.end) for row in corpus.captions if row.video == "v_t"] == [(1, 4)]
    assert corpus.manifest.metadata["counts"]["swapped_segment"] == 1


def test_truncated_annotations_are_an_error_with_file_and_line(
    dataset: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path("train.json").read_text()
    Path("train.json").write_text(whole[: len(whole) // 2])
    assert "train.json: captions is not valid JSON at line 1" in failing(dataset, capsys)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"captions_train": "nope.json"}, "nope.json: no such captions"),
        ({"pins": {"v_t": "test"}}, "pins names 'v_t', which no validation file captions"),
        ({"captions_val": ["train.json"], "pins": {}}, "video v_t is captioned for training and validation"),
        ({"actions": ["actions.json", "actions.json"]}, "is annotated in another file too"),
        ({"shards": 0}, "build_corpus.shards = 0"),
        ({"captions_train": None}, "without captions_train there are no training videos"),
        ({"captions_val": []}, "captions_val must name the validation set's captions"),
        ({"subsets": {"other.csv": "training"}}, "subsets names 'other.csv'"),
        ({"shard": 1}, "unknown key build_corpus.shard"),
        ({"readers": {"other.csv": "tsp_csv"}}, "readers names 'other.csv'"),
        ({"readers": {"actions.json": "tsp"}}, "'tsp' is no reader of actions"),
        ({"readers": {"train.json": "activitynet_json"}}, "'activitynet_json' is no reader of captions"),
    ],
)
def test_wrong_settings_of_build_corpus_are_errors(
    dataset: Settings, capsys: pytest.CaptureFixture[str], change: Settings, expected: str
) -> None:
    assert expected in failing(dataset | change, capsys)


def test_an_empty_test_split_is_an_error(dataset: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    pins = {"pins": {"v_a": "val", "v_b": "val"}}
    assert "none of the 2 validation videos is in the split test" in failing(dataset | pins, capsys)
    assert run(dataset | pins | {"fractions": {"test": 0.0}}) == 0


def test_side_files_of_videos_are_passed_over_and_counted(
    dataset: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("v_t.srt", "v_t.info.json", "notes.TXT", "v_t.jpg", "v_t.webp", "v_t.mp4.part"):
        Path("videos", name).write_text("any content")
    assert run(dataset) == 0
    log = capsys.readouterr().err
    assert "4 texts and pictures" in log
    assert "v_t.webp" in log
    assert "v_t.mp4.part" in log


def test_build_corpus_rejects_two_files_of_one_video(dataset: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/v_t.avi").write_bytes(b"")
    assert "the same name up to the suffix" in failing(dataset, capsys)


def test_build_corpus_of_the_real_annotations_with_two_videos(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = shared / "data"
    settings = {
        "actions": [
            str(data / "activitynet_tsp" / f"activitynet_v1-3_{subset}_tsp_groundtruth.csv")
            for subset in ("train", "valid")
        ],
        "captions_train": str(data / "activitynet_captions" / "train.json"),
        "captions_val": [str(data / "activitynet_captions" / f"val_{number}.json") for number in (1, 2)],
        "videos": str(data / "videos"),
        "reversed_segments": "swap",
        "pins": {"v_GGSY1Qvo990": "test"},
    }
    assert "14924 of 14926 annotated videos are missing" in failing(settings, capsys)
    error = failing(settings | {"reversed_segments": "fail", "missing": "allow"}, capsys)
    assert "video v_0bosp4-pyTM" in error or "video v_rhOtqArO-3Y" in error
    assert run(settings | {"missing": "allow"}) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert [row.video for row in corpus.videos_of_splits("train", "test")] == ["v_GGSY1Qvo990", "v_ZNVhz7ctTq0"]
    counts = corpus.manifest.metadata["counts"]
    assert (counts["missing"], counts["swapped_segment"], counts["captions"]) == (14924, 2, 71955)


def test_limit_videos_uses_the_first_videos_of_each_split(dataset: Settings) -> None:
    save("val_1.json", {name: event([[0, 5]], ["A dog."]) for name in ("v_a", "v_b", "v_c", "v_d")})
    for name in ("v_c.mp4", "v_d.mp4"):
        Path("videos", name).write_bytes(b"")
    pins = {"v_a": "test", "v_b": "val", "v_c": "test", "v_d": "test"}
    Path("videos/v_a.mkv").unlink()
    assert run(dataset | {"pins": pins, "limit_videos": 1, "missing": "allow"}) == 0
    corpus = Corpus.open(Path("corpus/manifest.json"))
    assert {row.video for row in corpus.videos if row.path} == {"v_t", "v_b", "v_c", "v_s"}
    reasons = {row.video: row.reason for row in corpus.rejects if row.source == "videos"}
    assert reasons == {"v_a": "missing", "v_d": "over_limit"}
    assert {row.video for row in corpus.captions} == {"v_t", "v_a", "v_b", "v_c", "v_d"}
