"""One pass gives every extractor the windows that it would get alone, whatever the batches and the format."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.extraction import (
    CPU,
    Brightness,
    Loudness,
    MeanColour,
    extract_all,
    extract_rows,
    record_decoded_files,
    write_encoder,
)
from helpers.films import write_film
from helpers.video_corpus import counting_frames, write_h264, write_video_shard
from helpers.video_files import write_video

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.reencode import Reencode
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import central_crop_offset, stack_clips, transform_clip
from pipeline.encoders.pretrained import read_encoder
from pipeline.features.extraction.extractor_pass import extract_features
from pipeline.features.extraction.sources import VideoSource, find_sources
from pipeline.features.extraction.writer import FeatureWriter
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.store import FeatureStore
from pipeline.video.encode import reencode_video
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.shard import ReencodedVideo, ReencodedVideos
from pipeline.video.stream import TimedFrame, iter_frames


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    sizes = {"v_b": (70, (24, 32)), "v_a": (33, (48, 20)), "v_c": (9, (24, 32)), "v_d": (12, (24, 32))}
    videos = {video: counting_frames(frames, size) for video, (frames, size) in sizes.items()}
    return write_video_shard(tmp_path / "video" / "0000", videos)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_rows_are_the_encoders_features_of_the_clips(tmp_path: Path, shard: Path, batch_size: int) -> None:
    pretrained = read_encoder(write_encoder(tmp_path / "encoder"))
    clip, videos = pretrained.clip, ReencodedVideos.read([shard]).by_id
    extractor = VideoEncoderExtractor("tiny", pretrained, 3, CPU)
    rows = extract_rows(extractor, find_sources([shard]), batch_size=batch_size)
    reader, crop = ClipReader(videos, clip), central_crop_offset(clip, (clip.height, clip.width))
    clips = [
        transform_clip(torch.from_numpy(reader.read("v_b", start)), clip, crop, flip=False)
        for start in range(0, 18 - 4 + 1, 3)
    ]
    with torch.no_grad():
        expected = torch.cat([pretrained.encoder(stack_clips([frames])) for frames in clips])
    np.testing.assert_allclose(rows["v_b"], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_features_do_not_depend_on_batch_size_and_order_of_videos(tmp_path: Path, shard: Path, batch_size: int) -> None:
    extractor = VideoEncoderExtractor("tiny", read_encoder(write_encoder(tmp_path / "encoder")), 2, CPU)
    sources = find_sources([shard])
    expected = extract_rows(extractor, sources)
    rows = extract_rows(extractor, sources[::-1], batch_size=batch_size, threads=2)
    assert rows.keys() == expected.keys()
    for video in expected:
        np.testing.assert_allclose(rows[video], expected[video], atol=1e-4)


@pytest.mark.parametrize(("frames", "num_rows"), [(543, 17), (542, 16), (420, 13), (31, 1), (30, 1)])
def test_tsps_geometry_gives_the_published_numbers_of_rows(tmp_path: Path, frames: int, num_rows: int) -> None:
    images = [np.full((16, 16, 3), index % 250, dtype=np.uint8) for index in range(frames)]
    path = write_h264(tmp_path / "v.mp4", images)
    reencoded = ReencodedVideo("v", frames, 30.0, 16, 16, audio=False, path=path)
    for source in (VideoSource("v", path, reencoded), VideoSource("v", path)):
        assert len(extract_rows(MeanColour(ClipGeometry()), [source])["v"]) == num_rows


@pytest.mark.parametrize(("fps", "frames"), [("30000/1001", 30), ("25", 25), ("24", 25), ("50", 51)])
def test_padded_marks_videos_shorter_than_one_window(tmp_path: Path, fps: str, frames: int) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=9, fps=fps, options=("-frames:v", str(frames)))
    [clips] = extract_all([MeanColour(ClipGeometry())], [VideoSource("v", path)])["v"]
    [single_frames] = extract_all([Brightness("b", 15.0, 1, 1)], [VideoSource("v", path)])["v"]
    assert clips.padded == (len(single_frames.rows) < 16)


def test_extractors_of_all_rates_share_one_decode(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = record_decoded_files(monkeypatch)
    grids = {"a": (30.0, 3, 2), "b": (7.5, 2, 5), "c": (20.0, 1, 4), "d": (60.0, 4, 4)}
    extractors = [Brightness(name, *grid) for name, grid in grids.items()]
    together = extract_all(extractors, find_sources([shard]), batch_size=3)
    assert sorted(decoded) == sorted(path.name for path in shard.parent.glob("*.mp4"))
    for index, extractor in enumerate(extractors):
        alone = extract_rows(extractor, find_sources([shard]))
        for video, results in together.items():
            np.testing.assert_array_equal(results[index].rows, alone[video])
    frame_indices = (together["v_b"][1].rows - 20) / 2  # frame i has the brightness 2 i + 20
    np.testing.assert_allclose(frame_indices, [[0, 4], [20, 24], [40, 44], [60, 64]], atol=0.6)
    frame_indices = (together["v_b"][2].rows[:, 0] - 20) / 2
    np.testing.assert_allclose(frame_indices, range(0, 70, 6), atol=0.6)


def test_raw_videos_of_any_format_give_the_features_of_their_reencoded_videos(tmp_path: Path) -> None:
    fine = ("-crf", "10")
    formats: dict[str, tuple[str, tuple[str, ...]]] = {
        "a.mp4": ("30", fine),
        "b.mkv": ("25", fine),
        "c.avi": ("24", ("-c:v", "mpeg4", "-q:v", "2")),
        "d.webm": ("12", ("-c:v", "libvpx", "-b:v", "2M")),
        "e.ts": ("30000/1001", fine),
        "f.mov": ("60", (*fine, "-bf", "3")),
    }
    constant_rate = ("-crf", "4", "-filter:v", "fps=fps=30")
    for name, (fps, options) in formats.items():
        write_video(tmp_path / "raw" / name, seconds=3, fps=fps, options=options)
        write_video(tmp_path / "cfr" / f"{name[0]}.mp4", seconds=3, fps=fps, options=constant_rate)
    clip = ClipGeometry(fps=15.0, frames=8, height=64, width=96, crop=64)
    raw, constant = (extract_rows(MeanColour(clip), find_sources([tmp_path / folder])) for folder in ("raw", "cfr"))
    for video in "abcdef":
        assert len(raw[video]) == len(constant[video]) == 3, video
        np.testing.assert_allclose(raw[video], constant[video], atol=3.0, err_msg=video)


def test_rotated_videos_are_decoded_upright(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mp4", seconds=1)
    ffmpeg = [str(find_ffmpeg()), "-nostdin", "-loglevel", "error"]
    rotate = ["-display_rotation", "90", "-i", str(plain), "-c", "copy", str(tmp_path / "rotated.mp4")]
    subprocess.run([*ffmpeg, *rotate], check=True)
    subprocess.run(
        [*ffmpeg, "-i", str(tmp_path / "rotated.mp4"), "-crf", "0", str(tmp_path / "upright.mp4")], check=True
    )
    rotated, upright = (
        [frame.to_rgb() for frame in iter_frames(tmp_path / name)] for name in ("rotated.mp4", "upright.mp4")
    )
    assert rotated[0].shape == (96, 64, 3)
    np.testing.assert_allclose(rotated[5].astype(int), upright[5].astype(int), atol=12)


def test_sound_is_cut_into_windows(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "loud.mp4", seconds=3, sound=True)
    write_video(tmp_path / "videos" / "mute.mp4", seconds=3)
    write_video(tmp_path / "videos" / "tone.m4a", seconds=3, sound=True, options=("-map", "1:a"))
    results = extract_all([Brightness("b", 10.0, 5, 5), Loudness()], find_sources([tmp_path / "videos"]))
    assert results["mute"][1].reason == "no_sound"
    assert results["tone"][0].reason == "no_video"
    for video in ("loud", "tone"):
        sound = results[video][1]
        assert sound.rows.shape == (5, 10)
        assert sound.duration == pytest.approx(3, abs=0.1)
        np.testing.assert_allclose(sound.rows[:4], 1 / 128, rtol=0.1)  # ffmpeg's sine has an amplitude of 1/8
    assert results["loud"][0].rows.shape == results["mute"][0].rows.shape == (6, 5)


def test_damaged_sound_costs_no_feature_of_the_frames(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mkv", audio=("-c:a", "flac"), options=("-bsf:a", "noise=50"))
    frames, sound = extract_all([Brightness("b", 10.0, 5, 5), Loudness()], [VideoSource("v", tmp_path / "v.mkv")])["v"]
    assert frames.rows.shape == (4, 5)
    assert sound.reason == "decode_error"
    assert "v.mkv" in sound.detail


def test_whatever_a_decoder_raises_costs_its_video_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write_film(tmp_path / f"{name}.mkv")

    def failing(path: Path, **options: Any) -> Iterator[TimedFrame]:
        for index, frame in enumerate(iter_frames(path, **options)):
            if path.stem == "a" and index == 20:
                raise ZeroDivisionError("of the decoder")
            yield frame

    monkeypatch.setattr("pipeline.features.extraction.windows.iter_frames", failing)
    results = extract_all([Brightness("b", 10.0, 5, 5)], find_sources([tmp_path]))
    assert results["a"][0].reason == "decode_error"
    assert "ZeroDivisionError" in results["a"][0].detail
    assert results["b"][0].rows.shape == (4, 5)


@pytest.mark.parametrize(
    ("name", "frames", "num_rows", "sound_s"),
    [("v_GGSY1Qvo990", (542, 543), (16, 17), 18.158), ("v_ZNVhz7ctTq0", (420,), (13,), 14.048)],
)
def test_real_videos_have_the_published_numbers_of_frames_and_rows(
    tmp_path: Path, shared: Path, name: str, frames: tuple[int, ...], num_rows: tuple[int, ...], sound_s: float
) -> None:
    raw, path = shared / "data" / "videos" / f"{name}.mp4", tmp_path / f"{name}.mp4"
    encoded = reencode_video(raw, path, Reencode(preset="ultrafast"))
    assert encoded.frames in frames
    reencoded = ReencodedVideo(name, encoded.frames, 30.0, encoded.width, encoded.height, audio=True, path=path)
    extractor = MeanColour(ClipGeometry())
    colours, loudness = extract_all([extractor, Loudness()], [VideoSource(name, path, reencoded)])[name]
    count = num_rows[frames.index(encoded.frames)]
    assert len(colours.rows) == count
    assert colours.rows.std(axis=0).min() > 0.01
    assert loudness.duration == pytest.approx(sound_s, abs=0.1)
    reader = ClipReader({name: reencoded}, ClipGeometry())
    expected = [reader.read(name, start).mean(axis=(0, 1, 2)) for start in range(0, 16 * count, 16)]
    np.testing.assert_allclose(colours.rows, expected, atol=1e-3)
    raw_rows = extract_rows(extractor, [VideoSource(name, raw)])[name]
    assert abs(len(raw_rows) - count) <= 1
    common = min(len(raw_rows), count)
    np.testing.assert_allclose(raw_rows[:common], colours.rows[:common], atol=2.0)


def test_nan_features_reject_their_video_alone(tmp_path: Path) -> None:
    class Failing(VideoEncoderExtractor):
        def __call__(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
            return super().__call__(windows) * torch.tensor([[torch.nan if w.mean() > 0 else 1.0] for w in windows])

    extractor = Failing("tiny", read_encoder(write_encoder(tmp_path / "encoder")), 4, CPU)
    videos = {"v_dark": np.zeros((20, 24, 32, 3), np.uint8), "v_light": np.full((20, 24, 32, 3), 255, np.uint8)}
    sources = find_sources([write_video_shard(tmp_path / "video" / "0000", videos)])
    with FeatureWriter(tmp_path / "f" / "manifest.json", extractor, {}) as writer:
        for source, [result] in extract_features(sources, [extractor], batch_size=4, device=CPU):
            writer.add(source, result, "digest")
        writer.write("drop", 1)
    store = FeatureStore(tmp_path / "f")
    assert set(store) == {"v_dark"}
    assert store.absent == {"v_light": "not_finite"}
