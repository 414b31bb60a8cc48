"""The feature store gives back what was written, or says what is wrong."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr
from helpers.feature_files import DIM, GRID, made, shard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import SCHEMA, ClipGrid, Features, FeatureStore, write_features
from pipeline.features.shard import ROWS_PER_FILE, TIMES
from pipeline.io.tables import read_table
from pipeline.provenance.manifest import read_manifest


def opened(folder: Path, names: Sequence[str] = ("rgb",), shards: int = 1) -> Features:
    return Features.open(folder, names, shards)


def payload(manifest: Path) -> Path:
    """The file of the array's first rows."""
    return manifest.parent / "features.zarr" / "c" / "0" / "0"


def test_features_come_back_as_they_were_written_from_several_shards(tmp_path: Path) -> None:
    first = {"v_a": made(13, 1), "v_b": made(1, 2)}
    second = {"v_c": made(200, 3)}
    shard(tmp_path, first, 0)
    shard(tmp_path, second, 1)
    features = opened(tmp_path, shards=2)
    assert list(features.videos) == ["v_a", "v_b", "v_c"]
    assert features.videos["v_a"] == pytest.approx(0.5 + 13 * 16 / 15)
    assert features.dim == DIM
    assert features.grid == GRID
    assert [path.parent.name for path in features.manifests] == ["0000", "0001"]
    for video, rows in {**first, **second}.items():
        found = features.read(video)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rows)


def test_more_rows_than_one_file_holds_are_spread_over_several(tmp_path: Path) -> None:
    videos = {f"v_{i}": made(ROWS_PER_FILE // 2 + 7, i) for i in range(5)}
    manifest = shard(tmp_path, videos)
    assert len(list((manifest.parent / "features.zarr" / "c").iterdir())) == 3
    features = opened(tmp_path)
    for video, rows in videos.items():
        np.testing.assert_array_equal(features.read(video), rows)


def test_features_of_zeros_are_stored_as_such_and_a_missing_file_is_still_seen(tmp_path: Path) -> None:
    manifest = shard(tmp_path, {"v_a": np.zeros((3, DIM), np.float32)})
    assert (opened(tmp_path).read("v_a") == 0).all()
    payload(manifest).unlink()
    with pytest.raises(PipelineError, match=r"listed in .* but not there"):
        opened(tmp_path)


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    shard(tmp_path, {}, 0)
    shard(tmp_path, {"v_a": made(2)}, 1)
    features = opened(tmp_path, shards=2)
    assert list(features.videos) == ["v_a"]
    np.testing.assert_array_equal(features.read("v_a"), made(2))


def test_equal_features_give_an_equal_manifest(tmp_path: Path) -> None:
    first = shard(tmp_path / "one", {"v_a": made(5)})
    second = shard(tmp_path / "two", {"v_a": made(5)})
    assert first.read_text() == second.read_text()
    shard(tmp_path / "one", {"v_a": made(5, seed=9)})
    assert first.read_text() != second.read_text()


def test_the_manifest_lists_every_file_and_the_array_says_what_it_is(tmp_path: Path) -> None:
    manifest = shard(tmp_path, {"v_a": made(5)})
    listed = read_manifest(manifest)
    assert set(listed.payloads) == {"features.zarr/zarr.json", "features.zarr/c/0/0", "index.parquet"}
    feature = {"dim": DIM, "fps": 15.0, "frames": 16, "stride": 16, "dtype": "float32", "encoder": "tiny"}
    assert listed.facts == {"videos": 1, "absent": 0, "clips": 5, **feature}
    attributes = dict(zarr.open_array(manifest.parent / "features.zarr", mode="r").attrs)
    assert attributes == {**feature, "times": TIMES}


@pytest.mark.parametrize(("frames", "padded"), [(29, True), (30, True), (31, False), (60, False)])
def test_a_video_shorter_than_a_clip_is_marked(tmp_path: Path, frames: int, padded: bool) -> None:
    manifest = tmp_path / "rgb" / "0000" / "manifest.json"
    write_features(manifest, [("v_a", frames / 30, made(1))], dim=DIM, grid=GRID, facts={})
    assert [row["padded"] for row in read_table(manifest.parent / "index.parquet", SCHEMA)] == [padded]


def test_who_counted_the_frames_knows_what_is_padded(tmp_path: Path) -> None:
    # 30 frames at 29.97 per second last 15.015 instants at 15 per second, and 15 of them have a frame.
    items = [("v_a", 30 * 1.001 / 30, made(1)), ("v_b", 30 * 1.001 / 30, made(1))]
    manifest = tmp_path / "manifest.json"
    write_features(manifest, items, dim=DIM, grid=GRID, facts={}, padded={"v_a"})
    assert [row["padded"] for row in read_table(tmp_path / "index.parquet", SCHEMA)] == [True, False]


@settings(max_examples=40, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_and_the_error_names_video_and_shard(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    manifest = shard(folder, {"v_a": made(9)})
    raw = bytearray(payload(manifest).read_bytes())
    raw[int(where * len(raw))] ^= 1 << bit
    payload(manifest).write_bytes(raw)
    with pytest.raises(PipelineError, match=r"0000.*features\.zarr.*v_a"):
        opened(folder).read("v_a")


@pytest.mark.parametrize("name", ["features.zarr/c/0/0", "features.zarr/zarr.json", "index.parquet"])
def test_a_truncated_or_missing_file_is_found_on_opening(tmp_path: Path, name: str) -> None:
    file = shard(tmp_path, {"v_a": made(9)}).parent / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=f"{name}: not as"):
        opened(tmp_path)
    file.unlink()
    with pytest.raises(PipelineError, match=f"{name}: listed"):
        opened(tmp_path)


def test_an_altered_description_of_the_array_is_found(tmp_path: Path) -> None:
    file = shard(tmp_path, {"v_a": made(9)}).parent / "features.zarr" / "zarr.json"
    file.write_text(file.read_text().replace('"little"', '"LITTLE"'))
    with pytest.raises(PipelineError, match=r"zarr\.json: not as"):
        opened(tmp_path)


def test_a_shard_that_is_absent_and_a_video_that_is_absent_are_named(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(9)})
    with pytest.raises(PipelineError, match=r"rgb/0001/manifest\.json: no such manifest"):
        opened(tmp_path, shards=2)
    with pytest.raises(PipelineError, match="no features of video v_x"):
        opened(tmp_path).read("v_x")


def test_a_lost_last_shard_is_named(tmp_path: Path) -> None:
    for number in range(3):
        manifest = tmp_path / "rgb" / f"{number:04d}" / "manifest.json"
        write_features(manifest, [(f"v_{number}", 2.0, made(1))], dim=DIM, grid=GRID, facts={}, shards=3)
    assert sorted(FeatureStore(tmp_path / "rgb")) == ["v_0", "v_1", "v_2"]
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_1"]
    with pytest.raises(PipelineError, match=r"0000/manifest\.json: one of 3 shards, of which 2 are asked for"):
        opened(tmp_path, shards=2)
    manifest.unlink()
    with pytest.raises(PipelineError, match=r"rgb/0002/manifest\.json: no such manifest"):
        FeatureStore(tmp_path / "rgb")


def test_a_video_in_two_shards_is_refused(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(4)}, 0)
    shard(tmp_path, {"v_a": made(4)}, 1)
    with pytest.raises(PipelineError, match=r"0001.*video v_a stands in .*0000"):
        opened(tmp_path, shards=2)


def test_rows_of_an_event(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(10)})
    features = opened(tmp_path)
    # Centres lie at 8/15, 24/15, 40/15, ... seconds.
    assert features.rows("v_a", 0.0, 100.0) == (0, 10)
    assert features.rows("v_a", 24 / 15, 40 / 15) == (1, 3)
    assert features.rows("v_a", 1.7, 2.0) == (1, 2)
    assert features.rows("v_a", 50.0, 60.0) == (9, 10)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.floats(0, 12), length=st.floats(0, 12))
def test_rows_are_never_empty_and_lie_inside_the_video(tmp_path: Path, start: float, length: float) -> None:
    grid = ClipGrid(7.5, 8, 4)
    if not (tmp_path / "rgb").exists():
        shard(tmp_path, {"v_a": made(20)}, grid=grid)
    first, last = opened(tmp_path).rows("v_a", start, start + length)
    assert 0 <= first < last <= 20
    inside = [row for row, centre in enumerate(grid.centres(20)) if start <= centre <= start + length]
    if inside:
        assert (first, last) == (inside[0], inside[-1] + 1)


def test_nothing_is_left_behind_when_an_item_fails(tmp_path: Path) -> None:
    def items():
        yield "v_a", 3.0, made(2)
        raise PipelineError("a video went wrong")

    manifest = tmp_path / "manifest.json"
    with pytest.raises(PipelineError, match="went wrong"):
        write_features(manifest, items(), dim=DIM, grid=GRID, facts={})
    assert list(tmp_path.iterdir()) == []


def test_facts_are_plain_json(tmp_path: Path) -> None:
    facts = json.loads(shard(tmp_path, {"v_a": made(2)}).read_text())["facts"]
    assert facts["clips"] == 2
