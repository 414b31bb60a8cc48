"""Every video gives the clips that TSP's code would cut, whatever the batches."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import SMALL, counting, shoot, write_videos
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.extract_features import ExtractFeatures
from pipeline.config.pretrain_encoder import Clip, PretrainEncoder
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.geometry import central_crop, prepare, stack
from pipeline.encoders.model import PretrainingModel, read_encoder, write_model
from pipeline.encoders.reading import ClipReader
from pipeline.extract_features import clips, extract, main
from pipeline.store.features import SCHEMA, ClipGrid, Features
from pipeline.store.manifest import read_manifest, write_manifest
from pipeline.store.tables import read_table
from pipeline.video.shard import VideoRow, Videos

CPU = torch.device("cpu")


def write_encoder(folder: Path, **clip: object) -> Path:
    """An encoder with random weights, as pretraining leaves one."""
    config = PretrainEncoder.parse({**SMALL, "clip": {**SMALL["clip"], **clip}}, "")
    torch.manual_seed(0)
    model = PretrainingModel(config, 2, 0)
    files = write_model(folder, model, config, labels=["a", "b"], concepts=[])
    write_manifest(folder / "manifest.json", files, {})
    return folder / "manifest.json"


def run(encoder: Path, videos: Path, output: Path, **config: object) -> int:
    words = {"--encoder": encoder, "--videos": videos, "--output": output}
    text = json.dumps({"encoder": "tiny", "stride": 4, "device": "cpu", **config})
    return main(["--config", text, *(str(word) for pair in words.items() for word in pair)])


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    films = {"v_b": counting(70), "v_a": counting(33, (48, 20)), "v_c": counting(9), "v_d": counting(12)}
    return write_videos(tmp_path / "video" / "0000", films)


def test_each_video_has_its_rows_in_time(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", fps=15.0)
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(encoder, shard, output) == 0
    features = Features.open(tmp_path / "features", ["tiny"], 1)
    assert features.dim == 128
    assert features.grid == ClipGrid(fps=15.0, frames=4, stride=4)
    assert {video: features.videos[video] for video in features.videos} == pytest.approx(
        {"v_a": 33 / 30, "v_b": 70 / 30, "v_c": 9 / 30, "v_d": 12 / 30}
    )
    assert {video: len(features.read(video)) for video in features.videos} == {"v_a": 4, "v_b": 8, "v_c": 1, "v_d": 1}
    facts = read_manifest(output).facts
    assert facts["encoder"] == "tiny"
    assert facts["weights_sha256"] == read_manifest(encoder).payloads["model.safetensors"]["sha256"]
    assert facts["videos"] == 4
    assert facts["clips"] == 14
    assert (output.parent / "manifest.provenance.json").is_file()


def test_rows_are_the_encoders_features_of_the_clips(tmp_path: Path, shard: Path) -> None:
    pretrained = read_encoder(write_encoder(tmp_path / "encoder"))
    clip, rows = pretrained.config.clip, Videos.read([shard]).rows
    reader = ClipReader(rows, clip)
    row = rows["v_b"]
    [(video, duration, found)] = extract(pretrained.encoder, clip, [row], ExtractFeatures(encoder="x", stride=3), CPU)
    assert (video, duration) == ("v_b", 70 / 30)
    crop = central_crop(clip, (clip.height, clip.width))
    one_by_one = [prepare(torch.from_numpy(reader.read("v_b", first)), clip, crop, flip=False)
                  for first in range(0, 18 - 4 + 1, 3)]  # fmt: skip
    with torch.no_grad():
        expected = torch.cat([pretrained.encoder(stack([frames])) for frames in one_by_one])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batches_and_order_of_videos_do_not_matter(tmp_path: Path, shard: Path, batch_size: int) -> None:
    pretrained = read_encoder(write_encoder(tmp_path / "encoder"))
    rows = list(Videos.read([shard]).rows.values())

    def extracted(order: list[VideoRow], size: int) -> dict[str, np.ndarray]:
        config = ExtractFeatures(encoder="x", stride=2, batch_size=size)
        return {
            video: found for video, _, found in extract(pretrained.encoder, pretrained.config.clip, order, config, CPU)
        }

    expected, found = extracted(rows, 32), extracted(rows[::-1], batch_size)
    assert found.keys() == expected.keys()
    for video in expected:
        np.testing.assert_allclose(found[video], expected[video], atol=1e-4)


def test_a_video_shorter_than_a_clip_is_padded_and_marked(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", frames=4, fps=7.5)
    assert run(encoder, shard, tmp_path / "out" / "manifest.json") == 0
    index = {row["video"]: row for row in read_table(tmp_path / "out" / "index.parquet", SCHEMA)}
    assert {video: row["padded"] for video, row in index.items()} == {
        "v_a": False, "v_b": False, "v_c": True, "v_d": True
    }  # fmt: skip
    assert index["v_c"]["clips"] == 1


def test_a_shard_without_videos_is_a_shard_without_rows(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "video" / "0000", {})
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(write_encoder(tmp_path / "encoder"), videos, output) == 0
    assert Features.open(tmp_path / "features", ["tiny"], 1).videos == {}


@given(frames=st.integers(1, 90), size=st.integers(1, 20), stride=st.integers(1, 30))
def test_clips_are_cut_as_tsp_cuts_them(frames: int, size: int, stride: int) -> None:
    decoded = (np.full((1, 1, 3), number, dtype=np.uint8) for number in range(frames))
    found = [clip[:, 0, 0, 0].tolist() for clip in clips(decoded, size, stride)]
    starts = range(0, frames - size + 1, stride)
    expected = [list(range(start, start + size)) for start in starts]
    assert found == (expected or [[*range(frames), *[frames - 1] * (size - frames)]])


@pytest.mark.parametrize(("frames", "rows"), [(543, 17), (542, 16), (420, 13), (31, 1), (30, 1)])
def test_the_published_geometry_gives_the_published_numbers_of_rows(tmp_path: Path, frames: int, rows: int) -> None:
    tiny = [np.full((16, 16, 3), i % 250, dtype=np.uint8) for i in range(frames)]
    path = shoot(tmp_path / "v.mp4", tiny)
    row = VideoRow("v", path, frames, 30.0, 16, 16, audio=False)
    clip = Clip(height=16, width=16, crop=8)
    [(_, _, found)] = extract(Means(), clip, [row], ExtractFeatures(encoder="x"), CPU)
    assert len(found) == rows


class Means(ClipEncoder):
    """Stands for an encoder where only the clips matter: gives a clip's mean colour."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity(), [torch.nn.Identity()] * 4, 3)


def test_a_real_video_has_thirteen_rows(shared: Path) -> None:
    path = shared / "data" / "videos" / "v_ZNVhz7ctTq0.mp4"
    row = VideoRow("v_ZNVhz7ctTq0", path, 420, 30.0, 480, 360, audio=True)
    features = {}
    for batch_size in (4, 32):
        config = ExtractFeatures(encoder="x", batch_size=batch_size)
        [(_, duration, features[batch_size])] = extract(Means(), Clip(), [row], config, CPU)
        assert duration == 14.0
    assert features[4].shape == (13, 3)
    np.testing.assert_allclose(features[4], features[32], atol=1e-4)
    assert features[4].std(axis=0).min() > 0.01


def test_a_file_that_ends_early_is_named(tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shoot(shard.parent / "v_b.mp4", counting(50))
    table = json.loads(shard.read_text())
    table["payloads"]["v_b.mp4"]["bytes"] = (shard.parent / "v_b.mp4").stat().st_size
    shard.write_text(json.dumps(table))
    assert run(write_encoder(tmp_path / "encoder"), shard, tmp_path / "out" / "manifest.json") == 2
    said = capsys.readouterr().err
    assert "v_b.mp4: 13 frames could be decoded where 18 were expected" in said
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_rate_that_does_not_fit_is_said_before_any_work(
    tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write_encoder(tmp_path / "encoder", fps=8.0), shard, tmp_path / "out" / "manifest.json") == 2
    assert "make clip.fps divide reencode.fps" in capsys.readouterr().err


def test_frames_are_asked_for_only_as_clips_need_them() -> None:
    asked: list[int] = []

    def decoded() -> Iterator[np.ndarray]:
        for number in range(400):
            asked.append(number)
            yield np.full((1, 1, 3), number % 250, dtype=np.uint8)

    cut = clips(decoded(), 16, 16)
    next(cut)
    assert len(asked) == 16
    next(cut)
    assert len(asked) == 32
