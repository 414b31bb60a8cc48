"""Videos that people have: silent ones, sound without a picture, turned and damaged ones, and long ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.extraction import record_decoded_files
from helpers.films import run_ffmpeg
from helpers.measurements import Measurements
from helpers.model_folders import list_again, run_caption, write_untrained_model
from helpers.video_files import flip_bytes, truncate, write_video
from helpers.workflow_sandbox import ROOT

from pipeline.bundle.model import Model
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import read_predictions

TEN_S = 10.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that reads the picture."""
    return write_untrained_model(tmp_path_factory.mktemp("picture"))


@pytest.fixture(scope="module")
def hearing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that reads picture and sound; videos may lack sound."""
    folder = tmp_path_factory.mktemp("sound")
    return write_untrained_model(folder, features=("seen", "heard"), missing="zeros")


def test_a_silent_video_is_captioned_if_the_model_allows_it(hearing_model: Path, tmp_path: Path) -> None:
    loud = write_video(tmp_path / "loud.mp4", seconds=4, sound=True)
    silent = write_video(tmp_path / "silent.mp4", seconds=4)
    model = Model.open(hearing_model, device="cpu")
    captions = [model.caption(path) for path in (loud, silent)]
    assert all(captions)
    # Both show the same, so only the sound can change the probabilities of the words.
    assert [(one.start, one.end) for one in captions[0]] == [(one.start, one.end) for one in captions[1]]
    assert [one.log_prob for one in captions[0]] != [one.log_prob for one in captions[1]]


def test_a_silent_video_is_left_out_if_the_model_needs_sound(tmp_path: Path) -> None:
    folder = write_untrained_model(tmp_path / "model", features=("seen", "heard"))
    silent = write_video(tmp_path / "silent.mp4", seconds=4)
    with pytest.raises(PipelineError, match=r"silent\.mp4.*sound.*heard"):
        Model.open(folder, device="cpu").caption(silent)


def test_a_bi_modal_model_captions_films_with_and_without_sound(tmp_path: Path) -> None:
    folder = write_untrained_model(tmp_path, features=("seen", "heard"), missing="zeros", bimodal=True)
    model = Model.open(folder, device="cpu")
    for sound in (True, False):
        events = model.caption(write_video(tmp_path / f"{sound}.mp4", seconds=6, sound=sound))
        assert 0 < len(events) <= 4
        assert all(event.sentence and event.end <= 6.1 for event in events)


def test_a_bi_modal_model_may_need_sound(tmp_path: Path) -> None:
    folder = write_untrained_model(tmp_path, features=("seen", "heard"), bimodal=True)
    with pytest.raises(PipelineError, match="no sound, and the model needs the feature heard"):
        Model.open(folder, device="cpu").caption(write_video(tmp_path / "silent.mp4", seconds=4, sound=False))


def test_a_video_is_decoded_once_for_all_features(
    hearing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_video(tmp_path / "film.mp4", seconds=4, sound=True)
    names = record_decoded_files(monkeypatch)
    assert Model.open(hearing_model, device="cpu").caption(film)
    assert names == ["film.mp4"]


def write_odd_files(folder: Path) -> dict[str, str | None]:
    """Write odd files; return the reason of the rejection of each, None for those that are captioned."""
    whole = write_video(folder / "whole.mp4", seconds=4, sound=True, options=("-movflags", "+faststart"))
    write_video(folder / "one frame.mp4", seconds=0.04)
    write_video(folder / "4 fps.mkv", seconds=5, fps="4")
    write_video(folder / "tall.mov", seconds=2, size="50x210")
    run_ffmpeg("-i", whole, "-vf", "fps=10", folder / "animation.gif")
    run_ffmpeg("-i", whole, "-vn", folder / "sound only.m4a")
    truncate(whole, folder / "cut.mp4")
    flip_bytes(whole, folder / "flipped.mp4", 300)
    (folder / "empty.avi").touch()
    (folder / "page.webm").write_text("<html>404</html>")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "notes.txt").write_text("no video, and ignored")
    captioned = dict.fromkeys(["whole", "4 fps", "tall", "animation"])
    return captioned | {
        "one frame": "still_image",
        "sound only": "no_video",
        "cut": "cut_short",
        "flipped": "decode_error",
        "empty": "empty",
        "page": "unreadable",
        "gone": "unreadable",
    }


def test_every_odd_file_has_a_stated_outcome(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = tmp_path / "films"
    films.mkdir()
    expected = write_odd_files(films)
    assert run_caption(films, "--model", model, "--output", tmp_path / "out") == 3
    table = dict(line.split("\t")[:2] for line in capsys.readouterr().out.splitlines() if line.count("\t") == 2)
    del table["video"]
    assert table == {video: reason for video, reason in expected.items() if reason}
    results = read_predictions(tmp_path / "out" / "captions.json").results
    assert results.keys() == {video for video, reason in expected.items() if reason is None}
    assert all(results.values())


def test_real_files_are_captioned_or_left_out_with_a_reason(model: Path, shared: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    status = run_caption(shared / "data" / "videos", "--model", model, "--output", output)
    results = read_predictions(output / "captions.json").results
    videos = {path.stem for path in (shared / "data" / "videos").iterdir() if path.suffix != ".json"}
    rejects = {line.split(",")[0] for line in (output / "rejects.csv").read_text().splitlines()[1:]}
    assert results.keys() | rejects == videos
    assert not results.keys() & rejects
    assert status == (3 if rejects else 0)
    assert {"v_GGSY1Qvo990", "v_ZNVhz7ctTq0", "av1_video", "h264_10bits"} <= results.keys()


def test_the_progress_moves_within_a_film(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    class Recorder:
        def __init__(self, unit: str, total: int) -> None:
            assert (unit, total) == ("MB of video", 100)

        def step(self, count: int = 1) -> None:
            steps.append(count)

    monkeypatch.setattr("pipeline.bundle.run.Progress", Recorder)
    monkeypatch.setattr("pipeline.bundle.run._size_of", lambda _: 100_000_000)
    list_again(model, lambda text: text["features"]["seen"]["settings"].update(batch_size=4))
    film = write_video(tmp_path / "film.mp4", seconds=TEN_S)
    assert run_caption(film, "--model", model, "--output", tmp_path / "out") == 0
    assert sum(steps) == 100
    assert len(steps) > 3


@pytest.mark.campaign
def test_a_long_film_needs_no_more_memory_than_a_short_one(
    model: Path, tmp_path: Path, measurements: Measurements
) -> None:
    short = write_video(tmp_path / "short.mp4", seconds=60, size="640x360", options=("-preset", "ultrafast"))
    long = tmp_path / "long.mp4"
    run_ffmpeg("-stream_loop", "59", "-i", short, "-c", "copy", long)
    peaks = [_peak_mb(film, model, tmp_path / film.stem) for film in (short, long)]
    measurements.add_row("caption, peak memory", film="1 min", mb=peaks[0])
    measurements.add_row("caption, peak memory", film="60 min", mb=peaks[1])
    assert peaks[1] < peaks[0] + 100


def _peak_mb(film: Path, model: Path, output: Path) -> float:
    """Return the peak memory of a command [MB]."""
    code = "import resource, sys; from pipeline.commands.caption import main; status = main(sys.argv[1:]); "
    code += "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    words = [sys.executable, "-c", code, film, "--model", model, "--output", output, "--device", "cpu"]
    process = subprocess.run(list(map(str, words)), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return float(process.stdout.split("peak")[1]) / 1000
