"""`sa-tsp annotations check`: what a run would see, what is odd, and errors of one line."""

from pathlib import Path

import pytest
from helpers.annotation_formats import WRITERS, Events, write_csv, write_elan, write_srt
from helpers.video_files import write_video

from pipeline.commands.annotations import SOMETHING_ODD, main
from pipeline.config import load

FILMS = ("anna", "ben", "carl", "dora")
EVENTS: Events = {name: [(0, 1000, "A man runs."), (1000, 2900, "He stops.")] for name in FILMS}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four videos of 3 s."""
    folder = tmp_path_factory.mktemp("films")
    film = write_video(folder / f"{FILMS[0]}.mp4", seconds=3)
    for name in FILMS[1:]:
        (folder / f"{name}.mp4").hardlink_to(film)
    return folder


@pytest.fixture(autouse=True)
def in_folder_of_files(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a new folder, in which `films` are the videos."""
    monkeypatch.chdir(tmp_path)
    load._read_once.cache_clear()  # it knows files of other tests by the same relative paths
    Path("films").symlink_to(films)


def check(*words: str) -> int:
    return main(["check", *words, "--videos", "films"])


def failing(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["check", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


@pytest.mark.parametrize("format_name", WRITERS)
def test_annotations_of_every_format_are_described(format_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    written = WRITERS[format_name](Path("captions"), EVENTS)
    words = ["--reader", "elan", "--set", "tier=Captions"] if format_name == "elan" else []
    assert check(str(written.path), *words) == 0
    report = capsys.readouterr().out
    for fact in ("4 of films (train 2, val 1, test 1)", "events: 8", "words: 20", "'event'", "odd: nothing"):
        assert fact in report


def test_odd_annotations_are_listed_with_what_becomes_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    events = {
        "anna": [(-500, 1000, "negative"), (500, 2000, "overlapping"), (2000, 9000, "long")],
        "ben": [(5000, 6000, "after the end"), (0, 1000, ""), (0, 100, "short"), (0, 2000, "fine")],
        "carl": EVENTS["carl"],
        "Dora": EVENTS["dora"],
    }
    write_csv(Path(), events)
    assert check("captions.csv") == SOMETHING_ODD
    report = capsys.readouterr().out.splitlines()
    kinds = {line.split(" x ")[1].split(":")[0].split(",")[0] for line in report if " x " in line}
    assert kinds == {
        "event that starts before 0 s",
        "event that overlaps another one of the same annotator",
        "event that ends after its video",
        "event outside its video",
        "event without a text",
        "event shorter than 0.5 s",
        "annotated",
        "video file without captions",
    }
    details = " ".join(report)
    assert "there is dora.mp4" in details
    assert "'long'" in details
    assert "3.0 s" in details


def test_a_language_in_the_name_of_subtitles_is_odd(capsys: pytest.CaptureFixture[str]) -> None:
    write_srt(Path("captions"), {**{name: EVENTS[name] for name in FILMS[:3]}, "dora.en": EVENTS["dora"]})
    assert check("captions") == SOMETHING_ODD
    [line] = [line for line in capsys.readouterr().out.splitlines() if "no file dora.en" in line]
    assert "there is dora.mp4" in line


def test_subtitles_may_lie_beside_their_videos(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("both").mkdir()
    for name in FILMS:
        Path("both", f"{name}.mp4").hardlink_to(Path("films", f"{name}.mp4").resolve())
    write_srt(Path("both"), EVENTS)
    assert main(["check", *map(str, Path("both").glob("*.srt")), "--videos", "both"]) == 0
    assert "both (4 x srt)" in capsys.readouterr().out


def test_two_annotations_of_one_video_are_an_error_that_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    write_srt(Path("captions"), EVENTS)
    Path("captions/ben.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nA man.\n")
    error = failing(capsys, "captions", "--videos", "films")
    assert "ben.srt" in error
    assert "ben.vtt" in error


def test_several_files_are_several_annotators(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("first"), EVENTS)
    write_csv(Path("second"), {name: EVENTS[name] for name in FILMS[:3]})
    status = check("first/captions.csv", "second/captions.csv")
    report = capsys.readouterr().out
    assert "annotator 1: 8, annotator 2: 6" in report
    assert (status == SOMETHING_ODD) == ("1 of 2 annotators" in report)


def test_a_dataset_is_checked_as_it_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(Path(), EVENTS)
    Path("config/datasets").mkdir(parents=True)
    Path("config/config.yaml").write_text("")
    Path("config/datasets/mine.yaml").write_text(
        "build_corpus: {actions: [], captions_train: null, captions_val: [captions.csv], videos: films,"
        " fractions: {enlarged: 0.0, val: 0.0, test: 0.0, train: 1.0}}"
    )
    assert main(["check", "--dataset", "mine"]) == 0
    assert "(train 4)" in capsys.readouterr().out
    assert "no dataset 'main'" in failing(capsys, "--dataset", "main")


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["captions.csv"], ["--videos"]),
        (["captions.csv", "--videos", "nowhere"], ["nowhere", "no such folder"]),
        (["films", "--videos", "films"], ["films", ".srt", ".eaf"]),
        (["none.csv", "--videos", "films"], ["none.csv: no such file"]),
        (["elan", "--videos", "films"], ["anna.eaf", "'Captions' with 2", "`tier`"]),
        (["elan", "--reader", "elan", "--set", "tier=Caption", "--videos", "films"], ["anna.eaf", "'Captions'"]),
        (["elan", "--reader", "elan", "--set", "layer=x", "--videos", "films"], ["layer", "tier"]),
        (["captions.csv", "--set", "tier=x", "--videos", "films"], ["--set", "--reader"]),
        (["captions.csv", "--reader", "excel", "--videos", "films"], ["'excel'", "caption_table"]),
        (["captions.csv", "--set", "tier", "--reader", "elan", "--videos", "films"], ["--set tier", "KEY=VALUE"]),
        (["wrong.json", "--videos", "films"], ["wrong.json", "activitynet_captions", "label_studio", "via"]),
        (["other.csv", "--videos", "films"], ["0 of its 4 videos", "other.csv", "stranger"]),
        (["captions.csv", "--dataset", "mine"], ["--dataset"]),
        (["srt/anna.srt", "--videos", "films"], ["srt/ben.srt", "folder"]),
    ],
)
def test_an_error_is_one_line_with_what_to_change(
    capsys: pytest.CaptureFixture[str], words: list[str], facts: list[str]
) -> None:
    write_csv(Path(), EVENTS)
    write_srt(Path("srt"), EVENTS)
    write_elan(Path("elan"), EVENTS)
    Path("other.csv").write_text("video,start,end,caption\nstranger,0,1,A man.\n")
    Path("wrong.json").write_text("{}[")
    error = failing(capsys, *words)
    for fact in facts:
        assert fact in error
