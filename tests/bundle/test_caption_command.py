"""`sa-tsp caption` writes captions and subtitles of any videos, resumes, and replaces nothing of anybody else."""

import csv
import json
import shutil
from pathlib import Path

import pysubs2
import pytest
from helpers.extraction import record_decoded_files
from helpers.model_folders import list_again, run_caption, write_untrained_model
from helpers.video_files import truncate, write_video

from pipeline.evaluation.predictions import read_predictions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that reads the picture; no test changes it."""
    return write_untrained_model(tmp_path_factory.mktemp("silent"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of different sizes, frame rates and containers."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "first.mp4", seconds=5, sound=True)
    write_video(folder / "second.webm", seconds=3, fps="15", size="64x96")
    write_video(folder / "odd name.avi", seconds=4, fps="24000/1001", size="160x120", sound=True)
    return folder


@pytest.fixture
def films(videos: Path, tmp_path: Path) -> Path:
    """A copy of the videos."""
    return Path(shutil.copytree(videos, tmp_path / "films"))


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def read_rejects(output: Path) -> dict[str, str]:
    with (output / "rejects.csv").open(newline="") as file:
        return {row["video"]: row["reason"] for row in csv.DictReader(file)}


def test_each_video_gets_its_files_and_the_broken_ones_a_reason(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "empty.mp4").touch()
    (films / "text.mp4").write_text("no video")
    truncate(write_video(tmp_path / "whole.mp4", seconds=3), films / "cut.mp4")
    output = tmp_path / "out"
    assert run_caption(films, "--model", model, "--output", output, "--formats", "srt", "vtt", "csv", "ass") == 3
    assert read_rejects(output).keys() == {"empty", "text", "cut"}
    assert read_rejects(output)["empty"] == "empty"
    table = capsys.readouterr().out
    assert all(f"\n{video}\t{reason}\t" in table for video, reason in read_rejects(output).items())
    results = read_predictions(output / "captions.json").results
    videos = {path.stem for path in films.iterdir()} - {"empty", "text", "cut"}
    assert results.keys() == videos
    names = {path.name for path in output.iterdir()}
    suffixes = ("srt", "vtt", "csv", "ass")
    assert names == {"captions.json", "rejects.csv", ".captions"} | {f"{v}.{s}" for v in videos for s in suffixes}
    for video, rows in results.items():
        assert all({"sentence", "timestamp", "proposal_score", "log_prob", "selected"} == row.keys() for row in rows)
        cues = pysubs2.load(str(output / f"{video}.vtt"))
        assert [cue.text for cue in cues] == [row["sentence"] for row in rows]
        times = [time for row in rows for time in row["timestamp"]]
        assert [time / 1000 for cue in cues for time in (cue.start, cue.end)] == pytest.approx(times, abs=1e-3)


def test_the_page_names_every_video_its_captions_and_what_was_left_out(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "empty.mp4").touch()
    output = tmp_path / "out"
    assert run_caption(films, "--model", model, "--output", output, "--html") == 3
    page = (output / "captions.html").read_text()
    for video, rows in read_predictions(output / "captions.json").results.items():
        assert f'"{video}"' in page
        assert all(row["sentence"] in page for row in rows)
    assert "no captions: empty" in page
    other = tmp_path / "other"
    other.mkdir()
    (other / "captions.html").write_text("mine")
    assert run_caption(films, "--model", model, "--output", other, "--html") == 2
    assert str(other / "captions.html") in error_line(capsys)
    assert (other / "captions.html").read_text() == "mine"


def test_captions_of_a_video_do_not_depend_on_the_others(model: Path, films: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert run_caption(films / "odd name.avi", "--model", model, "--output", alone) == 0
    assert run_caption(films, "--model", model, "--output", together) == 0
    results = [read_predictions(folder / "captions.json").results for folder in (alone, together)]
    assert results[0]["odd name"] == results[1]["odd name"]


def test_a_second_run_captions_only_what_is_new_or_changed(
    model: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    arguments = [films, "--model", model, "--output", output]
    assert run_caption(*arguments) == 0
    before = {path: path.read_bytes() for path in output.iterdir() if path.is_file()}
    video = next(path for path in films.iterdir() if path.suffix != ".avi").stem
    (output / f"{video}.srt").unlink()
    (output / "captions.json").unlink()
    names = record_decoded_files(monkeypatch)
    assert run_caption(*arguments) == 0
    assert names == []
    assert {path: path.read_bytes() for path in before} == before
    write_video(films / "odd name.avi", seconds=6, size="96x64")
    write_video(films / "new.mkv", seconds=2)
    assert run_caption(*arguments) == 0
    assert sorted(set(names)) == ["new.mkv", "odd name.avi"]
    assert (output / "new.srt").is_file()


def test_a_video_that_is_broken_now_loses_its_subtitles(model: Path, films: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run_caption(films, "--model", model, "--output", output) == 0
    (films / "first.mp4").write_bytes(b"no video")
    assert run_caption(films, "--model", model, "--output", output) == 3
    assert not list(output.glob("first.*"))
    assert read_predictions(output / "captions.json").results.keys() == {"second", "odd name"}


def test_captions_of_one_folder_are_collected_over_several_commands(model: Path, films: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for name in ("first.mp4", "second.webm", "first.mp4"):
        assert run_caption(films / name, "--model", model, "--output", output) == 0
    assert list(read_predictions(output / "captions.json").results) == ["first", "second"]


def test_a_run_that_was_stopped_continues(
    model: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    arguments = [films, "--model", model, "--output", output]
    last = sorted(path.stem for path in films.iterdir())[-1]
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.bundle.outputs.CaptionFiles.write_video", _stop_at(last))
        with pytest.raises(KeyboardInterrupt):
            run_caption(*arguments)
    assert not (output / "captions.json").exists()
    names = record_decoded_files(monkeypatch)
    assert run_caption(*arguments) == 0
    assert names == []  # the last one was finished too, but for its files
    assert (output / f"{last}.srt").is_file()


def _stop_at(video: str):  # type: ignore[no-untyped-def]
    from pipeline.bundle.outputs import CaptionFiles

    write_video_files = CaptionFiles.write_video

    def write_or_stop(files: CaptionFiles, name: str, events: list) -> None:  # type: ignore[type-arg]
        if name == video:
            raise KeyboardInterrupt
        write_video_files(files, name, events)

    return write_or_stop


def test_files_of_another_run_or_of_the_user_are_replaced_only_on_request(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, film = tmp_path / "out", films / "odd name.avi"
    output.mkdir()
    (output / "odd name.srt").write_text("my own subtitles")
    arguments = [film, "--model", model, "--output", output]
    assert run_caption(*arguments) == 2
    assert "odd name.srt" in error_line(capsys)
    assert (output / "odd name.srt").read_text() == "my own subtitles"
    assert [path.name for path in output.iterdir()] == ["odd name.srt"]
    assert run_caption(*arguments, "--overwrite") == 0
    assert "my own" not in (output / "odd name.srt").read_text()
    assert run_caption(*arguments, "--top", 1) == 2
    assert "--overwrite" in error_line(capsys)
    assert run_caption(*arguments, "--top", 1, "--overwrite") == 0
    assert len(pysubs2.load(str(output / "odd name.vtt"))) == 1
    assert run_caption(*arguments) == 2  # its files are now those of another run


def test_a_new_video_never_replaces_a_file_that_the_run_did_not_write(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run_caption(films / "odd name.avi", "--model", model, "--output", output) == 0
    other = next(path for path in films.iterdir() if path.suffix != ".avi")
    (output / f"{other.stem}.vtt").write_text("mine")
    assert run_caption(films, "--model", model, "--output", output) == 2
    assert f"{other.stem}.vtt" in error_line(capsys)
    assert (output / f"{other.stem}.vtt").read_text() == "mine"


def test_no_output_is_an_input(model: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = shutil.copy(films / "odd name.avi", films / "film.srt")
    assert run_caption(film, "--model", model, "--output", films) == 2
    assert "film.srt" in error_line(capsys)
    (films / "captions.json").write_text('{"results": {"odd name": [{"segment": [0, 1]}]}}')
    arguments = ["--model", model, "--output", films, "--proposals", films / "captions.json", "--overwrite"]
    assert run_caption(films / "odd name.avi", *arguments) == 2
    assert "captions.json" in error_line(capsys)


def test_two_videos_whose_subtitles_would_have_one_name_are_refused(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(films / "odd name.avi", films / "odd name.mp4")
    assert run_caption(films, "--model", model, "--output", tmp_path / "out") == 2
    error = error_line(capsys)
    assert "odd name.avi" in error
    assert "odd name.mp4" in error
    assert not (tmp_path / "out").exists()


def test_a_video_without_an_event_has_empty_files_and_is_no_failure(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run_caption(films / "odd name.avi", "--model", model, "--output", output, "--min-score", 0.9999) == 0
    assert json.loads((output / "captions.json").read_text())["results"] == {"odd name": []}
    assert len(pysubs2.load(str(output / "odd name.vtt"))) == 0
    assert "0.9999" in capsys.readouterr().err


def test_times_of_a_file_are_captioned_and_clipped_to_the_video(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, output = tmp_path / "times.csv", tmp_path / "out"
    table.write_text("video,start,end\nodd name,0.5,2\nodd name,3,900\nodd name,800,900\nother,0,1\n")
    assert run_caption(films, "--model", model, "--output", output, "--proposals", table) == 3
    results = read_predictions(output / "captions.json").results
    assert list(results) == ["odd name"]
    first, second = (row["timestamp"] for row in results["odd name"])
    assert first == [0.5, 2.0]
    assert second[0] == 3.0
    assert second[1] == pytest.approx(4.0, abs=0.1)
    assert set(read_rejects(output).values()) == {"no_proposals"}
    log = capsys.readouterr().err
    assert all(word in log for word in ("outside", "clipped", "other"))


def test_a_model_without_a_proposer_needs_times(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, output = shutil.copytree(model, tmp_path / "copy"), tmp_path / "out"
    list_again(copy, lambda text: text.update(proposals=None))
    assert run_caption(films, "--model", copy, "--output", output) == 2
    assert "--proposals" in error_line(capsys)
    table = tmp_path / "times.csv"
    table.write_text("video,start,end\nodd name,0.5,2\n")
    assert run_caption(films / "odd name.avi", "--model", copy, "--output", output, "--proposals", table) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.mp4"], "absent.mp4"),
        (["results.json"], "results.json: not a video"),
        (["film.avi", "--model", "nowhere"], "nowhere: no such model folder"),
        (["film.avi", "--proposals", "absent.csv"], "absent.csv"),
        (["film.avi", "--proposals", "others.csv"], "others.csv: names none of the videos"),
    ],
)
def test_wrong_arguments_are_one_plain_error(
    model: Path,
    films: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(films)
    shutil.move("odd name.avi", "film.avi")
    Path("others.csv").write_text("video,start,end\nanother,0,1\n")
    assert run_caption("--model", model, "--output", "out", *arguments) == 2
    assert message in error_line(capsys)
    assert not Path("out").exists()


def test_subtitles_may_lie_beside_the_videos(model: Path, films: Path) -> None:
    arguments = [films, "--model", model, "--output", films, "--formats", "srt", "vtt", "csv", "ass"]
    assert run_caption(*arguments) == 0
    before = sorted(path.name for path in films.iterdir())
    assert {"first.mp4", "first.srt", "captions.json", "rejects.csv"} <= set(before)
    assert run_caption(*arguments) == 0  # what the first run wrote is no video
    assert sorted(path.name for path in films.iterdir()) == before
