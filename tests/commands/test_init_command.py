"""`sa-tsp init`: from folders of videos and captions to the settings of a dataset."""

from pathlib import Path

import pytest
import yaml
from helpers.annotation_formats import Events, write_elan, write_label_studio, write_srt
from helpers.video_files import write_video

from pipeline.commands.init import main
from pipeline.config import load
from pipeline.datasets.assemble import EVENT_LABEL, assemble_corpus

FILMS = [f"film_{number:02d}" for number in range(10)]
EVENTS: Events = {name: [(0, 1200, "A man runs."), (1000, 2900, "He stops.")] for name in FILMS}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten videos of 3 s, twice as wide as they are high."""
    folder = tmp_path_factory.mktemp("films")
    film = write_video(folder / f"{FILMS[0]}.mp4", seconds=3, size="128x64")
    for name in FILMS[1:]:
        (folder / f"{name}.mp4").hardlink_to(film)
    return folder


@pytest.fixture(autouse=True)
def in_project(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder like the project's, with the films and subtitles in it."""
    defaults = Path("config/config.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    load._read_once.cache_clear()  # it knows files of other tests by the same relative paths
    Path("config/datasets").mkdir(parents=True)
    Path("config/config.yaml").symlink_to(defaults)
    Path("films").symlink_to(films)
    write_srt(Path("captions"), EVENTS)


def init(name: str, *words: str) -> int:
    return main([name, "--videos", "films/", *(words or ("--captions", "captions/"))])


def configure(name: str) -> load.Config:
    return load.load_config(name, {})


def failing(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert init(*words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_subtitles_become_a_dataset_of_one_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("mine") == 0
    output = capsys.readouterr().out
    assert "config/datasets/mine.yaml" in output
    for guess in ("6 train, 2 val, 2 test", f"'{EVENT_LABEL}'", "without a GPU"):
        assert guess in output
        assert guess in Path("config/datasets/mine.yaml").read_text(), "the file says what was guessed"
    tables = assemble_corpus(configure("mine").build_corpus)
    splits = [row.split for row in tables.videos]
    assert {split: splits.count(split) for split in splits} == {"train": 6, "val": 2, "test": 2}
    assert {segment.label for segment in tables.segments} == {EVENT_LABEL}
    assert len(tables.captions) == 20
    assert tables.rejects == []


def test_the_pictures_have_the_shape_of_the_videos() -> None:
    init("mine")
    clip = configure("mine").pretrain_encoder["sa_tsp"].clip
    assert (clip.height, clip.width) == (72, 144)
    assert configure("mine").reencode.short_side == 72


def test_readers_and_their_settings_are_written() -> None:
    write_elan(Path("elan"), EVENTS)
    assert init("with_elan", "--captions", "elan", "--reader", "elan", "--set", "tier=Captions") == 0
    assert configure("with_elan").build_corpus.readers == {"elan": {"name": "elan", "tier": "Captions"}}
    write_label_studio(Path(), EVENTS)
    assert init("with_export", "--captions", "export.json") == 0
    assert configure("with_export").build_corpus.readers == {"export.json": "label_studio"}


def test_videos_without_captions_and_captions_without_videos_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("captions/film_00.srt").rename("captions/film_x.srt")
    assert init("mine") == 0
    output = capsys.readouterr().out
    assert "film_x" in output
    assert "film_00.mp4" in output
    corpus = configure("mine").build_corpus
    assert corpus.missing == "allow"
    assert "missing: allow" in output
    assert sum(row.path is not None for row in assemble_corpus(corpus).videos) == 9


def test_a_dataset_is_replaced_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    init("mine")
    path = Path("config/datasets/mine.yaml")
    before = path.read_text()
    path.write_text("reencode: {crf: 20}\n")
    error = failing(capsys, "mine")
    assert str(path) in error
    assert "--overwrite" in error
    assert init("mine", "--captions", "captions/", "--overwrite") == 0
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(before)


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["Mine"], ["'Mine'", "small letters"]),
        (["mine_s1"], ["'mine_s1'", "variant"]),
        (["mine_smoke"], ["'mine_smoke'", "variant"]),
        (["mine", "--captions", "nowhere/"], ["nowhere"]),
        (["mine", "--captions", "films/"], ["films", ".srt"]),
        (["mine", "--captions", "two"], ["2 of its 10 videos", "3"]),
        (["mine", "--captions", "latin"], ["film_00.srt", "line 3", "iconv"]),
    ],
)
def test_an_error_leaves_no_file(capsys: pytest.CaptureFixture[str], words: list[str], facts: list[str]) -> None:
    write_srt(Path("two"), {name: EVENTS[name] for name in FILMS[:2]})
    Path("latin").mkdir()
    Path("latin/film_00.srt").write_bytes("1\n00:00:00,000 --> 00:00:01,000\nMädchen\n".encode("cp1252"))
    error = failing(capsys, *words)
    for fact in facts:
        assert fact in error
    assert list(Path("config/datasets").iterdir()) == []


def test_init_outside_of_the_project_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config/datasets").rmdir()
    error = failing(capsys, "mine")
    assert "config/datasets" in error
    assert "folder of the project" in error
