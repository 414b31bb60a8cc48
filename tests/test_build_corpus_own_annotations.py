"""The corpus of people's own videos: folders of subtitles, measured durations, no action labels, one annotator."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.annotation_formats import Events, write_csv, write_srt
from helpers.video_files import write_video

from pipeline.build_corpus import main
from pipeline.datasets.assemble import EVENT_LABEL
from pipeline.datasets.corpus import Corpus

Settings = dict[str, Any]
FILMS = ("a", "b", "c")
EVENTS: Events = {name: [(500, 1500, f"{name} runs."), (1000, 9000, f"{name} stops.")] for name in FILMS}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 2 s."""
    folder = tmp_path_factory.mktemp("films")
    film = write_video(folder / "a.mp4", seconds=2)
    for name in FILMS[1:]:
        (folder / f"{name}.mp4").hardlink_to(film)
    return folder


@pytest.fixture
def dataset(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of three films with subtitles, one of each split."""
    monkeypatch.chdir(tmp_path)
    write_srt(Path("captions"), EVENTS)
    return {
        "actions": [],
        "captions_train": None,
        "captions_val": ["captions"],
        "videos": str(films),
        "pins": {"a": "train", "b": "val", "c": "test"},
    }


def run(settings: Settings) -> int:
    return main(["--config", json.dumps(settings), "--output", "corpus/manifest.json"])


def build(settings: Settings) -> Corpus:
    assert run(settings) == 0
    return Corpus.open(Path("corpus/manifest.json"))


def failing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(settings) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_a_folder_of_subtitles_of_one_annotator_is_a_whole_corpus(dataset: Settings) -> None:
    corpus = build(dataset)
    assert {row.video: row.split for row in corpus.videos} == {"a": "train", "b": "val", "c": "test"}
    assert {row.annotator for row in corpus.captions} == {1}
    [reference] = corpus.references("test")
    assert json.loads(reference.read_text())["c"]["sentences"] == ["c runs.", "c stops."]
    files = set(corpus.manifest.metadata["annotations"])
    assert files == {f"captions/{name}.srt" for name in FILMS}, "every file is recorded with its sha256"


def test_durations_that_no_annotation_states_are_measured(dataset: Settings) -> None:
    corpus = build(dataset)
    assert [row.duration for row in corpus.videos] == pytest.approx([2.0] * 3, abs=0.05)
    assert [(row.start, row.end) for row in corpus.captions if row.video == "a"] == [
        (0.5, 1.5),
        (1.0, pytest.approx(2.0, abs=0.05)),
    ], "a cue past the end is cut there"
    assert corpus.manifest.metadata["counts"]["clipped_segment"] == 3


def test_without_actions_every_event_of_the_first_annotator_has_one_label(
    dataset: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(Path("second"), {"b": [(0, 700, "Another one.")], "c": EVENTS["c"]})
    corpus = build(dataset | {"captions_val": ["captions", "second/captions.csv"]})
    assert corpus.labels == [EVENT_LABEL]
    starts = [(row.video, row.start) for row in corpus.segments]
    assert starts == [(name, start) for name in FILMS for start in (0.5, 1.0)]
    assert corpus.manifest.metadata["counts"]["events_as_actions"] == 6
    log = capsys.readouterr().err
    assert f"'{EVENT_LABEL}'" in log
    assert "6 captioned events" in log
    assert {row.video for row in corpus.captions if row.annotator == 2} == {"b", "c"}


def test_a_video_that_cannot_be_measured_is_a_reject_and_keeps_its_events(dataset: Settings, films: Path) -> None:
    Path("films").mkdir()
    for name in FILMS[:2]:
        Path("films", f"{name}.mp4").hardlink_to(films / f"{name}.mp4")
    Path("films/c.mp4").write_text("no video")
    corpus = build(dataset | {"videos": "films"})
    assert [(row.video, row.reason) for row in corpus.rejects] == [("c", "unmeasured")]
    assert "c.mp4" in corpus.rejects[0].detail
    assert max(row.end for row in corpus.captions if row.video == "c") == 9.0
    assert json.loads(corpus.references("test")[0].read_text())["c"]["duration"] is None


def test_empty_and_late_cues_are_rejects_and_negative_times_are_cut(dataset: Settings) -> None:
    events = {**EVENTS, "a": [(0, 500, "<i></i>"), (3000, 4000, "late")], "b": [(0, 1000, "x")]}
    write_srt(Path("captions"), events)
    write_csv(Path("negative"), {"a": [(-1000, 500, "early")]})
    corpus = build(dataset | {"captions_val": ["captions", "negative/captions.csv"]})
    assert [(row.video, row.reason) for row in corpus.rejects] == [("a", "empty_sentence"), ("a", "empty_segment")]
    [early] = [row for row in corpus.captions if row.video == "a"]
    assert (early.start, early.end, early.sentence, early.annotator) == (0.0, 0.5, "early", 2)


def test_fractions_divide_the_videos_without_a_training_file(dataset: Settings) -> None:
    parts = {"enlarged": 0.0, "val": 0.0, "test": 0.0, "train": 1.0}
    corpus = build(dataset | {"pins": {"c": "test"}, "fractions": parts})
    assert {row.video: row.split for row in corpus.videos} == {"a": "train", "b": "train", "c": "test"}


def test_training_captions_may_be_a_folder_too(dataset: Settings) -> None:
    for name in FILMS:
        Path("train" if name == "a" else "rest").mkdir(exist_ok=True)
        Path(f"captions/{name}.srt").rename(f"{'train' if name == 'a' else 'rest'}/{name}.srt")
    pins = {"b": "val", "c": "test"}
    corpus = build(dataset | {"captions_train": "train", "captions_val": ["rest"], "pins": pins})
    assert {row.video: row.split for row in corpus.videos} == {"a": "train", "b": "val", "c": "test"}


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"pins": {"b": "val", "c": "test"}}, ["fractions.train"]),
        ({"captions_val": ["empty"]}, ["empty", ".srt"]),
        ({"readers": {"captions": {"name": "srt", "tier": "x"}}}, ["readers.srt.tier"]),
        ({"readers": {"captions": {"tier": "x"}}}, ["None is no reader of captions"]),
        ({"fractions": {"train": 0.5}}, ["enlarged + val + test + train"]),
        ({"captions_val": []}, ["no captions", "uncaptioned: keep"]),
        ({"captions_val": [], "uncaptioned": "keep"}, ["no annotations"]),
        ({"captions_val": ["twice"]}, ["twice/a.srt", "twice/a.vtt", "video a"]),
    ],
)
def test_wrong_settings_and_files_are_errors(
    dataset: Settings, capsys: pytest.CaptureFixture[str], change: Settings, facts: list[str]
) -> None:
    Path("empty").mkdir()
    write_srt(Path("twice"), EVENTS)
    Path("twice/a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nA man.\n")
    error = failing(dataset | change, capsys)
    for fact in facts:
        assert fact in error
