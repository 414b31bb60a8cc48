"""Features of other projects in their layouts: groups, suffixes, tensors, empty arrays; a bad one costs its video."""

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.evaluation_files import write_corpus
from helpers.feature_files import GRID, random_features
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.commands.exchange import main
from pipeline.datasets.corpus import RejectedVideo
from pipeline.features.store import FeatureStore
from pipeline.io.tables import read_rows

GRID_OPTIONS = ["--fps", f"{GRID.fps}", "--frames", f"{GRID.frames}", "--stride", f"{GRID.stride}"]
Arrays = Mapping[str, np.ndarray]
Layout = tuple[Callable[[Path, Arrays], Path], tuple[str, ...]]


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


def write_groups(path: Path, arrays: Arrays, key: str, *others: str) -> Path:
    """Write one group per video, as the files of C3D and of MDVC; the arrays under other keys have other numbers."""
    with h5py.File(path, "w") as file:
        for video, rows in arrays.items():
            file[f"{video}/{key}"] = rows
            for other in others:
                file[f"{video}/{other}"] = rows + 1
    return path


def write_c3d(path: Path, arrays: Arrays) -> Path:
    return write_groups(path.with_suffix(".h5"), arrays, "c3d_features")


def write_mdvc(path: Path, arrays: Arrays) -> Path:
    return write_groups(path.with_suffix(".hdf5"), arrays, "i3d_features/rgb", "i3d_features/flow")


def write_tsp(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for video, rows in arrays.items():
            file[video] = rows
    return path.with_suffix(".h5")


def write_npy(path: Path, arrays: Arrays) -> Path:
    path.mkdir()
    for video, rows in arrays.items():
        np.save(path / f"{video}.npy", rows)
    return path


def write_video_features(path: Path, arrays: Arrays) -> Path:
    """Write a folder of video_features: several arrays per video."""
    path.mkdir()
    for video, rows in arrays.items():
        for suffix, array in {"_rgb": rows, "_flow": rows + 1, "_fps": np.float64(25.0)}.items():
            np.save(path / f"{video}{suffix}.npy", array)
    return path


def write_tensors(path: Path, arrays: Arrays) -> Path:
    path.mkdir()
    for video, rows in arrays.items():
        torch.save(torch.tensor(rows), path / f"{video}.pt")
    return path


def write_tensor_dicts(path: Path, arrays: Arrays) -> Path:
    path.mkdir()
    for video, rows in arrays.items():
        torch.save({"features": torch.tensor(rows), "fps": 25.0}, path / f"{video}.pt")
    return path


LAYOUTS: dict[str, Layout] = {
    "tsp": (write_tsp, ()),
    "c3d": (write_c3d, ()),
    "c3d_by_key": (write_c3d, ("--key", "c3d_features")),
    "mdvc": (write_mdvc, ("--key", "i3d_features/rgb")),
    "npy": (write_npy, ()),
    "video_features": (write_video_features, ("--suffix", "_rgb")),
    "tensors": (write_tensors, ()),
    "tensor_dicts": (write_tensor_dicts, ()),
    "tensor_dicts_by_key": (write_tensor_dicts, ("--key", "features")),
}
EMPTY_SHAPES = [(0,), (0, 0), (0, 5), (5, 0), (0, 1, 5)]


@settings(max_examples=40, deadline=None)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    stems=st.lists(st.text("abcxyz0189-_", min_size=3, max_size=11), min_size=1, max_size=4, unique=True),
    file_has_prefix=st.booleans(),
    corpus_has_prefix=st.booleans(),
    lengths=st.lists(st.integers(1, 4), min_size=5, max_size=5),
    empty=st.sampled_from(EMPTY_SHAPES),
)
def test_every_layout_gives_the_rows_of_every_video(
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    stems: list[str],
    file_has_prefix: bool,
    corpus_has_prefix: bool,
    lengths: list[int],
    empty: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("layouts")
    in_file, in_corpus = ("v_" if has else "" for has in (file_has_prefix, corpus_has_prefix))
    # `empty-video` has none of the letters' suffixes; `v_`-less stems that begin with v_ do not occur.
    rows = {
        stem: random_features(length, seed) for seed, (stem, length) in enumerate(zip(stems, lengths, strict=False))
    }
    write, options = LAYOUTS[layout]
    arrays = {f"{in_file}{stem}": array for stem, array in {**rows, "empty.video": np.zeros(empty, np.float32)}.items()}
    source = write(folder / "source", arrays)
    videos = [(f"{in_corpus}{stem}", "train", True) for stem in (*stems, "empty.video", "lost.video")]
    corpus = write_corpus(folder / "corpus", videos, duration=None)

    assert run_import(source, folder / "out", "--corpus", str(corpus), *options) == 0

    store = FeatureStore(folder / "out")
    assert {video: store[video].rows.tobytes() for video in store} == {
        f"{in_corpus}{stem}": array.tobytes() for stem, array in rows.items()
    }
    assert store.absent == {f"{in_corpus}empty.video": "no_rows", f"{in_corpus}lost.video": "not_in_file"}


def test_case_of_an_empty_array_in_a_folder_of_video_features(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "cases/12_npy_empty/vf_short"
    assert run_import(folder, tmp_path / "rgb", "--suffix", "_rgb") == 0
    store = FeatureStore(tmp_path / "rgb")
    assert {video: store.num_rows(video) for video in store} == {"v_a": 4, "v_c": 2}
    assert store.absent == {"v_b": "no_rows"}
    assert "1 videos no_rows: v_b" in capsys.readouterr().err
    for video in ("v_a", "v_c"):
        expected = np.load(folder / f"{video}_rgb.npy").astype(np.float32)
        np.testing.assert_array_equal(store[video].rows, expected)
    line = error_line(capsys, run_import(folder, tmp_path / "all"))
    assert "_flow, _fps, _rgb, _timestamps_ms" in line
    assert not (tmp_path / "all").exists()


def test_case_of_one_group_per_video(tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "cases/16_nested_h5"
    assert run_import(folder / "c3d_nested.h5", tmp_path / "c3d") == 0
    assert "'c3d_features'" in capsys.readouterr().err
    line = error_line(capsys, run_import(folder / "mdvc_nested.h5", tmp_path / "mdvc"))
    assert "--key): i3d_features/flow, i3d_features/rgb" in line
    assert run_import(folder / "mdvc_nested.h5", tmp_path / "rgb", "--key", "i3d_features/rgb") == 0
    for name, file, key in (("c3d", "c3d_nested.h5", "c3d_features"), ("rgb", "mdvc_nested.h5", "i3d_features/rgb")):
        store = FeatureStore(tmp_path / name)
        with h5py.File(folder / file) as content:
            assert list(store) == list(content)
            for video in store:
                np.testing.assert_array_equal(store[video].rows, content[f"{video}/{key}"][()])


def test_ids_that_differ_by_a_prefix_are_matched_once_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A video of the corpus that is in the file keeps its array: it is not given to the other one too."""
    corpus = write_corpus(tmp_path / "corpus", [(video, "train", True) for video in ("v_a", "a", "v_b")], duration=None)
    source = write_tsp(tmp_path / "tsp", {"a": random_features(3), "b": random_features(2)})
    assert run_import(source, tmp_path / "out", "--corpus", str(corpus)) == 0
    store = FeatureStore(tmp_path / "out")
    assert {video: store.num_rows(video) for video in store} == {"a": 3, "v_b": 2}
    assert store.absent == {"v_a": "not_in_file"}
    assert "'v_': took b for v_b" in capsys.readouterr().err


BAD_ARRAYS = {
    "not_two_dimensional": np.ones(5),
    "not_numbers": np.array([["a"]]),
    "not_finite": np.array([[np.inf, 0, 0, 0, 0]]),
    "other_channels": random_features(3, dim=7),
}


@pytest.mark.parametrize("reason", BAD_ARRAYS)
def test_a_bad_array_costs_its_video(tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str) -> None:
    whole = {"v_a": random_features(3), "v_z": random_features(2)}
    assert run_import(write_npy(tmp_path / "npy", {**whole, "v_b": BAD_ARRAYS[reason]}), tmp_path / "out") == 3
    assert FeatureStore(tmp_path / "out").absent == {"v_b": reason}
    (reject,) = read_rejects(tmp_path / "out")
    assert (reject.video, reject.reason) == ("v_b", reason)
    assert "v_b" in reject.detail
    assert f"left out v_b: {reason}: {reject.detail}" in capsys.readouterr().err
    for video, rows in whole.items():
        np.testing.assert_array_equal(FeatureStore(tmp_path / "out")[video].rows, rows)


def test_a_group_without_the_key_costs_its_video(tmp_path: Path) -> None:
    path = write_mdvc(tmp_path / "mdvc", {"v_a": random_features(3), "v_b": random_features(2)})
    with h5py.File(path, "a") as file:
        del file["v_b/i3d_features/rgb"]
        file.create_group("v_c")
    assert run_import(path, tmp_path / "out", "--key", "i3d_features/rgb") == 3
    assert FeatureStore(tmp_path / "out").absent == {"v_b": "no_such_key", "v_c": "no_rows"}
    details = {row.video: row.detail for row in read_rejects(tmp_path / "out")}
    assert "it has i3d_features/flow" in details["v_b"]


def test_a_key_that_has_no_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {"v_a": random_features(3)}
    for source in (write_tsp(tmp_path / "tsp", arrays), write_npy(tmp_path / "npy", arrays)):
        assert "leave out the key 'rgb'" in error_line(capsys, run_import(source, tmp_path / "out", "--key", "rgb"))
    line = error_line(capsys, run_import(write_c3d(tmp_path / "c3d", arrays), tmp_path / "out", "--key", "rgb"))
    assert "it has c3d_features" in line
    assert not (tmp_path / "out").exists()


def test_links_of_hdf5_files_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_tsp(tmp_path / "other", {"v_a": random_features(3)})
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file.create_group("v_a")["rgb"] = h5py.ExternalLink(str(other), "v_a")
    for options in ((), ("--key", "rgb")):
        assert "no datasets" in error_line(capsys, run_import(tmp_path / "links.h5", tmp_path / "out", *options))


def test_names_that_are_whole_ids_are_read_with_an_empty_suffix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {f"{group}_{clip}": random_features(2) for group in ("g01", "g02") for clip in ("c01", "c02")}
    source = write_npy(tmp_path / "npy", arrays)
    assert "--suffix ''" in error_line(capsys, run_import(source, tmp_path / "out"))
    assert run_import(source, tmp_path / "out", "--suffix", "") == 0
    assert set(FeatureStore(tmp_path / "out")) == set(arrays)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int16])
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_every_type_of_numbers_are_read(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    tensor = (10 * torch.randn(3, 5)).to(dtype)
    torch.save(torch.nn.Parameter(tensor) if dtype.is_floating_point else tensor, tmp_path / "v_a.pt")
    torch.save(tensor, tmp_path / "v_b_.pth", _use_new_zipfile_serialization=zipped)
    assert run_import(tmp_path, tmp_path / "out") == 0
    store = FeatureStore(tmp_path / "out")
    for video in ("v_a", "v_b_"):
        np.testing.assert_array_equal(store[video].rows, tensor.float().numpy())


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def bad_tensors(folder: Path) -> dict[str, tuple[object, str, str]]:
    """Return content of a file -> reason, and a fact of the detail."""
    rows = torch.zeros(2, 5)
    return {
        "v_bomb": (_Bomb(folder / "executed"), "unreadable", "without executing code"),
        "v_two": ({"rgb": rows, "flow": rows, "fps": 25}, "no_such_key", "rgb, flow, fps"),
        "v_none": ({"fps": 25}, "no_such_key", "has 0 tensors"),
        "v_list": ([rows], "not_numbers", "list"),
        "v_complex": (rows.to(torch.complex64), "not_numbers", "complex64"),
        "v_sparse": (rows.to_sparse(), "not_numbers", "v_sparse.pt"),
    }


@pytest.mark.filterwarnings("ignore:.*[Ss]parse.*")
def test_a_bad_tensor_file_costs_its_video_and_executes_nothing(tmp_path: Path) -> None:
    folder = write_tensors(tmp_path / "pt", {"v_a": random_features(3)})
    cases = bad_tensors(tmp_path)
    for video, (content, _, _) in cases.items():
        torch.save(content, folder / f"{video}.pt")
    (folder / "v_cut.pt").write_bytes((folder / "v_a.pt").read_bytes()[:-60])
    assert run_import(folder, tmp_path / "out") == 3
    assert list(FeatureStore(tmp_path / "out")) == ["v_a"]
    rejects = {row.video: row for row in read_rejects(tmp_path / "out")}
    reasons = {video: reason for video, (_, reason, _) in cases.items()} | {"v_cut": "unreadable"}
    assert {video: row.reason for video, row in rejects.items()} == reasons
    assert [video for video, (_, _, fact) in cases.items() if fact not in rejects[video].detail] == []
    assert not (tmp_path / "executed").exists()
