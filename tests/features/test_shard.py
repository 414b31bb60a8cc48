"""Shards of features are read bit for bit as they were written, and damage is detected."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr
from helpers.feature_files import DIM, GRID, random_features, write_feature_shard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.shard import ROWS_PER_FILE, TIMES, IndexRow, write_shard
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import read_manifest


def open_features(folder: Path, names: Sequence[str] = ("rgb",), shards: int = 1) -> CombinedFeatures:
    return CombinedFeatures.open(folder, names, shards)


def array_file(manifest: Path) -> Path:
    """Return the file with the first rows of the array."""
    return manifest.parent / "features.zarr" / "c" / "0" / "0"


def test_features_of_several_shards_are_read_as_written(tmp_path: Path) -> None:
    first = {"v_a": random_features(13, 1), "v_b": random_features(1, 2)}
    second = {"v_c": random_features(200, 3)}
    write_feature_shard(tmp_path, first, 0)
    write_feature_shard(tmp_path, second, 1)
    features = open_features(tmp_path, shards=2)
    assert list(features.videos) == ["v_a", "v_b", "v_c"]
    assert features.videos["v_a"] == pytest.approx(0.5 + 13 * 16 / 15)
    assert features.dim == DIM
    assert features.grid == GRID
    assert [path.parent.name for path in features.manifests] == ["0000", "0001"]
    for video, rows in {**first, **second}.items():
        stored = features.read(video)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, rows)


def test_write_shard_divides_many_rows_among_several_files(tmp_path: Path) -> None:
    videos = {f"v_{i}": random_features(ROWS_PER_FILE // 2 + 7, i) for i in range(5)}
    manifest = write_feature_shard(tmp_path, videos)
    assert len(list((manifest.parent / "features.zarr" / "c").iterdir())) == 3
    features = open_features(tmp_path)
    for video, rows in videos.items():
        np.testing.assert_array_equal(features.read(video), rows)


def test_write_shard_stores_zeros_in_files_whose_loss_is_detected(tmp_path: Path) -> None:
    manifest = write_feature_shard(tmp_path, {"v_a": np.zeros((3, DIM), np.float32)})
    assert (open_features(tmp_path).read("v_a") == 0).all()
    array_file(manifest).unlink()
    with pytest.raises(PipelineError, match=r"features\.zarr/c/0/0: missing"):
        open_features(tmp_path)


def test_write_shard_accepts_a_shard_without_videos(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {}, 0)
    write_feature_shard(tmp_path, {"v_a": random_features(2)}, 1)
    features = open_features(tmp_path, shards=2)
    assert list(features.videos) == ["v_a"]
    np.testing.assert_array_equal(features.read("v_a"), random_features(2))


def test_write_shard_gives_equal_manifests_for_equal_features(tmp_path: Path) -> None:
    first = write_feature_shard(tmp_path / "one", {"v_a": random_features(5)})
    second = write_feature_shard(tmp_path / "two", {"v_a": random_features(5)})
    assert first.read_text() == second.read_text()
    write_feature_shard(tmp_path / "one", {"v_a": random_features(5, seed=9)})
    assert first.read_text() != second.read_text()


def test_write_shard_lists_every_file_and_describes_the_array(tmp_path: Path) -> None:
    manifest = write_feature_shard(tmp_path, {"v_a": random_features(5)})
    content = read_manifest(manifest)
    assert set(content.files) == {"features.zarr/zarr.json", "features.zarr/c/0/0", "index.parquet"}
    feature = {"dim": DIM, "fps": 15.0, "frames": 16, "stride": 16, "dtype": "float32", "encoder": "tiny"}
    assert content.metadata == {"videos": 1, "absent": 0, "clips": 5, **feature}
    attributes = dict(zarr.open_array(manifest.parent / "features.zarr", mode="r").attrs)
    assert attributes == {**feature, "times": TIMES}


@pytest.mark.parametrize(("frames", "padded"), [(29, True), (30, True), (31, False), (60, False)])
def test_write_shard_marks_a_video_that_is_shorter_than_a_clip(tmp_path: Path, frames: int, padded: bool) -> None:
    manifest = tmp_path / "rgb" / "0000" / "manifest.json"
    write_shard(manifest, [("v_a", frames / 30, random_features(1))], dim=DIM, grid=GRID, metadata={})
    assert [row.padded for row in read_rows(manifest.parent / "index.parquet", IndexRow)] == [padded]


def test_write_shard_marks_the_given_videos_as_padded(tmp_path: Path) -> None:
    # 30 frames at 29.97 fps last 15.015 sampling times at 15 fps, of which 15 have a frame.
    items = [("v_a", 30 * 1.001 / 30, random_features(1)), ("v_b", 30 * 1.001 / 30, random_features(1))]
    manifest = tmp_path / "manifest.json"
    write_shard(manifest, items, dim=DIM, grid=GRID, metadata={}, padded={"v_a"})
    assert [row.padded for row in read_rows(tmp_path / "index.parquet", IndexRow)] == [True, False]


@settings(max_examples=40, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_read_detects_any_flipped_bit_and_names_video_and_shard(
    tmp_path_factory: pytest.TempPathFactory, position: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    manifest = write_feature_shard(folder, {"v_a": random_features(9)})
    content = bytearray(array_file(manifest).read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    array_file(manifest).write_bytes(content)
    with pytest.raises(PipelineError, match=r"0000.*features\.zarr.*v_a"):
        open_features(folder).read("v_a")


@pytest.mark.parametrize("name", ["features.zarr/c/0/0", "features.zarr/zarr.json", "index.parquet"])
def test_open_detects_a_truncated_or_missing_file(tmp_path: Path, name: str) -> None:
    file = write_feature_shard(tmp_path, {"v_a": random_features(9)}).parent / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=f"{name}: differs"):
        open_features(tmp_path)
    file.unlink()
    with pytest.raises(PipelineError, match=f"{name}: missing"):
        open_features(tmp_path)


def test_open_detects_a_changed_description_of_the_array(tmp_path: Path) -> None:
    file = write_feature_shard(tmp_path, {"v_a": random_features(9)}).parent / "features.zarr" / "zarr.json"
    file.write_text(file.read_text().replace('"little"', '"LITTLE"'))
    with pytest.raises(PipelineError, match=r"zarr\.json: differs"):
        open_features(tmp_path)


def test_open_names_an_absent_shard_and_read_an_absent_video(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(9)})
    with pytest.raises(PipelineError, match=r"rgb/0001/manifest\.json: no such manifest"):
        open_features(tmp_path, shards=2)
    with pytest.raises(PipelineError, match="no features of video v_x"):
        open_features(tmp_path).read("v_x")


def test_open_names_a_lost_last_shard(tmp_path: Path) -> None:
    for number in range(3):
        manifest = tmp_path / "rgb" / f"{number:04d}" / "manifest.json"
        write_shard(manifest, [(f"v_{number}", 2.0, random_features(1))], dim=DIM, grid=GRID, metadata={}, num_shards=3)
    assert sorted(FeatureStore(tmp_path / "rgb")) == ["v_0", "v_1", "v_2"]
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_1"]
    with pytest.raises(PipelineError, match=r"0000/manifest\.json: one of 3 shards, but 2 are expected"):
        open_features(tmp_path, shards=2)
    manifest.unlink()
    with pytest.raises(PipelineError, match=r"rgb/0002/manifest\.json: no such manifest"):
        FeatureStore(tmp_path / "rgb")


def test_open_refuses_a_video_in_two_shards(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, 0)
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, 1)
    with pytest.raises(PipelineError, match=r"0001.*video v_a is in .*0000"):
        open_features(tmp_path, shards=2)


def test_event_rows_have_their_centres_inside_the_event(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(10)})
    features = open_features(tmp_path)
    # The centres are at 8/15, 24/15, 40/15, ... seconds.
    assert features.event_rows("v_a", 0.0, 100.0) == (0, 10)
    assert features.event_rows("v_a", 24 / 15, 40 / 15) == (1, 3)
    assert features.event_rows("v_a", 1.7, 2.0) == (1, 2)
    assert features.event_rows("v_a", 50.0, 60.0) == (9, 10)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.floats(0, 12), length=st.floats(0, 12))
def test_event_rows_are_never_empty_and_inside_the_video(tmp_path: Path, start: float, length: float) -> None:
    grid = ClipGrid(7.5, 8, 4)
    if not (tmp_path / "rgb").exists():
        write_feature_shard(tmp_path, {"v_a": random_features(20)}, grid=grid)
    first, last = open_features(tmp_path).event_rows("v_a", start, start + length)
    assert 0 <= first < last <= 20
    inside = [row for row, centre in enumerate(grid.centres(20)) if start <= centre <= start + length]
    if inside:
        assert (first, last) == (inside[0], inside[-1] + 1)


def test_write_shard_leaves_no_file_if_an_item_fails(tmp_path: Path) -> None:
    def items():
        yield "v_a", 3.0, random_features(2)
        raise PipelineError("a video failed")

    manifest = tmp_path / "manifest.json"
    with pytest.raises(PipelineError, match="a video failed"):
        write_shard(manifest, items(), dim=DIM, grid=GRID, metadata={})
    assert list(tmp_path.iterdir()) == []


def test_write_shard_writes_plain_json(tmp_path: Path) -> None:
    metadata = json.loads(write_feature_shard(tmp_path, {"v_a": random_features(2)}).read_text())["metadata"]
    assert metadata["clips"] == 2
