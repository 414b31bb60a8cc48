"""Tests of the clip loader: order, workers that live for all epochs, and files that cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import counting_frames, write_h264, write_video_shard

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.clip_loader import ClipBatch, ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import transform_clip
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.video.shard import ReencodedVideos

CLIP = ClipGeometry(frames=4, fps=15, height=24, width=32, crop=16)
CPU = torch.device("cpu")
SAMPLES = [
    ClipSample(video, first, 0, None, first % 8, first % 16, first % 3 == 0)
    for first in range(0, 17, 4)
    for video in ("v_a", "v_b")
]


@pytest.fixture
def videos(tmp_path: Path) -> ReencodedVideos:
    films = {"v_a": counting_frames(41), "v_b": counting_frames(60, (48, 20))}
    return ReencodedVideos.read([write_video_shard(tmp_path / "0000", films)])


def build_loader(videos: ReencodedVideos, workers: int = 0, cached: bool = False) -> ClipLoader:
    reader = ClipReader(videos.by_id, CLIP)
    if cached:
        reader.cache(videos.by_id, max_bytes=10**9, threads=1)
    return ClipLoader(reader, CLIP, CPU, workers)


def join_pixels(batches: Iterator[ClipBatch]) -> torch.Tensor:
    return torch.cat([batch.pixels for batch in batches])


@pytest.mark.parametrize(("workers", "cached"), [(0, False), (2, False), (2, True)])
def test_batches_keep_the_order_with_and_without_workers(videos: ReencodedVideos, workers: int, cached: bool) -> None:
    loader = build_loader(videos, workers, cached)
    reader = ClipReader(videos.by_id, CLIP)
    for _ in range(2):
        batches = list(loader.batches(SAMPLES, 4))
        assert [batch.samples for batch in batches] == [SAMPLES[:4], SAMPLES[4:8], SAMPLES[8:]]
        assert all(bool(batch.is_readable.all()) for batch in batches)
        for batch in batches:
            for sample, clip in zip(batch.samples, batch.pixels, strict=True):
                native = torch.from_numpy(reader.read(sample.video, sample.start_frame))
                expected = transform_clip(native, CLIP, (sample.top, sample.left), flip=sample.flip)
                assert torch.equal(clip, expected.permute(3, 0, 1, 2))


def test_batches_have_the_given_sizes(videos: ReencodedVideos) -> None:
    loader = build_loader(videos)
    assert [len(batch.samples) for batch in loader.batches(SAMPLES, [6, 0, 4])] == [6, 0, 4]
    assert [len(batch.samples) for batch in loader.batches(SAMPLES, [3, 3, 2, 2])] == [3, 3, 2, 2]
    assert torch.equal(join_pixels(loader.batches(SAMPLES, [3, 3, 2, 2])), join_pixels(loader.batches(SAMPLES, 10)))
    with pytest.raises(ValueError, match="sum to 6, but there are 10 clips"):
        list(loader.batches(SAMPLES, [3, 3]))


def test_workers_live_for_all_epochs_and_read_the_clips_of_each(
    videos: ReencodedVideos, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = torch.multiprocessing.get_context("fork").Process.start
    monkeypatch.setattr(
        torch.multiprocessing.get_context("fork").Process, "start", lambda self: (started.append(1), start(self))[1]
    )
    loader = build_loader(videos, workers=1)
    first = join_pixels(loader.batches(SAMPLES, 4))
    assert torch.equal(join_pixels(loader.batches(SAMPLES[::-1], 3)), first.flip(0))
    next(loader.batches(SAMPLES, 2))
    assert torch.equal(join_pixels(loader.batches(SAMPLES[2:], 4)), first[2:]), "after an interrupted epoch"
    assert len(started) == 1


def damage(videos: ReencodedVideos, kind: str) -> None:
    """Damage the file of v_b so that it cannot be read, or not to its end."""
    path = videos.by_id["v_b"].path
    if kind == "unreadable":
        path.write_bytes(b"no video")
    elif kind == "absent":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:  # short: far fewer frames than its table states
        write_h264(path, counting_frames(8, (48, 20)))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["unreadable", "absent", "truncated", "short"])
def test_batches_mask_and_report_an_unreadable_file(videos: ReencodedVideos, workers: int, kind: str) -> None:
    whole = join_pixels(build_loader(videos).batches(SAMPLES, 4))
    damage(videos, kind)
    loader = build_loader(videos, workers)
    batches = list(loader.batches(SAMPLES, 4))
    readable = torch.cat([batch.is_readable for batch in batches])
    expected = [sample.video == "v_a" or (kind == "short" and sample.start_frame == 0) for sample in SAMPLES]
    assert readable.tolist() == expected
    clips = torch.cat([batch.pixels for batch in batches])
    assert torch.equal(clips[readable], whole[readable])
    assert not (clips[~readable] == 0).all(), "masked rows hold frames too"
    assert loader.unreadable.keys() == {"v_b"}
    assert "v_b.mp4: " in loader.unreadable["v_b"]
    (row,) = loader.rejects()
    assert row == RejectedVideo("v_b", "clips", "unreadable", loader.unreadable["v_b"])
    with pytest.raises(PipelineError, match=r"1 of 2 videos of the epoch are unreadable \(.*v_b\.mp4"):
        loader.check_unreadable(SAMPLES, 0.4)
    loader.check_unreadable(SAMPLES, 0.5)
    loader.check_unreadable(SAMPLES[:1], 0.0)


def test_batches_mask_all_rows_if_no_clip_is_readable(videos: ReencodedVideos) -> None:
    damage(videos, "absent")
    samples = [sample for sample in SAMPLES if sample.video == "v_b"]
    (batch,) = build_loader(videos).batches(samples, len(samples))
    assert not batch.is_readable.any()
    assert batch.pixels.shape == (len(samples), 3, 4, 16, 16)


def test_batches_mask_an_unreadable_file_among_cached_videos(videos: ReencodedVideos) -> None:
    damage(videos, "unreadable")
    loader = build_loader(videos, cached=True)
    assert [batch.is_readable.tolist() for batch in loader.batches(SAMPLES[:2], 2)] == [[True, False]]


def test_batches_have_the_global_feature_of_each_video(
    videos: ReencodedVideos, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    reader = ClipReader(videos.by_id, CLIP)
    reader.cache(videos.by_id, max_bytes=10**9, threads=1)
    loader = ClipLoader(reader, CLIP, CPU, 0, ["v_b", "v_a"], table)
    without = build_loader(videos)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file was opened"))
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    features = [batch.global_features for batch in loader.batches(SAMPLES, 4)]
    assert torch.equal(torch.cat(features), table[torch.tensor([1, 0] * 5)])
    assert all(batch.global_features is None for batch in without.batches(SAMPLES, 4))
