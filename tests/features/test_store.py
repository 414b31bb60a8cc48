"""A feature is read by the ids of its videos, with times, or it is said what is wrong."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers.feature_files import DIM, GRID, made, shard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid, FeatureStore, write_features
from pipeline.features.shard import check_existing
from pipeline.provenance.manifest import read_manifest


def test_rows_and_their_times_come_back(tmp_path: Path) -> None:
    shard(tmp_path, {"v_b": made(3), "v_a": made(1, 2)})
    store = FeatureStore(tmp_path / "rgb")
    rows, times = store["v_b"]
    np.testing.assert_array_equal(rows, made(3))
    np.testing.assert_allclose(times, [[0, 16 / 15], [16 / 15, 32 / 15], [32 / 15, 48 / 15]])
    assert (list(store), len(store), store.dim, store.grid) == (["v_a", "v_b"], 2, DIM, GRID)
    assert "v_a" in store
    assert "v_c" not in store
    assert store.videos["v_a"] == pytest.approx(0.5 + 16 / 15)


def test_one_shard_can_be_read_alone(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(3)}, 0)
    shard(tmp_path, {"v_b": made(2)}, 1)
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_b"]
    assert list(FeatureStore(tmp_path / "rgb")) == ["v_a", "v_b"]


@settings(max_examples=15)
@given(count=st.sampled_from([1, 2, 7]), order=st.permutations([f"v_{number}" for number in range(9)]))
def test_shards_and_order_do_not_matter(tmp_path_factory: pytest.TempPathFactory, count: int, order: list[str]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    videos = {video: made(1 + int(video[2:]) * 40, int(video[2:])) for video in order}
    for number in range(count):
        shard(folder, {video: videos[video] for video in order[number::count]}, number)
    store = FeatureStore(folder / "rgb", shards=count)
    assert list(store) == sorted(videos)
    for video, rows in videos.items():
        np.testing.assert_array_equal(store[video].rows, rows)
        np.testing.assert_array_equal(store[video].times, GRID.times(len(rows)))


def test_a_video_without_rows_is_listed_with_its_reason(tmp_path: Path) -> None:
    manifest = shard(tmp_path, {"v_a": made(3), "v_deaf": "no_audio", "v_b": made(2, 1)})
    store = FeatureStore(tmp_path / "rgb")
    assert (store.absent, list(store)) == ({"v_deaf": "no_audio"}, ["v_a", "v_b"])
    assert store.durations["v_deaf"] == 3.0
    facts = read_manifest(manifest).facts
    assert (facts["videos"], facts["absent"], facts["clips"]) == (2, 1, 5)
    np.testing.assert_array_equal(store["v_b"].rows, made(2, 1))
    with pytest.raises(PipelineError, match="rgb: video v_deaf has no features: no_audio"):
        store["v_deaf"]


def test_a_shard_of_nothing_but_reasons_is_one(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": "no_audio"})
    assert FeatureStore(tmp_path / "rgb").absent == {"v_a": "no_audio"}


def test_of_an_unknown_video_it_is_said_which_are_there(tmp_path: Path) -> None:
    shard(tmp_path, {f"v_{number}": made(1) for number in range(5)})
    with pytest.raises(PipelineError, match=r"rgb: no features of video v_x; there are those of 5 videos \(v_0, v_1"):
        FeatureStore(tmp_path / "rgb")["v_x"]


def test_a_folder_without_features_and_a_gap_between_shards_are_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no feature there"):
        FeatureStore(tmp_path / "rgb")
    shard(tmp_path, {"v_a": made(1)}, 0)
    shard(tmp_path, {"v_b": made(1)}, 2)
    with pytest.raises(PipelineError, match=r"0001/manifest\.json: no such manifest"):
        FeatureStore(tmp_path / "rgb")


def test_shards_of_different_weights_are_not_one_feature(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(1)}, 0, weights_sha256="aaa")
    shard(tmp_path, {"v_b": made(1)}, 1, weights_sha256="bbb")
    with pytest.raises(PipelineError, match=r"0001/manifest.json: weights_sha256 is 'bbb', in .*0000.* 'aaa'"):
        FeatureStore(tmp_path / "rgb")


def test_what_is_expected_is_compared(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(1)}, weights_sha256="aaa")
    fitting = {"weights_sha256": "aaa", "encoder": "tiny", **asdict(GRID)}
    assert len(FeatureStore(tmp_path / "rgb", expected=fitting)) == 1
    for key, other in {"weights_sha256": "bbb", "encoder": "large", "stride": 8, "licence": "MIT"}.items():
        with pytest.raises(PipelineError, match=rf"0000/manifest.json: {key} is .*, expected {other!r}"):
            FeatureStore(tmp_path / "rgb", expected={**fitting, key: other})


def test_half_precision_takes_half_the_room(tmp_path: Path) -> None:
    rows = made(512, dim=64)
    sizes = {}
    for dtype in ("float16", "float32"):
        manifest = tmp_path / dtype / "manifest.json"
        write_features(manifest, [("v_a", 600.0, rows)], dim=64, grid=GRID, facts={}, dtype=dtype)
        sizes[dtype] = sum(entry["bytes"] for entry in read_manifest(manifest).payloads.values())
        found = FeatureStore(manifest.parent)["v_a"].rows
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rows.astype(dtype))
    assert sizes["float16"] < 0.6 * sizes["float32"]


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (np.nan, "float32", "nan in row 1, channel 2"),
        (np.inf, "float16", "inf in"),
        (7e4, "float16", "too large for fl"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_stays(tmp_path: Path, value: float, dtype, said: str) -> None:
    rows = made(3)
    rows[1, 2] = value
    manifest = tmp_path / "manifest.json"
    with pytest.raises(PipelineError, match=f"features of video v_a cannot be kept: .*{said}"):
        write_features(manifest, [("v_a", 3.0, rows)], dim=DIM, grid=GRID, facts={}, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_killed_leaves_no_manifest_that_vouches_for_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = shard(tmp_path, {"v_a": made(3)})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.features.shard.write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        shard(tmp_path, {"v_a": made(3, 1)})
    assert not manifest.exists()


def test_another_feature_is_not_replaced_unasked(tmp_path: Path) -> None:
    manifest = shard(tmp_path, {"v_a": made(1)}, weights_sha256="aaa")
    facts = {"encoder": "tiny", "weights_sha256": "aaa"}
    check_existing(manifest, dim=DIM, grid=GRID, facts=facts)
    check_existing(tmp_path / "elsewhere" / "manifest.json", dim=9, grid=GRID, facts={})
    with pytest.raises(PipelineError, match=r"holds another feature: weights_sha256 is 'aaa', now 'bbb'.*--overwrite"):
        check_existing(manifest, dim=DIM, grid=GRID, facts=facts | {"weights_sha256": "bbb"})
    with pytest.raises(PipelineError, match="stride is 16, now 8"):
        check_existing(manifest, dim=DIM, grid=ClipGrid(15.0, 16, 8), facts=facts)
    with pytest.raises(PipelineError, match="encoder is 'tiny', now None"):
        check_existing(manifest, dim=DIM, grid=GRID, facts={"weights_sha256": "aaa"})
    check_existing(manifest, dim=9, grid=GRID, facts={}, overwrite=True)
