"""Features of snippets: which frames and samples they are made from, and their rows as captioners read them."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.extraction import Brightness, Loudness, extract_all, extract_rows
from helpers.feature_files import random_features, write_feature_shard
from helpers.video_corpus import FPS, counting_frames, write_video_shard
from helpers.video_files import write_video

from pipeline.config.extract_features import FeatureEntry
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.exchange import open_features
from pipeline.features.extraction.snippets import read_sound_snippets, window_frames
from pipeline.features.extraction.sources import find_sources
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid, SnippetGrid, snippet_centres

FRAMES = 60


def snippet_extractor(frames: int, snippets: int, fps: float = float(FPS)) -> Brightness:
    """Return an extractor of the brightness of each frame of a window around each snippet's middle."""
    extractor = Brightness("snippets", fps, frames, 1)
    extractor.grid = SnippetGrid(fps, frames, 1, snippets)
    return extractor


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_video_shard(
        tmp_path / "video" / "0000", {"long": counting_frames(FRAMES), "short": counting_frames(7)}
    )


def assert_frames(rows: np.ndarray, frames: object) -> None:
    """Check which frames rows are of, by their brightness: 20 + 2 i of frame i; the codec changes it by up to 1."""
    np.testing.assert_allclose(rows, 20 + 2 * np.asarray(frames), atol=1.01)


def test_snippet_centres_agree_with_the_reference(shared: Path) -> None:
    golden = json.loads((shared / "golden" / "clip_dap.json").read_text())
    assert snippet_centres(60, 28) == golden["uniform_60_28"]
    assert snippet_centres(198, 60)[:10] == golden["uniform_198_60_first10"]
    assert snippet_centres(17, 60) == golden["uniform_17_60"]


@pytest.mark.parametrize("length", [1, 2, 59, 60, 61, 4001])
def test_snippet_centres_are_indices_in_order(length: int) -> None:
    centres = snippet_centres(length, 60)
    assert len(centres) == 60
    assert centres == sorted(centres)
    assert 0 <= centres[0] <= centres[-1] < length


def test_a_feature_of_single_frames_has_the_frames_in_the_middles(shard: Path) -> None:
    rows = extract_rows(snippet_extractor(1, 8), find_sources([shard]))
    assert_frames(rows["long"][:, 0], snippet_centres(FRAMES, 8))
    assert_frames(rows["short"][:, 0], snippet_centres(7, 8))  # some frames stand for several snippets


def test_windows_lie_around_the_same_frames_and_repeat_the_first_and_the_last(shard: Path) -> None:
    rows = extract_rows(snippet_extractor(4, 6), find_sources([shard]))
    centres = snippet_centres(FRAMES, 6)
    assert_frames(rows["long"], [list(range(centre - 2, centre + 2)) for centre in centres])
    assert_frames(rows["short"][0], [0, 0, 0, 1])


def test_windows_of_a_lower_rate_take_every_other_frame() -> None:
    [window] = window_frames(101, Fraction(30), SnippetGrid(15.0, 4, 1, 1))
    assert window == [46, 48, 50, 52]


def test_snippets_of_raw_videos_are_those_of_reencoded_ones(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write_video(tmp_path / "raw" / "a.mp4", seconds=2)
    rows = extract_rows(snippet_extractor(1, 60, 30.0), find_sources([tmp_path / "raw"]))
    assert rows["a"].shape == (60, 1)


def test_sound_has_as_many_rows_and_silence_beyond_its_ends() -> None:
    grid = SnippetGrid(10.0, 4, 1, 5)  # a video of 10 s, at 1 frame a second; the sound has 6 s
    sound = np.arange(1, 61, dtype=np.float32)
    rows = [row for _, [row] in read_sound_snippets(lambda _: iter([sound[:7], sound[7:]]), 10, Fraction(1), [grid])]
    # The middles of the frames 1, 3, 5, 7, 9 are at 1.5, 3.5, ... s: samples 15, 35, ...
    assert [row.tolist() for row in rows] == [
        [14, 15, 16, 17],
        [34, 35, 36, 37],
        [54, 55, 56, 57],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_all_modalities_of_a_video_share_their_rows(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "loud.mp4", seconds=2, sound=True)
    write_video(tmp_path / "videos" / "mute.mp4", seconds=2)
    loudness = Loudness()
    loudness.grid = SnippetGrid(16000.0, 16000, 8000, 12)
    results = extract_all([snippet_extractor(2, 12, 30.0), loudness], find_sources([tmp_path / "videos"]))
    assert [result.rows.shape for result in results["loud"]] == [(12, 2), (12, 10)]
    assert results["loud"][0].duration == results["loud"][1].duration
    assert results["mute"][1].reason == "no_sound"


def test_rows_of_snippets_stand_for_equal_parts_of_each_video(tmp_path: Path) -> None:
    grid = SnippetGrid(30.0, 16, 16, 10)
    write_feature_shard(tmp_path, {"a": random_features(10)}, grid=grid, duration=20.0)
    store = FeatureStore(tmp_path / "rgb")
    assert store.grid == grid
    np.testing.assert_allclose(store["a"].spans[[0, 9]], [[0, 2], [18, 20]])
    features = CombinedFeatures.open(tmp_path, ["rgb"], 1)
    assert features.event_rows("a", 0.0, 20.0) == (0, 10)
    assert features.event_rows("a", 4.0, 8.0) == (2, 4)
    with pytest.raises(PipelineError, match="10 snippets"):
        features.grid.centres(10)


def test_features_of_snippets_are_combined_row_by_row_whatever_their_windows(tmp_path: Path) -> None:
    frames, clips = random_features(10), random_features(10, 1)
    write_feature_shard(tmp_path, {"a": frames}, name="frame", grid=SnippetGrid(30.0, 1, 15, 10), duration=7.0)
    write_feature_shard(tmp_path, {"a": clips}, name="clip", grid=SnippetGrid(15.0, 16, 16, 10), duration=7.0)
    combined = CombinedFeatures.open(tmp_path, ["frame", "clip"], 1)
    np.testing.assert_array_equal(combined.read("a"), np.concatenate([frames, clips], axis=1))


def test_a_feature_at_a_constant_rate_is_aligned_with_one_of_snippets(tmp_path: Path) -> None:
    rows = random_features(20)
    write_feature_shard(
        tmp_path, {"a": random_features(10)}, name="first", grid=SnippetGrid(30.0, 1, 1, 10), duration=20.0
    )
    write_feature_shard(tmp_path, {"a": rows}, name="rate", grid=ClipGrid(1.0, 1, 1), duration=20.0)
    combined = CombinedFeatures.open(tmp_path, ["first", "rate"], 1)
    # Snippets of 2 s have their centres at 1, 3, ... s, between two rows of 1 s: the earlier one counts.
    np.testing.assert_array_equal(combined.read("a")[:, -rows.shape[1] :], rows[::2])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"extractor": "resnet152", "weights": "random", "snippets": 60, "stride": 15}, "snippets or stride"),
        ({"file": "a.h5"}, "fps is missing"),
        ({"encoder": "sa_tsp", "snippets": 0}, "snippets"),
    ],
)
def test_settings_of_snippets_exclude_those_of_a_constant_rate(entry: dict[str, object], expected: str) -> None:
    with pytest.raises(PipelineError, match=expected):
        FeatureEntry.parse(entry, "extract_features.x")


def test_a_file_with_another_number_of_rows_is_one_plain_error(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "a.npy", random_features(59))
    with open_features(tmp_path / "features", {"a": 10.0}) as reader:
        reader.check_grid({"a": 10.0}, SnippetGrid(1.0, 1, 1, 59))
        with pytest.raises(PipelineError, match="video a has 59 rows, but snippets is 60"):
            reader.check_grid({"a": 10.0}, SnippetGrid(1.0, 1, 1, 60))
