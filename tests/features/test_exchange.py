"""Features in other formats are imported and exported bit for bit, or refused with a reason."""

import logging
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.evaluation_files import write_corpus
from helpers.feature_files import GRID, random_features, write_feature_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.commands.exchange import main
from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.exchange import open_features
from pipeline.features.shard import write_shard
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.io.tables import read_rows, write_rows
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.video.shard import ReencodedRow

GRID_OPTIONS = ["--fps", "15", "--frames", "16", "--stride", "16"]
Arrays = Mapping[str, np.ndarray]


def write_h5(path: Path, arrays: Arrays) -> Path:
    """Write a file as TSP merges its features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for video, rows in arrays.items():
            file.create_dataset(video, data=rows, compression="gzip", compression_opts=9, chunks=True)
    return path


def write_npy(path: Path, arrays: Arrays, suffix: str = "") -> Path:
    """Write a folder as PDVC and video_features do."""
    path.mkdir(parents=True, exist_ok=True)
    for video, rows in arrays.items():
        np.save(path / f"{video}{suffix}.npy", rows)
    return path


def run_import(source: Path, output: Path, *options: str) -> int:
    return main(["import", str(source), "--output", str(output), *GRID_OPTIONS, *options])


def error_line(capsys: pytest.CaptureFixture[str], status: int) -> str:
    """Check that a command failed with one line of error; return it."""
    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert [line for line in lines if "Traceback" in line] == []
    return lines[-1]


def read_rejects(feature: Path) -> list[RejectedVideo]:
    return read_rows(feature / "0000" / "rejects.parquet", RejectedVideo)


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
def test_import_and_export_preserve_every_bit(
    tmp_path_factory: pytest.TempPathFactory, kind: str, arrays: Arrays
) -> None:
    folder = tmp_path_factory.mktemp("exchange")
    source = write_h5(folder / "in.h5", arrays) if kind == "h5" else write_npy(folder / "in", arrays)
    assert run_import(source, folder / "features" / "tsp") == 0
    store = FeatureStore(folder / "features" / "tsp")
    assert sorted(store) == sorted(arrays)
    for video, rows in arrays.items():
        assert store[video].rows.tobytes() == rows.tobytes()
    output = folder / ("out.h5" if kind == "h5" else "out")
    assert main(["export", str(folder / "features" / "tsp"), "--output", str(output)]) == 0
    if kind == "h5":
        with h5py.File(output) as file:
            exported = {video: file[video][()] for video in file}
    else:
        exported = {file.name.removesuffix(".npy"): np.load(file) for file in output.iterdir()}
    assert {video: (rows.dtype, rows.tobytes()) for video, rows in exported.items()} == {
        video: (np.dtype("float32"), rows.tobytes()) for video, rows in arrays.items()
    }


def test_import_without_selection_takes_durations_from_the_rows(tmp_path: Path) -> None:
    assert (
        run_import(
            write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3), "v_b": random_features(1)}), tmp_path / "tsp"
        )
        == 0
    )
    store = FeatureStore(tmp_path / "tsp")
    assert store.videos == {"v_a": pytest.approx(3 * 16 / 15), "v_b": pytest.approx(16 / 15)}
    assert (store.grid, store.metadata["feature"], store.metadata["imported_from"]) == (GRID, "tsp", "tsp.h5")


def test_import_with_corpus_selects_its_videos_shards_and_durations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [("v_a", "train", True), ("v_b", "val", False), ("v_c", "test", True)]
    corpus = write_corpus(tmp_path / "corpus", videos, duration=3.0, shards=2)
    source = write_h5(
        tmp_path / "tsp.h5", {"v_a": random_features(3), "v_b": random_features(2), "v_other": random_features(9)}
    )
    assert run_import(source, tmp_path / "features" / "tsp", "--corpus", str(corpus)) == 0
    log = capsys.readouterr().err
    assert "3 videos, 1 without features" in log
    assert "ignored 1 videos" in log
    store = FeatureStore(tmp_path / "features" / "tsp", shards=2)
    assert store.videos == {"v_a": 3.0, "v_b": 3.0}
    assert store.absent == {"v_c": "not_in_file"}
    assert list(CombinedFeatures.open(tmp_path / "features", ["tsp"], 2).videos) == ["v_a", "v_b"]


def test_import_names_a_table_without_the_needed_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "video" / "0000"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"video": ["v_a"]}), folder / "videos.parquet")
    write_manifest(folder / "manifest.json", [folder / "videos.parquet"], {})
    source = write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)})
    line = error_line(capsys, run_import(source, tmp_path / "out", "--videos", str(tmp_path / "video")))
    assert "0000/videos.parquet: has no column frames, only video" in line
    line = error_line(capsys, run_import(source, tmp_path / "out", "--videos", str(tmp_path / "none")))
    assert "none: contains no shards of videos" in line


def test_import_with_unknown_durations_takes_them_from_the_rows(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("v_a", "train", True), ("v_b", "train", True)], duration=None)
    assert (
        run_import(
            write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)}), tmp_path / "tsp", "--corpus", str(corpus)
        )
        == 0
    )
    assert FeatureStore(tmp_path / "tsp").durations == {"v_a": pytest.approx(3.2), "v_b": 0.0}


def test_import_with_videos_takes_shards_and_measured_durations(tmp_path: Path) -> None:
    for number, (video, frames) in enumerate({"v_a": 60, "v_b": 20}.items()):
        folder = tmp_path / "video" / f"{number:04d}"
        row = ReencodedRow(video, frames, 30.0, 8, 8, audio=False, source_s=frames / 30)
        write_rows(folder / "videos.parquet", [row], ReencodedRow)
        write_manifest(folder / "manifest.json", [folder / "videos.parquet"], {"videos": 1})
    source = write_npy(tmp_path / "npy", {"v_a": random_features(1), "v_b": random_features(1)}, "_rgb")
    options = ("--suffix", "_rgb", "--videos", str(tmp_path / "video"))
    assert run_import(source, tmp_path / "rgb", *options) == 0
    assert list(FeatureStore(tmp_path / "rgb" / "0001")) == ["v_b"]
    assert FeatureStore(tmp_path / "rgb").videos == {"v_a": 2.0, "v_b": pytest.approx(2 / 3)}


def test_import_joins_files_of_several_subsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_h5(tmp_path / "tsp" / "train.h5", {"v_b": random_features(2)})
    write_h5(tmp_path / "tsp" / "valid.h5", {"v_a": random_features(1)})
    assert run_import(tmp_path / "tsp", tmp_path / "out") == 0
    assert list(FeatureStore(tmp_path / "out")) == ["v_a", "v_b"]
    write_h5(tmp_path / "tsp" / "valid_again.h5", {"v_a": random_features(1)})
    assert "v_a is in" in error_line(capsys, run_import(tmp_path / "tsp", tmp_path / "out"))


def test_import_converts_numbers_to_float32(tmp_path: Path) -> None:
    arrays = {
        "v_a": random_features(2).astype(np.float64),
        "v_b": np.asfortranarray(random_features(3)),
        "v_c": np.ones((2, 5), np.uint8),
    }
    assert run_import(write_npy(tmp_path / "npy", arrays), tmp_path / "out") == 0
    store = FeatureStore(tmp_path / "out")
    for video, rows in arrays.items():
        np.testing.assert_array_equal(store[video].rows, rows.astype(np.float32))


def test_import_with_dtype_stores_half_precision(tmp_path: Path) -> None:
    assert (
        run_import(write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)}), tmp_path / "out", "--dtype", "float16")
        == 0
    )
    np.testing.assert_array_equal(FeatureStore(tmp_path / "out")["v_a"].rows, random_features(3).astype(np.float16))


def test_open_features_yields_the_items_of_a_shard(tmp_path: Path) -> None:
    arrays = {"v_a": random_features(3), "v_none": np.zeros((0, 5), np.float32), "v_b": random_features(2)}
    source = write_npy(tmp_path / "npy", arrays)
    videos = {"v_a": 3.5, "v_x": 2.0, "v_none": 0.4}
    manifest = tmp_path / "features" / "manifest.json"
    with open_features(source, videos) as reader:
        items = {
            video: (seconds, rows if isinstance(rows, str) else len(rows))
            for video, seconds, rows in reader.items(videos)
        }
        write_shard(manifest, reader.items(videos), dim=reader.dim, grid=GRID, metadata={})
    assert items == {"v_a": (3.5, 3), "v_x": (2.0, "not_in_file"), "v_none": (0.4, "no_rows")}
    assert FeatureStore(manifest.parent).absent == {"v_none": "no_rows", "v_x": "not_in_file"}
    # A shard whose videos are all missing has only reasons.
    with open_features(source, ["v_y"]) as reader:
        assert [rows for *_, rows in reader.items({"v_y": 1.0})] == ["not_in_file"]


BAD = {
    "of objects": ({"v_a": np.array([[{}]], dtype=object)}, "v_a holds object, expected numbers"),
    "of words": ({"v_a": np.array([["a"]])}, "v_a holds <U1, expected numbers"),
    "not finite": ({"v_a": np.array([[1.0], [np.nan]])}, "video v_a cannot be stored: nan in row 1, channel 0"),
    "too large": ({"v_a": np.array([[1e300]])}, "features of video v_a cannot be stored: inf in row 0"),
    "flat": ({"v_a": np.ones(5)}, r"v_a is \[5\], expected \[rows, channels\]"),
    "cubic": ({"v_a": np.ones((2, 3, 4))}, r"v_a is \[2, 3, 4\], expected"),
    "one number": ({"v_a": np.float32(3)}, r"v_a is \[\], expected"),
    "of two sizes": (
        {"v_a": random_features(3), "v_b": random_features(3, dim=7)},
        r"v_b is \[3, 7\], v_a is \[3, 5\]: .*channels",
    ),
    "one transposed": (
        {"v_a": random_features(3), "v_b": random_features(4).T},
        r"v_b is \[5, 4\], v_a is \[3, 5\]: .*one of the two",
    ),
    "first transposed": (
        {"v_a": random_features(4).T, "v_b": random_features(3)},
        r"one of the two seems to be transposed",
    ),
    "all transposed": ({"v_a": random_features(3).T, "v_b": random_features(4).T}, r"; they seem to be transposed"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*pickle.*")
@pytest.mark.parametrize("case", BAD)
def test_import_refuses_bad_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    arrays, message = BAD[case]
    line = error_line(capsys, run_import(write_npy(tmp_path / "npy", arrays), tmp_path / "out"))
    assert pytest.raises(PipelineError, match=message).matches(PipelineError(line)), line
    assert not (tmp_path / "out" / "0000" / "manifest.json").exists()
    if case not in {"of objects", "of words", "one number"}:  # HDF5 files of TSP cannot hold these
        assert error_line(capsys, run_import(write_h5(tmp_path / "x.h5", arrays), tmp_path / "out"))


def test_import_executes_nothing_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "v_a.npy", np.array([[Trap()]]), allow_pickle=True)
    assert "expected numbers" in error_line(capsys, run_import(tmp_path / "npy", tmp_path / "out"))
    without_header = (tmp_path / "npy" / "v_a.npy").read_bytes().partition(b"\n")[2]
    (tmp_path / "npy" / "v_a.npy").write_bytes(without_header)
    assert "not a readable .npy file" in error_line(capsys, run_import(tmp_path / "npy", tmp_path / "out"))
    assert not (tmp_path / "executed").exists()


def test_import_names_damaged_files_and_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_npy(tmp_path / "npy", {"v_a": random_features(300), "v_b": random_features(300)})
    truncated = folder / "v_b.npy"
    for content in (truncated.read_bytes()[:-7], b""):
        truncated.write_bytes(content)
        assert run_import(folder, tmp_path / "damaged") == 3
        (reject,) = read_rejects(tmp_path / "damaged")
        assert (reject.video, reject.reason) == ("v_b", "unreadable")
        assert "npy/v_b.npy: not a readable .npy file" in reject.detail
        assert reject.detail in capsys.readouterr().err
        assert FeatureStore(tmp_path / "damaged").absent == {"v_b": "unreadable"}
    (folder / "v_a.npy").unlink()
    assert "npy/v_b.npy: not a readable .npy file" in error_line(capsys, run_import(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    file = write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3000)})
    file.write_bytes(file.read_bytes()[:-2000])
    assert "tsp.h5: not a readable HDF5 file" in error_line(capsys, run_import(file, tmp_path / "out"))
    file.write_text("no")
    assert "tsp.h5: neither an HDF5 file nor" in error_line(capsys, run_import(file, tmp_path / "out"))
    assert "gone: no such file" in error_line(capsys, run_import(tmp_path / "gone", tmp_path / "out"))
    assert "has no files *_rgb.npy or *_rgb.pt; it has v_b.npy" in error_line(
        capsys, run_import(folder, tmp_path / "out", "--suffix", "_rgb")
    )


def test_open_features_detects_a_flipped_bit_in_an_h5_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "tsp.h5", {"v_a": random_features(200)})
    content = path.read_bytes()
    path.write_bytes(content[:-300] + bytes([content[-300] ^ 8]) + content[-299:])
    with (
        open_features(path, ["v_a"]) as reader,
        pytest.raises(PipelineError, match=r"tsp\.h5: v_a is damaged") as damage,
    ):
        reader.read("v_a")
    assert damage.value.reason == "unreadable"


def test_import_refuses_h5_files_of_another_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no datasets" in error_line(capsys, run_import(write_h5(tmp_path / "a.h5", {}), tmp_path / "out"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("train")["v_a"] = random_features(3)
        file["v_b"] = random_features(3)
    assert "'train' is not a dataset" in error_line(capsys, run_import(tmp_path / "b.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["v_a"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "'v_a' is not a dataset" in error_line(capsys, run_import(tmp_path / "c.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["..\\v_a"] = random_features(3)
    assert "cannot be a video id" in error_line(capsys, run_import(tmp_path / "d.h5", tmp_path / "out"))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["v_a"] = h5py.Empty("f4")
    assert "v_a is empty" in error_line(capsys, run_import(tmp_path / "e.h5", tmp_path / "out"))


def test_import_shows_ids_that_differ_from_those_of_the_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [("v_abc", "train", True)])
    source = write_h5(tmp_path / "a.h5", {"abc.mp4": random_features(3)})
    line = error_line(capsys, run_import(source, tmp_path / "out", "--corpus", str(corpus)))
    assert "none of the 1 selected videos, such as v_abc; it has videos such as abc.mp4" in line


def test_import_refuses_a_grid_that_disagrees_with_the_durations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [(f"v_{number}", "train", True) for number in range(5)]
    corpus = write_corpus(tmp_path / "corpus", videos, duration=30.0)
    # 30 s at 15 fps give 28 clips of 16 frames at stride 16, and 55 at stride 8.
    source = write_h5(tmp_path / "dense.h5", {video: random_features(55) for video, *_ in videos})
    line = error_line(capsys, run_import(source, tmp_path / "out", "--corpus", str(corpus)))
    assert "275 rows for 5 videos, but 16 frames every 16 frames at 15 fps give 140 rows" in line
    assert not (tmp_path / "out").exists()
    with open_features(source, [video for video, *_ in videos]) as reader:
        reader.check_grid({video: 30.0 for video, *_ in videos}, ClipGrid(15.0, 16, 8))
        reader.check_grid({video: 28.0 for video, *_ in videos}, ClipGrid(15.0, 16, 8))


@pytest.mark.parametrize("option", ["--fps", "--frames", "--stride"])
def test_import_refuses_a_grid_of_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert "must be above 0" in error_line(capsys, run_import(tmp_path, tmp_path / "out", option, "0"))


def test_import_replaces_another_feature_only_with_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)}), tmp_path / "out"
    assert run_import(source, output) == 0
    before = (output / "0000" / "manifest.json").read_text()
    assert run_import(source, output) == 0
    assert (output / "0000" / "manifest.json").read_text() == before
    assert "stride is 16, now 8; choose another output, or give --overwrite" in error_line(
        capsys, run_import(source, output, "--stride", "8")
    )
    assert (output / "0000" / "manifest.json").read_text() == before
    assert run_import(source, output, "--stride", "8", "--overwrite") == 0
    assert FeatureStore(output).grid.stride == 8


def test_import_refuses_an_output_with_other_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_feature_shard(tmp_path, {"v_z": random_features(2)}, 3)
    source = write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)})
    line = error_line(capsys, run_import(source, tmp_path / "rgb", "--overwrite"))
    assert "rgb/0003/manifest.json: this shard is not part of the imported feature" in line


def test_export_leaves_out_videos_without_features_and_replaces_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(2), "v_silent": "no_audio"})
    arguments = ["export", str(tmp_path / "rgb"), "--output", str(tmp_path / "out"), "--suffix", "_rgb"]
    with caplog.at_level(logging.INFO):
        assert main(arguments) == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["v_a_rgb.npy"]
    assert "1 videos; left out 1 videos" in capsys.readouterr().err
    assert "out: already exists" in error_line(capsys, main(arguments))
    arguments[3], arguments[5] = str(tmp_path / "new"), "/../x"
    assert "cannot be a video id" in error_line(capsys, main(arguments))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rgb"]


def test_export_of_a_damaged_shard_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_feature_shard(tmp_path, {"v_a": random_features(40), "v_b": random_features(40)})
    chunk = manifest.parent / "features.zarr" / "c" / "0" / "0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    for output in ("out.h5", "out"):
        line = error_line(capsys, main(["export", str(tmp_path / "rgb"), "--output", str(tmp_path / output)]))
        assert "0000/features.zarr: features of v_a are damaged" in line
    assert [path.name for path in tmp_path.iterdir()] == ["rgb"]


def test_check_grid_accepts_the_published_grid_for_real_durations(tmp_path: Path, shared: Path) -> None:
    # The table of TSP, and the number of rows that its code gives (every second frame, clips of 16).
    table = (shared / "data/activitynet_tsp/activitynet_v1-3_valid_metadata.csv").read_text().splitlines()[1:41]
    rows = {
        name.removesuffix(".mp4"): (float(seconds), (int(frames) + 1) // 2)
        for name, seconds, _, frames in (line.split(",") for line in table)
    }
    arrays = {video: random_features((count - 16) // 16 + 1) for video, (_, count) in rows.items()}
    source = write_h5(tmp_path / "tsp.h5", arrays)
    with open_features(source, rows) as reader:
        reader.check_grid({video: seconds for video, (seconds, _) in rows.items()}, GRID)
    assert all(abs(GRID.num_clips(seconds) - ((count - 16) // 16 + 1)) <= 1 for seconds, count in rows.values())


def test_import_records_the_source_in_the_manifest(tmp_path: Path) -> None:
    run_import(write_h5(tmp_path / "tsp.h5", {"v_a": random_features(3)}), tmp_path / "features" / "tsp")
    metadata = read_manifest(tmp_path / "features" / "tsp" / "0000" / "manifest.json").metadata
    assert metadata == {
        "videos": 1, "absent": 0, "clips": 3, "dim": 5, "fps": 15.0, "frames": 16, "stride": 16, "dtype": "float32",
        "feature": "tsp", "imported_from": "tsp.h5", "shards": 1,
    }  # fmt: skip
