"""Several features side by side."""

import logging
from pathlib import Path

import numpy as np
import pytest
from helpers.feature_files import DIM, GRID, made, shard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid, Features, write_features

DENSE = ClipGrid(15.0, 16, 8)
SOUND = ClipGrid(16000.0, 15360, 15360)


def test_features_on_one_grid_are_concatenated_bit_for_bit_in_the_order_of_their_names(tmp_path: Path) -> None:
    rgb, flow = made(4, 1), made(4, 2, dim=3)
    shard(tmp_path, {"v_a": rgb})
    shard(tmp_path, {"v_a": flow}, name="flow")
    for align in ("nearest", "linear"):
        features = Features.open(tmp_path, ["flow", "rgb"], 1, align=align)
        assert (features.dim, features.lacking, len(features.manifests)) == (DIM + 3, {}, 2)
        np.testing.assert_array_equal(features.read("v_a"), np.concatenate([flow, rgb], axis=1))


@pytest.mark.parametrize(("names", "rows"), [(("rgb", "dense"), 10), (("dense", "rgb"), 19)])
def test_the_first_feature_gives_the_rows(tmp_path: Path, names: tuple[str, str], rows: int) -> None:
    shard(tmp_path, {"v_a": made(10)})
    shard(tmp_path, {"v_a": made(19, 1, dim=2)}, name="dense", grid=DENSE)
    features = Features.open(tmp_path, names, 1)
    found = features.read("v_a")
    assert found.shape == (rows, DIM + 2)
    assert found.dtype == np.float32
    first = made(10) if names[0] == "rgb" else made(19, 1, dim=2)
    np.testing.assert_array_equal(found[:, : first.shape[1]], first)
    assert features.grid == (GRID if names[0] == "rgb" else DENSE)
    assert features.rows("v_a", 0.0, 99.0) == (0, rows)
    if names[0] == "rgb":  # every middle of a row is a middle of the denser feature's rows
        np.testing.assert_array_equal(found[:, DIM:], made(19, 1, dim=2)[::2])
    else:  # between two rows the earlier one
        np.testing.assert_array_equal(found[:, 2:], made(10)[[row // 2 for row in range(19)]])


@settings(max_examples=20)
@given(duration=st.floats(1.1, 40), order=st.permutations(["rgb", "dense", "sound"]))
def test_time_aligned_linearly_is_the_first_features_time(
    tmp_path_factory: pytest.TempPathFactory, duration: float, order: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("ramp")
    grids = {"rgb": GRID, "dense": DENSE, "sound": SOUND}
    for number, (name, grid) in enumerate(grids.items()):
        # Each feature is the time of its rows, plus 100 times its own number.
        ramp = (grid.centres(grid.clips(duration)) + 100 * number)[:, None].astype(np.float32)
        shard(folder, {"v_a": ramp}, name=name, grid=grid, duration=duration)
    features = Features.open(folder, order, 1, align="linear")
    found = features.read("v_a")
    centres = grids[order[0]].centres(grids[order[0]].clips(duration))
    for channel, name in enumerate(order):
        own = grids[name].centres(grids[name].clips(duration))
        expected = np.clip(centres, own[0], own[-1]) + 100 * list(grids).index(name)
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-4)


@pytest.mark.parametrize("missing", ["fail", "zeros"])
def test_a_row_more_or_less_is_no_gap(tmp_path: Path, missing) -> None:
    # Two ffmpegs count 542 and 543 frames in one video: 16 and 17 clips.
    shard(tmp_path, {"v_a": made(17)})
    shard(tmp_path, {"v_a": made(16, 1, dim=2)}, name="flow")
    features = Features.open(tmp_path, ["rgb", "flow"], 1, missing=missing)
    found = features.read("v_a")
    np.testing.assert_array_equal(found[:16, DIM : DIM + 2], made(16, 1, dim=2))
    np.testing.assert_array_equal(found[16, DIM : DIM + 2], made(16, 1, dim=2)[-1])
    assert features.lacking == {}


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """A picture feature of three videos; of one there is no sound, of another only the first half."""
    shard(tmp_path, {"v_a": made(10), "v_deaf": made(10, 1), "v_half": made(10, 2)}, duration=11.0)
    sound = {"v_a": made(11, 3, 2), "v_deaf": "no_audio", "v_half": made(5, 4, 2)}
    shard(tmp_path, sound, name="sound", grid=SOUND, duration=11.0)
    return tmp_path


def test_a_video_that_lacks_a_feature_is_an_error_unless_allowed(silent: Path) -> None:
    said = r"sound: 2 of 3 videos lack this feature \(v_deaf: no_audio, v_half: none for 4 of 10 rows\)"
    with pytest.raises(PipelineError, match=said + ".*missing: zeros"):
        Features.open(silent, ["rgb", "sound"], 1)


def test_zeros_are_marked_and_counted(silent: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        features = Features.open(silent, ["rgb", "sound"], 1, missing="zeros")
    assert "sound: 2 of 3 videos lack this feature" in caplog.text
    assert features.dim == DIM + 2 + 2
    assert features.facts()["lacking"] == {"sound": 2}
    marks = {video: features.read(video)[:, -2:] for video in features.videos}
    assert (marks["v_a"] == 1).all()
    assert (marks["v_deaf"] == [1, 0]).all()
    assert marks["v_half"].tolist() == [[1, 1]] * 6 + [[1, 0]] * 4
    for video, rows in marks.items():
        zeros = (features.read(video)[:, DIM : DIM + 2] == 0).all(axis=1)
        np.testing.assert_array_equal(zeros, rows[:, 1] == 0)


def test_a_video_that_lacks_the_first_feature_has_the_rows_it_would_have(silent: Path) -> None:
    features = Features.open(silent, ["sound", "rgb"], 1, missing="zeros")
    found = features.read("v_deaf")
    assert found.shape == (11, 2 + DIM + 2)
    assert (found[:, :2] == 0).all()
    assert (found[:, -2:] == [0, 1]).all()
    assert features.rows("v_deaf", 0.0, 99.0) == (0, 11)
    assert features.lacking["sound"] == {"v_deaf": "no_audio"}


def test_where_only_the_others_know_how_long_a_video_is_they_are_asked(tmp_path: Path) -> None:
    # Of a raw video without sound, sound does not tell how long it is.
    for name, grid, item in (("sound", SOUND, ("v_a", 0.0, "no_sound")), ("rgb", GRID, ("v_a", 11.0, made(10)))):
        write_features(tmp_path / name / "0000" / "manifest.json", [item], dim=DIM, grid=grid, facts={})
    features = Features.open(tmp_path, ["sound", "rgb"], 1, missing="zeros")
    assert features.clips("v_a") == 11
    assert (features.read("v_a")[:, -2:] == [0, 1]).all()
    assert features.facts()["lacking"] == {"sound": 1}


def test_a_video_that_lacks_them_all_is_not_there(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(3), "v_b": "no_audio"})
    for missing in ("fail", "zeros"):
        features = Features.open(tmp_path, ["rgb"], 1, missing=missing)
        assert (list(features.videos), features.dim) == (["v_a"], DIM)
        with pytest.raises(PipelineError, match="video v_b has no features: no_audio"):
            features.read("v_b")


@pytest.mark.parametrize("other", [{"v_b": made(4)}, {"v_a": made(4), "v_b": made(4)}, {}])
@pytest.mark.parametrize("missing", ["fail", "zeros"])
def test_features_of_different_videos_are_refused(tmp_path: Path, other: dict[str, np.ndarray], missing) -> None:
    # A video that is not even listed was never extracted: that is no missing modality.
    shard(tmp_path, {"v_a": made(4)})
    shard(tmp_path, other, name="flow")
    with pytest.raises(PipelineError, match=r"(flow|rgb): knows nothing of video v_., which .*(flow|rgb) does"):
        Features.open(tmp_path, ["rgb", "flow"], 1, missing=missing)


def test_who_learned_from_other_weights_or_another_grid_is_told(tmp_path: Path) -> None:
    shard(tmp_path, {"v_a": made(4)}, weights_sha256="aaa")
    shard(tmp_path, {"v_a": made(4)}, name="flow")
    learned = Features.open(tmp_path, ["rgb", "flow"], 1).facts()
    Features.open(tmp_path, ["rgb", "flow"], 1, expected=learned["expected"])
    shard(tmp_path, {"v_a": made(4)}, weights_sha256="bbb")
    with pytest.raises(PipelineError, match=r"rgb/0000/manifest.json: weights_sha256 is 'bbb', expected 'aaa'"):
        Features.open(tmp_path, ["rgb", "flow"], 1, expected=learned["expected"])


@pytest.mark.parametrize(
    "other",
    [
        {"relu": False},
        {"geometry": {"short_side": 224}},
        {"flow": {"method": "tvl1", "weights": "raft.pth"}},
        {"tail": "pad"},
        {"extractor": "vggish2"},
    ],
)
def test_who_learned_from_other_options_is_told(tmp_path: Path, other: dict[str, object]) -> None:
    facts = {"extractor": "vggish", "relu": True, "geometry": {"short_side": 256}, "tail": "drop"}
    facts |= {"flow": {"method": "raft", "weights": "raft.pth"}, "weights_sha256": None}
    shard(tmp_path, {"v_a": made(4)}, **facts)
    expected = Features.open(tmp_path, ["rgb"], 1).facts()["expected"]
    shard(tmp_path, {"v_a": made(4)}, **{**facts, "feature": "renamed", "weights": "moved.pth"})
    Features.open(tmp_path, ["rgb"], 1, expected=expected)
    shard(tmp_path, {"v_a": made(4)}, **{**facts, **other})
    with pytest.raises(PipelineError, match=f"{next(iter(other))} is .*, expected"):
        Features.open(tmp_path, ["rgb"], 1, expected=expected)
