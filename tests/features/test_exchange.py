"""Features of other people's files come in and go out as they are, or it is said what is wrong with them."""

import logging
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from helpers.evaluation_files import write_corpus
from helpers.feature_files import GRID, made, shard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.commands.store import main
from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid, Features, FeatureStore, write_features
from pipeline.features.exchange import channels, check_grid, items
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.video.shard import REENCODED

GRID_OPTIONS = ["--fps", "15", "--frames", "16", "--stride", "16"]
Arrays = Mapping[str, np.ndarray]


def h5(path: Path, arrays: Arrays) -> Path:
    """As TSP merges its features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for video, rows in arrays.items():
            file.create_dataset(video, data=rows, compression="gzip", compression_opts=9, chunks=True)
    return path


def folder_of(path: Path, arrays: Arrays, suffix: str = "") -> Path:
    """As PDVC and video_features have them."""
    path.mkdir(parents=True, exist_ok=True)
    for video, rows in arrays.items():
        np.save(path / f"{video}{suffix}.npy", rows)
    return path


def bring(source: Path, output: Path, *more: str) -> int:
    return main(["import", str(source), "--output", str(output), *GRID_OPTIONS, *more])


def failed(capsys: pytest.CaptureFixture[str], status: int) -> str:
    """The one line that a command said."""
    said = capsys.readouterr().err.splitlines()
    assert status == 2
    assert [line for line in said if "Traceback" in line] == []
    return said[-1]


@pytest.mark.parametrize("kind", ["h5", "npy"])
@settings(max_examples=8)
@given(
    arrays=st.dictionaries(
        st.text(st.characters(exclude_characters="/\\", exclude_categories=["C"]), min_size=1, max_size=12).filter(
            lambda name: name not in {".", ".."}
        ),
        npst.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.just(3)),
            elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=3,
    )
)  # fmt: skip
def test_what_comes_in_goes_out_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, kind: str, arrays: Arrays
) -> None:
    folder = tmp_path_factory.mktemp("round")
    source = h5(folder / "in.h5", arrays) if kind == "h5" else folder_of(folder / "in", arrays)
    assert bring(source, folder / "features" / "tsp") == 0
    store = FeatureStore(folder / "features" / "tsp")
    assert sorted(store) == sorted(arrays)
    for video, rows in arrays.items():
        assert store[video].rows.tobytes() == rows.tobytes()
    output = folder / ("out.h5" if kind == "h5" else "out")
    assert main(["export", str(folder / "features" / "tsp"), "--output", str(output)]) == 0
    if kind == "h5":
        with h5py.File(output) as file:
            back = {video: file[video][()] for video in file}
    else:
        back = {file.name.removesuffix(".npy"): np.load(file) for file in output.iterdir()}
    assert {video: (rows.dtype, rows.tobytes()) for video, rows in back.items()} == {
        video: (np.dtype("float32"), rows.tobytes()) for video, rows in arrays.items()
    }


def test_without_a_table_videos_last_as_long_as_their_rows(tmp_path: Path) -> None:
    assert bring(h5(tmp_path / "tsp.h5", {"v_a": made(3), "v_b": made(1)}), tmp_path / "tsp") == 0
    store = FeatureStore(tmp_path / "tsp")
    assert store.videos == {"v_a": pytest.approx(3 * 16 / 15), "v_b": pytest.approx(16 / 15)}
    assert (store.grid, store.facts["feature"], store.facts["imported_from"]) == (GRID, "tsp", "tsp.h5")


def test_a_corpus_says_which_videos_are_wanted_and_how_long_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [("v_a", "train", True), ("v_b", "val", False), ("v_c", "test", True)]
    corpus = write_corpus(tmp_path / "corpus", videos, duration=3.0, shards=2)
    source = h5(tmp_path / "tsp.h5", {"v_a": made(3), "v_b": made(2), "v_other": made(9)})
    assert bring(source, tmp_path / "features" / "tsp", "--corpus", str(corpus)) == 0
    said = capsys.readouterr().err
    assert "3 videos, 1 without features" in said
    assert "1 videos that nobody asked for are left out" in said
    store = FeatureStore(tmp_path / "features" / "tsp", shards=2)
    assert store.videos == {"v_a": 3.0, "v_b": 3.0}
    assert store.absent == {"v_c": "not_in_file"}
    assert list(Features.open(tmp_path / "features", ["tsp"], 2).videos) == ["v_a", "v_b"]


def test_a_table_without_what_is_asked_of_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "video" / "0000"
    write_table(folder / "videos.parquet", [{"video": "v_a"}], pa.schema([("video", pa.string())]))
    write_manifest(folder / "manifest.json", [folder / "videos.parquet"], {})
    source = h5(tmp_path / "tsp.h5", {"v_a": made(3)})
    line = failed(capsys, bring(source, tmp_path / "out", "--videos", str(tmp_path / "video")))
    assert "0000/videos.parquet: has no column frames, only video" in line
    line = failed(capsys, bring(source, tmp_path / "out", "--videos", str(tmp_path / "none")))
    assert "none: no shards of videos there" in line


def test_where_the_corpus_knows_no_duration_it_follows_from_the_rows(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("v_a", "train", True), ("v_b", "train", True)], duration=None)
    assert bring(h5(tmp_path / "tsp.h5", {"v_a": made(3)}), tmp_path / "tsp", "--corpus", str(corpus)) == 0
    assert FeatureStore(tmp_path / "tsp").durations == {"v_a": pytest.approx(3.2), "v_b": 0.0}


def test_reencoded_videos_say_how_they_are_divided_and_how_long_they_are(tmp_path: Path) -> None:
    for number, (video, frames) in enumerate({"v_a": 60, "v_b": 20}.items()):
        folder = tmp_path / "video" / f"{number:04d}"
        row = {"video": video, "frames": frames, "fps": 30.0, "width": 8, "height": 8, "audio": False}
        row |= {"partial": False, "source_s": frames / 30, "reason": None}
        write_table(folder / "videos.parquet", [row], REENCODED)
        write_manifest(folder / "manifest.json", [folder / "videos.parquet"], {"videos": 1})
    source = folder_of(tmp_path / "npy", {"v_a": made(1), "v_b": made(1)}, "_rgb")
    more = ("--suffix", "_rgb", "--videos", str(tmp_path / "video"))
    assert bring(source, tmp_path / "rgb", *more) == 0
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_b"]
    assert FeatureStore(tmp_path / "rgb").videos == {"v_a": 2.0, "v_b": pytest.approx(2 / 3)}


def test_files_by_subset_are_one_feature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5(tmp_path / "tsp" / "train.h5", {"v_b": made(2)})
    h5(tmp_path / "tsp" / "valid.h5", {"v_a": made(1)})
    assert bring(tmp_path / "tsp", tmp_path / "out") == 0
    assert list(FeatureStore(tmp_path / "out")) == ["v_a", "v_b"]
    h5(tmp_path / "tsp" / "valid_again.h5", {"v_a": made(1)})
    assert "v_a stands in" in failed(capsys, bring(tmp_path / "tsp", tmp_path / "out"))


def test_other_numbers_become_float32(tmp_path: Path) -> None:
    arrays = {"v_a": made(2).astype(np.float64), "v_b": np.asfortranarray(made(3)), "v_c": np.ones((2, 5), np.uint8)}
    assert bring(folder_of(tmp_path / "npy", arrays), tmp_path / "out") == 0
    store = FeatureStore(tmp_path / "out")
    for video, rows in arrays.items():
        np.testing.assert_array_equal(store[video].rows, rows.astype(np.float32))


def test_half_precision_is_there_for_who_asks(tmp_path: Path) -> None:
    assert bring(h5(tmp_path / "tsp.h5", {"v_a": made(3)}), tmp_path / "out", "--dtype", "float16") == 0
    np.testing.assert_array_equal(FeatureStore(tmp_path / "out")["v_a"].rows, made(3).astype(np.float16))


def test_a_stage_takes_items_of_a_shard(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "npy", {"v_a": made(3), "v_none": np.zeros((0, 5), np.float32), "v_b": made(2)})
    videos = {"v_a": 3.5, "v_x": 2.0, "v_none": 0.4}
    found = {
        video: (seconds, rows if isinstance(rows, str) else len(rows)) for video, seconds, rows in items(source, videos)
    }
    assert found == {"v_a": (3.5, 3), "v_x": (2.0, "not_in_file"), "v_none": (0.4, "no_rows")}
    manifest = tmp_path / "features" / "manifest.json"
    write_features(manifest, items(source, videos), dim=channels(source), grid=GRID, facts={})
    assert FeatureStore(manifest.parent).absent == {"v_none": "no_rows", "v_x": "not_in_file"}
    # A shard none of whose videos is there is nothing but reasons.
    assert [rows for *_, rows in items(source, {"v_y": 1.0})] == ["not_in_file"]


BAD = {
    "of objects": ({"v_a": np.array([[{}]], dtype=object)}, "v_a holds object, expected numbers"),
    "of words": ({"v_a": np.array([["a"]])}, "v_a holds <U1, expected numbers"),
    "not finite": ({"v_a": np.array([[1.0], [np.nan]])}, "video v_a cannot be kept: nan in row 1, channel 0"),
    "too large": ({"v_a": np.array([[1e300]])}, "features of video v_a cannot be kept: inf in row 0"),
    "flat": ({"v_a": np.ones(5)}, r"v_a is \[5\], expected \[clips, channels\]"),
    "cubic": ({"v_a": np.ones((2, 3, 4))}, r"v_a is \[2, 3, 4\], expected"),
    "one number": ({"v_a": np.float32(3)}, r"v_a is \[\], expected"),
    "of two sizes": ({"v_a": made(3), "v_b": made(3, dim=7)}, r"v_b is \[3, 7\], v_a is \[3, 5\]: .*in all"),
    "one transposed": ({"v_a": made(3), "v_b": made(4).T}, r"v_b is \[5, 4\], v_a is \[3, 5\]: .*one of the two"),
    "first transposed": ({"v_a": made(4).T, "v_b": made(3)}, r"one of the two seems to be transposed"),
    "all transposed": ({"v_a": made(3).T, "v_b": made(4).T}, r"; they seem to be transposed"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*pickle.*")
@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    arrays, said = BAD[case]
    line = failed(capsys, bring(folder_of(tmp_path / "npy", arrays), tmp_path / "out"))
    assert pytest.raises(PipelineError, match=said).matches(PipelineError(line)), line
    assert not (tmp_path / "out" / "0000" / "manifest.json").exists()
    if case not in {"of objects", "of words", "one number"}:  # of which TSP's form has none
        assert failed(capsys, bring(h5(tmp_path / "x.h5", arrays), tmp_path / "out"))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "v_a.npy", np.array([[Trap()]]), allow_pickle=True)
    assert "expected numbers" in failed(capsys, bring(tmp_path / "npy", tmp_path / "out"))
    bare = (tmp_path / "npy" / "v_a.npy").read_bytes().partition(b"\n")[2]  # what follows the header
    (tmp_path / "npy" / "v_a.npy").write_bytes(bare)
    assert "not a readable .npy file" in failed(capsys, bring(tmp_path / "npy", tmp_path / "out"))
    assert not (tmp_path / "sprung").exists()


def test_damaged_and_foreign_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "npy", {"v_a": made(300), "v_b": made(300)})
    cut = folder / "v_b.npy"
    cut.write_bytes(cut.read_bytes()[:-7])
    assert "npy/v_b.npy: not a readable .npy file" in failed(capsys, bring(folder, tmp_path / "out"))
    cut.write_bytes(b"")
    assert "npy/v_b.npy: not a readable .npy file" in failed(capsys, bring(folder, tmp_path / "out"))
    whole = h5(tmp_path / "tsp.h5", {"v_a": made(3000)})
    whole.write_bytes(whole.read_bytes()[:-2000])
    assert "tsp.h5: not a readable HDF5 file" in failed(capsys, bring(whole, tmp_path / "out"))
    whole.write_text("no")
    assert "tsp.h5: neither an HDF5 file nor" in failed(capsys, bring(whole, tmp_path / "out"))
    assert "gone: no such file" in failed(capsys, bring(tmp_path / "gone", tmp_path / "out"))
    assert "holds no files *_rgb.npy; there are v_a.npy" in failed(
        capsys, bring(folder, tmp_path / "out", "--suffix", "_rgb")
    )


def test_a_flipped_bit_in_an_h5_file_is_told_or_does_no_harm(tmp_path: Path) -> None:
    path = h5(tmp_path / "tsp.h5", {"v_a": made(200)})
    raw = path.read_bytes()
    path.write_bytes(raw[:-300] + bytes([raw[-300] ^ 8]) + raw[-299:])
    with pytest.raises(PipelineError, match=r"tsp\.h5: v_a is damaged"):
        list(items(path, {"v_a": 1.0}))


def test_h5_files_of_another_form_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no datasets" in failed(capsys, bring(h5(tmp_path / "a.h5", {}), tmp_path / "out"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("train")["v_a"] = made(3)
    assert "'train' is no dataset" in failed(capsys, bring(tmp_path / "b.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["v_a"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "'v_a' is no dataset" in failed(capsys, bring(tmp_path / "c.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["..\\v_a"] = made(3)
    assert "cannot be a video id" in failed(capsys, bring(tmp_path / "d.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["v_a"] = h5py.Empty("f4")
    assert "v_a is [], expected" in failed(capsys, bring(tmp_path / "e.h5", tmp_path / "out"))


def test_ids_of_another_form_than_the_corpuss_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("v_abc", "train", True)])
    line = failed(capsys, bring(h5(tmp_path / "a.h5", {"abc": made(3)}), tmp_path / "out", "--corpus", str(corpus)))
    assert "has none of the 1 videos that are wanted, like v_abc; it has such as abc" in line


def test_a_grid_that_does_not_fit_the_durations_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = [(f"v_{number}", "train", True) for number in range(5)]
    corpus = write_corpus(tmp_path / "corpus", videos, duration=30.0)
    # 30 s at 15 fps hold 28 clips of 16 frames every 16, and 55 every 8.
    source = h5(tmp_path / "dense.h5", {video: made(55) for video, *_ in videos})
    line = failed(capsys, bring(source, tmp_path / "out", "--corpus", str(corpus)))
    assert "275 rows of 5 videos, but at 16 frames every 16 frames of 15 a second their durations make 140" in line
    assert not (tmp_path / "out").exists()
    check_grid(source, {video: 30.0 for video, *_ in videos}, ClipGrid(15.0, 16, 8))
    check_grid(source, {video: 28.0 for video, *_ in videos}, ClipGrid(15.0, 16, 8))


@pytest.mark.parametrize("option", ["--fps", "--frames", "--stride"])
def test_a_grid_is_above_nought(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert "must be above 0" in failed(capsys, bring(tmp_path, tmp_path / "out", option, "0"))


def test_another_feature_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = h5(tmp_path / "tsp.h5", {"v_a": made(3)}), tmp_path / "out"
    assert bring(source, output) == 0
    before = (output / "0000" / "manifest.json").read_text()
    assert bring(source, output) == 0
    assert (output / "0000" / "manifest.json").read_text() == before
    assert "stride is 16, now 8; give another output, or --overwrite" in failed(
        capsys, bring(source, output, "--stride", "8")
    )
    assert (output / "0000" / "manifest.json").read_text() == before
    assert bring(source, output, "--stride", "8", "--overwrite") == 0
    assert FeatureStore(output).grid.stride == 8


def test_shards_that_would_stay_behind_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(tmp_path, {"v_z": made(2)}, 3)
    source = h5(tmp_path / "tsp.h5", {"v_a": made(3)})
    line = failed(capsys, bring(source, tmp_path / "rgb", "--overwrite"))
    assert "rgb/0003/manifest.json: a shard that would not belong to what is imported" in line


def test_export_leaves_out_what_is_not_there_and_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    shard(tmp_path, {"v_a": made(2), "v_deaf": "no_audio"})
    arguments = ["export", str(tmp_path / "rgb"), "--output", str(tmp_path / "out"), "--suffix", "_rgb"]
    with caplog.at_level(logging.INFO):
        assert main(arguments) == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["v_a_rgb.npy"]
    assert "1 videos, 1 without features left out" in capsys.readouterr().err
    assert "out: is there already" in failed(capsys, main(arguments))
    arguments[3], arguments[5] = str(tmp_path / "new"), "/../x"
    assert "cannot be a video id" in failed(capsys, main(arguments))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rgb"]


def test_a_damaged_shard_leaves_no_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunk = shard(tmp_path, {"v_a": made(40), "v_b": made(40)}).parent / "features.zarr" / "c" / "0" / "0"
    raw = chunk.read_bytes()
    chunk.write_bytes(raw[:50] + bytes([raw[50] ^ 1]) + raw[51:])
    for output in ("out.h5", "out"):
        line = failed(capsys, main(["export", str(tmp_path / "rgb"), "--output", str(tmp_path / output)]))
        assert "0000/features.zarr: features of v_a are damaged" in line
    assert [path.name for path in tmp_path.iterdir()] == ["rgb"]


def test_real_ids_and_durations_fit_the_published_grid(tmp_path: Path, shared: Path) -> None:
    # TSP's own table, and as many rows as TSP's code makes of so many frames (every second one, clips of 16).
    table = (shared / "data/activitynet_tsp/activitynet_v1-3_valid_metadata.csv").read_text().splitlines()[1:41]
    rows = {
        name.removesuffix(".mp4"): (float(seconds), (int(frames) + 1) // 2)
        for name, seconds, _, frames in (line.split(",") for line in table)
    }
    source = h5(tmp_path / "tsp.h5", {video: made((count - 16) // 16 + 1) for video, (_, count) in rows.items()})
    check_grid(source, {video: seconds for video, (seconds, _) in rows.items()}, GRID)
    assert all(abs(GRID.clips(seconds) - ((count - 16) // 16 + 1)) <= 1 for seconds, count in rows.values())


def test_the_manifest_says_where_it_came_from(tmp_path: Path) -> None:
    bring(h5(tmp_path / "tsp.h5", {"v_a": made(3)}), tmp_path / "features" / "tsp")
    facts = read_manifest(tmp_path / "features" / "tsp" / "0000" / "manifest.json").facts
    assert facts == {
        "videos": 1, "absent": 0, "clips": 3, "dim": 5, "fps": 15.0, "frames": 16, "stride": 16, "dtype": "float32",
        "feature": "tsp", "imported_from": "tsp.h5", "shards": 1,
    }  # fmt: skip
