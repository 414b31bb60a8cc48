"""Batches come in order and prepared, epoch after epoch from the same workers; bad files never end an epoch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import counting, shoot, write_videos

from pipeline.config.pretrain_encoder import Clip
from pipeline.datasets.corpus import REJECTS
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clips import Sample
from pipeline.encoders.geometry import prepare
from pipeline.encoders.loader import Batch, Loader
from pipeline.errors import PipelineError
from pipeline.video.shard import Videos

CLIP = Clip(frames=4, fps=15, height=24, width=32, crop=16)
CPU = torch.device("cpu")
SAMPLES = [
    Sample(video, first, 0, None, first % 8, first % 16, first % 3 == 0)
    for first in range(0, 17, 4)
    for video in ("v_a", "v_b")
]


@pytest.fixture
def videos(tmp_path: Path) -> Videos:
    films = {"v_a": counting(41), "v_b": counting(60, (48, 20))}
    return Videos.read([write_videos(tmp_path / "0000", films)])


def loader(videos: Videos, workers: int = 0, cached: bool = False) -> Loader:
    reader = ClipReader(videos.rows, CLIP)
    if cached:
        reader.cache(videos.rows, limit=10**9, threads=1)
    return Loader(reader, CLIP, CPU, workers)


def joined(batches: Iterator[Batch]) -> torch.Tensor:
    return torch.cat([batch.clips for batch in batches])


@pytest.mark.parametrize(("workers", "cached"), [(0, False), (2, False), (2, True)])
def test_batches_keep_the_order_whoever_reads(videos: Videos, workers: int, cached: bool) -> None:
    given = loader(videos, workers, cached)
    reader = ClipReader(videos.rows, CLIP)
    for _ in range(2):
        found = list(given.batches(SAMPLES, 4))
        assert [batch.samples for batch in found] == [SAMPLES[:4], SAMPLES[4:8], SAMPLES[8:]]
        assert all(bool(batch.readable.all()) for batch in found)
        for batch in found:
            for sample, clip in zip(batch.samples, batch.clips, strict=True):
                native = torch.from_numpy(reader.read(sample.video, sample.first))
                alone = prepare(native, CLIP, (sample.top, sample.left), flip=sample.flip)
                assert torch.equal(clip, alone.permute(3, 0, 1, 2))


def test_batches_have_the_sizes_that_are_asked_for(videos: Videos) -> None:
    given = loader(videos)
    assert [len(batch.samples) for batch in given.batches(SAMPLES, [6, 0, 4])] == [6, 0, 4]
    assert [len(batch.samples) for batch in given.batches(SAMPLES, [3, 3, 2, 2])] == [3, 3, 2, 2]
    assert torch.equal(joined(given.batches(SAMPLES, [3, 3, 2, 2])), joined(given.batches(SAMPLES, 10)))
    with pytest.raises(ValueError, match="batches of 6 clips in all, of 10"):
        list(given.batches(SAMPLES, [3, 3]))


def test_workers_live_on_and_read_what_each_epoch_asks_for(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = torch.multiprocessing.get_context("fork").Process.start
    monkeypatch.setattr(
        torch.multiprocessing.get_context("fork").Process, "start", lambda self: (started.append(1), start(self))[1]
    )
    given = loader(videos, workers=1)
    first = joined(given.batches(SAMPLES, 4))
    assert torch.equal(joined(given.batches(SAMPLES[::-1], 3)), first.flip(0))
    next(given.batches(SAMPLES, 2))
    assert torch.equal(joined(given.batches(SAMPLES[2:], 4)), first[2:]), "after an epoch that was broken off"
    assert len(started) == 1


def damage(videos: Videos, how: str) -> None:
    """Make v_b's file one that cannot be read, or not to its end."""
    path = videos.rows["v_b"].path
    if how == "unreadable":
        path.write_bytes(b"no video")
    elif how == "absent":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:  # short: far fewer frames than its table says
        shoot(path, counting(8, (48, 20)))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("how", ["unreadable", "absent", "truncated", "short"])
def test_a_bad_file_is_masked_and_reported_and_the_epoch_goes_on(videos: Videos, workers: int, how: str) -> None:
    whole = joined(loader(videos).batches(SAMPLES, 4))
    damage(videos, how)
    given = loader(videos, workers)
    found = list(given.batches(SAMPLES, 4))
    readable = torch.cat([batch.readable for batch in found])
    good = [sample.video == "v_a" or (how == "short" and sample.first == 0) for sample in SAMPLES]
    assert readable.tolist() == good
    clips = torch.cat([batch.clips for batch in found])
    assert torch.equal(clips[readable], whole[readable])
    assert not (clips[~readable] == 0).all(), "rows that are masked show pictures too"
    assert given.unreadable.keys() == {"v_b"}
    assert "v_b.mp4: " in given.unreadable["v_b"]
    (row,) = given.rows()
    assert row.keys() == set(REJECTS.names)
    assert (row["video"], row["reason"], row["detail"]) == ("v_b", "unreadable", given.unreadable["v_b"])
    with pytest.raises(PipelineError, match=r"1 of 2 videos of the epoch are unreadable \(.*v_b\.mp4"):
        given.check(SAMPLES, 0.4)
    given.check(SAMPLES, 0.5)
    given.check(SAMPLES[:1], 0.0)


def test_a_batch_of_which_nothing_can_be_read_is_all_masked(videos: Videos) -> None:
    damage(videos, "absent")
    only = [sample for sample in SAMPLES if sample.video == "v_b"]
    (batch,) = loader(videos).batches(only, len(only))
    assert not batch.readable.any()
    assert batch.clips.shape == (len(only), 3, 4, 16, 16)


def test_a_bad_file_among_videos_in_memory_is_masked_too(videos: Videos) -> None:
    damage(videos, "unreadable")
    given = loader(videos, cached=True)
    assert [batch.readable.tolist() for batch in given.batches(SAMPLES[:2], 2)] == [[True, False]]


def test_each_clip_comes_with_the_global_feature_of_its_video(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    reader = ClipReader(videos.rows, CLIP)
    reader.cache(videos.rows, limit=10**9, threads=1)
    given = Loader(reader, CLIP, CPU, 0, ["v_b", "v_a"], table)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file was opened"))
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    found = [batch.globals for batch in given.batches(SAMPLES, 4)]
    assert torch.equal(torch.cat(found), table[torch.tensor([1, 0] * 5)])
    assert all(batch.globals is None for batch in loader(videos).batches(SAMPLES, 4))
