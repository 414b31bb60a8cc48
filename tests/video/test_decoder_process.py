"""Another process decodes re-encoded videos: the same frames and samples, errors by their kind, crashes as errors."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import write_video

from pipeline.video.decode import DecodeError
from pipeline.video.decoder_process import DecoderProcess
from pipeline.video.ffmpeg_pipe import CrashedDecoderError, DamagedError, KilledDecoderError
from pipeline.video.media_streams import NoAudioError
from pipeline.video.reencoded_stream import iter_needed_frames, iter_reencoded_audio

FPS = Fraction(30)


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("plain.mp4", "96x64", ("-bf", "3")),
        ("bt709.mp4", "96x64", ("-colorspace", "bt709", "-color_range", "tv")),
        ("full range.mp4", "96x64", ("-pix_fmt", "yuvj420p")),
        ("larger.mp4", "322x182", ()),
        ("odd.mp4", "95x63", ("-pix_fmt", "yuv444p")),
    ],
)
def test_frames_and_samples_are_those_of_this_process(
    tmp_path: Path, name: str, size: str, options: tuple[str, ...]
) -> None:
    path = write_video(tmp_path / name, size=size, fps="30", sound=True, options=options)
    indices = range(0, 60, 4)
    with DecoderProcess() as process:
        for _ in range(2):  # the same process
            frames = list(process.iter_frames(path, indices, FPS, timeout_s=60.0))
            samples = np.concatenate(list(process.iter_audio(path, 16000, timeout_s=60.0)))
    assert [frame.time for frame in frames] == [index / FPS for index in indices]
    for frame, other in zip(frames, iter_needed_frames(path, lambda time: time * FPS in indices), strict=True):
        assert (frame.time, frame.duration) == (other.time, other.duration)
        np.testing.assert_array_equal(frame.to_rgb(), other.to_rgb())
    np.testing.assert_array_equal(samples, np.concatenate(list(iter_reencoded_audio(path, 16000))))


def test_videos_of_growing_sizes_and_unfinished_ones_share_a_process(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{size}.mp4", size=size, fps="30") for size in ("64x48", "320x240", "96x64")]
    with DecoderProcess() as process:
        next(process.iter_frames(paths[1], range(60), FPS))
        for path in [*paths, *paths]:
            images = [frame.to_rgb() for frame in process.iter_frames(path, range(60), FPS)]
            others = [frame.to_rgb() for frame in iter_needed_frames(path, lambda _: True)]
            np.testing.assert_array_equal(images, others)


def test_errors_have_their_kind_and_the_next_video_is_decoded(shared: Path, tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", fps="30")
    with DecoderProcess() as process:
        with pytest.raises(DamagedError, match=r"corrupted\.mp4"):
            list(process.iter_frames(shared / "data" / "videos" / "corrupted.mp4", range(200), FPS))
        with pytest.raises(NoAudioError, match=r"good\.mp4"):
            list(process.iter_audio(good, 16000))
        with pytest.raises(DecodeError, match=r"gone\.mp4"):
            list(process.iter_frames(tmp_path / "gone.mp4", range(200), FPS))
        assert len(list(process.iter_frames(good, range(60), FPS))) == 60


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("kill -SEGV $$", CrashedDecoderError, "SIGSEGV"),
        ("exit 7", CrashedDecoderError, "status 7"),
        ("kill -KILL $$", KilledDecoderError, "-9"),
    ],
)
def test_the_end_of_the_process_is_an_error_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[DecodeError], words: str
) -> None:
    monkeypatch.setattr("pipeline.video.decoder_process.COMMAND", ("sh", "-c", script))
    with DecoderProcess() as process:
        for _ in range(2):
            with pytest.raises(kind, match=rf"v\.mp4: .*{words}"):
                list(process.iter_frames(tmp_path / "v.mp4", [0], FPS))
