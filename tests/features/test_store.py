"""A feature store reads rows and times by video id, and names what is wrong."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers.feature_files import DIM, GRID, random_features, write_feature_shard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.shard import check_existing, write_shard
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.provenance.manifest import read_manifest


def test_feature_store_returns_rows_and_times(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_b": random_features(3), "v_a": random_features(1, 2)})
    store = FeatureStore(tmp_path / "rgb")
    rows, times = store["v_b"]
    np.testing.assert_array_equal(rows, random_features(3))
    np.testing.assert_allclose(times, [[0, 16 / 15], [16 / 15, 32 / 15], [32 / 15, 48 / 15]])
    assert (list(store), len(store), store.dim, store.grid) == (["v_a", "v_b"], 2, DIM, GRID)
    assert "v_a" in store
    assert "v_c" not in store
    assert store.videos["v_a"] == pytest.approx(0.5 + 16 / 15)


def test_feature_store_reads_a_single_shard(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(3)}, 0)
    write_feature_shard(tmp_path, {"v_b": random_features(2)}, 1)
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_b"]
    assert list(FeatureStore(tmp_path / "rgb")) == ["v_a", "v_b"]


@settings(max_examples=15)
@given(count=st.sampled_from([1, 2, 7]), order=st.permutations([f"v_{number}" for number in range(9)]))
def test_feature_store_does_not_depend_on_shards_and_order(
    tmp_path_factory: pytest.TempPathFactory, count: int, order: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    videos = {video: random_features(1 + int(video[2:]) * 40, int(video[2:])) for video in order}
    for number in range(count):
        write_feature_shard(folder, {video: videos[video] for video in order[number::count]}, number)
    store = FeatureStore(folder / "rgb", shards=count)
    assert list(store) == sorted(videos)
    for video, rows in videos.items():
        np.testing.assert_array_equal(store[video].rows, rows)
        np.testing.assert_array_equal(store[video].spans, GRID.spans(len(rows)))


def test_feature_store_lists_a_video_without_features_with_its_reason(tmp_path: Path) -> None:
    videos = {"v_a": random_features(3), "v_silent": "no_audio", "v_b": random_features(2, 1)}
    manifest = write_feature_shard(tmp_path, videos)
    store = FeatureStore(tmp_path / "rgb")
    assert (store.absent, list(store)) == ({"v_silent": "no_audio"}, ["v_a", "v_b"])
    assert store.durations["v_silent"] == 3.0
    metadata = read_manifest(manifest).metadata
    assert (metadata["videos"], metadata["absent"], metadata["clips"]) == (2, 1, 5)
    np.testing.assert_array_equal(store["v_b"].rows, random_features(2, 1))
    with pytest.raises(PipelineError, match="rgb: video v_silent has no features: no_audio"):
        store["v_silent"]


def test_feature_store_reads_a_shard_without_features(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": "no_audio"})
    assert FeatureStore(tmp_path / "rgb").absent == {"v_a": "no_audio"}


def test_feature_store_names_its_videos_if_one_is_unknown(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {f"v_{number}": random_features(1) for number in range(5)})
    with pytest.raises(PipelineError, match=r"rgb: no features of video v_x; it has those of 5 videos \(v_0, v_1"):
        FeatureStore(tmp_path / "rgb")["v_x"]


def test_feature_store_names_an_empty_folder_and_a_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="contains no feature"):
        FeatureStore(tmp_path / "rgb")
    write_feature_shard(tmp_path, {"v_a": random_features(1)}, 0)
    write_feature_shard(tmp_path, {"v_b": random_features(1)}, 2)
    with pytest.raises(PipelineError, match=r"0001/manifest\.json: no such manifest"):
        FeatureStore(tmp_path / "rgb")


def test_feature_store_refuses_shards_of_different_weights(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(1)}, 0, weights_sha256="aaa")
    write_feature_shard(tmp_path, {"v_b": random_features(1)}, 1, weights_sha256="bbb")
    with pytest.raises(PipelineError, match=r"0001/manifest.json: weights_sha256 is 'bbb', in .*0000.* 'aaa'"):
        FeatureStore(tmp_path / "rgb")


def test_feature_store_compares_the_expected_metadata(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(1)}, weights_sha256="aaa")
    expected = {"weights_sha256": "aaa", "encoder": "tiny", **asdict(GRID)}
    assert len(FeatureStore(tmp_path / "rgb", expected=expected)) == 1
    for key, value in {"weights_sha256": "bbb", "encoder": "large", "stride": 8, "licence": "MIT"}.items():
        with pytest.raises(PipelineError, match=rf"0000/manifest.json: {key} is .*, expected {value!r}"):
            FeatureStore(tmp_path / "rgb", expected={**expected, key: value})


def test_write_shard_in_half_precision_takes_half_the_space(tmp_path: Path) -> None:
    rows = random_features(512, dim=64)
    sizes = {}
    for dtype in ("float16", "float32"):
        manifest = tmp_path / dtype / "manifest.json"
        write_shard(manifest, [("v_a", 600.0, rows)], dim=64, grid=GRID, metadata={}, dtype=dtype)
        sizes[dtype] = sum(entry["bytes"] for entry in read_manifest(manifest).files.values())
        stored = FeatureStore(manifest.parent)["v_a"].rows
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, rows.astype(dtype))
    assert sizes["float16"] < 0.6 * sizes["float32"]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "nan in row 1, channel 2"),
        (np.inf, "float16", "inf in"),
        (7e4, "float16", "too large for fl"),
    ],
)
def test_write_shard_refuses_numbers_that_cannot_be_stored_and_leaves_no_file(
    tmp_path: Path, value: float, dtype, message: str
) -> None:
    rows = random_features(3)
    rows[1, 2] = value
    manifest = tmp_path / "manifest.json"
    with pytest.raises(PipelineError, match=f"features of video v_a cannot be stored: .*{message}"):
        write_shard(manifest, [("v_a", 3.0, rows)], dim=DIM, grid=GRID, metadata={}, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_write_shard_leaves_no_manifest_if_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_feature_shard(tmp_path, {"v_a": random_features(3)})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.features.shard.write_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_feature_shard(tmp_path, {"v_a": random_features(3, 1)})
    assert not manifest.exists()


def test_check_existing_refuses_another_feature_unless_overwrite(tmp_path: Path) -> None:
    manifest = write_feature_shard(tmp_path, {"v_a": random_features(1)}, weights_sha256="aaa")
    metadata = {"encoder": "tiny", "weights_sha256": "aaa"}
    check_existing(manifest, dim=DIM, grid=GRID, metadata=metadata)
    check_existing(tmp_path / "elsewhere" / "manifest.json", dim=9, grid=GRID, metadata={})
    with pytest.raises(PipelineError, match=r"holds another feature: weights_sha256 is 'aaa', now 'bbb'.*--overwrite"):
        check_existing(manifest, dim=DIM, grid=GRID, metadata=metadata | {"weights_sha256": "bbb"})
    with pytest.raises(PipelineError, match="stride is 16, now 8"):
        check_existing(manifest, dim=DIM, grid=ClipGrid(15.0, 16, 8), metadata=metadata)
    with pytest.raises(PipelineError, match="encoder is 'tiny', now None"):
        check_existing(manifest, dim=DIM, grid=GRID, metadata={"weights_sha256": "aaa"})
    check_existing(manifest, dim=9, grid=GRID, metadata={}, overwrite=True)
