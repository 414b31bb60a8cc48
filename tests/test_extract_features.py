"""The stage extracts the feature of a shard, or imports it from a file."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.extraction import (
    CPU,
    extract_rows,
    read_reject_reasons,
    record_decoded_files,
    run_stage,
    write_encoder,
)
from helpers.feature_files import update_manifest
from helpers.video_corpus import counting_frames, write_h264, write_video_shard
from helpers.video_files import write_video

from pipeline.encoders.pretrained import read_encoder
from pipeline.extract_features import main
from pipeline.features.combined import CombinedFeatures
from pipeline.features.exchange import open_features
from pipeline.features.extraction.sources import find_sources
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.shard import IndexRow
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import read_manifest


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    sizes = {"v_b": (70, (24, 32)), "v_a": (33, (48, 20)), "v_c": (9, (24, 32)), "v_d": (12, (24, 32))}
    videos = {video: counting_frames(frames, size) for video, (frames, size) in sizes.items()}
    return write_video_shard(tmp_path / "video" / "0000", videos)


def write_h5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for video, array in arrays.items():
            file[video] = array
    return path


def import_file(path: Path, videos: Path, output: Path, *options: str) -> int:
    config = json.dumps({"file": str(path), "fps": 15.0, "frames": 4, "stride": 4})
    return main(["--config", config, "--videos", str(videos), "--output", str(output), *options])


def test_each_video_has_its_rows_and_the_manifest_its_metadata(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", fps=15.0)
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run_stage(encoder, shard, output) == 0
    features = CombinedFeatures.open(tmp_path / "features", ["tiny"], 1)
    assert features.dim == 128
    assert features.grid == ClipGrid(fps=15.0, frames=4, stride=4)
    assert {video: features.videos[video] for video in features.videos} == pytest.approx(
        {"v_a": 33 / 30, "v_b": 70 / 30, "v_c": 9 / 30, "v_d": 12 / 30}
    )
    assert {video: len(features.read(video)) for video in features.videos} == {"v_a": 4, "v_b": 8, "v_c": 1, "v_d": 1}
    metadata = read_manifest(output).metadata
    assert metadata["encoder"] == "tiny"
    assert metadata["weights_sha256"] == read_manifest(encoder).files["model.safetensors"]["sha256"]
    assert metadata["videos"] == 4
    assert metadata["clips"] == 14
    assert (output.parent / "manifest.provenance.json").is_file()


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_any_number_of_shards_gives_the_same_features(tmp_path: Path, shards: int) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    videos = {f"v_{index}": counting_frames(9 + 8 * index) for index in range(7)}
    manifests = []
    for number in range(shards):
        of_shard = {video: videos[video] for video in sorted(videos)[number::shards]}
        manifests.append(write_video_shard(tmp_path / f"video{number}", of_shard))
        output = tmp_path / "features" / "tiny" / f"{number:04d}" / "manifest.json"
        assert run_stage(encoder, manifests[-1], output) == 0
    features = CombinedFeatures.open(tmp_path / "features", ["tiny"], shards)
    expected = extract_rows(VideoEncoderExtractor("tiny", read_encoder(encoder), 4, CPU), find_sources(manifests))
    assert features.videos.keys() == expected.keys() == videos.keys()
    for video in videos:
        np.testing.assert_allclose(features.read(video), expected[video], atol=1e-4)


def test_a_video_shorter_than_a_clip_is_padded_and_marked(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", frames=4, fps=7.5)
    assert run_stage(encoder, shard, tmp_path / "out" / "manifest.json") == 0
    index = {row.video: row for row in read_rows(tmp_path / "out" / "index.parquet", IndexRow)}
    assert {video: row.padded for video, row in index.items()} == {
        "v_a": False, "v_b": False, "v_c": True, "v_d": True
    }  # fmt: skip
    assert index["v_c"].clips == 1


def test_a_shard_without_videos_gives_a_feature_without_rows(tmp_path: Path) -> None:
    videos = write_video_shard(tmp_path / "video" / "0000", {})
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run_stage(write_encoder(tmp_path / "encoder"), videos, output) == 0
    assert CombinedFeatures.open(tmp_path / "features", ["tiny"], 1).videos == {}


def test_a_file_that_ends_early_is_named(tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_h264(shard.parent / "v_b.mp4", counting_frames(50))
    update_manifest(shard, "v_b.mp4")
    assert run_stage(write_encoder(tmp_path / "encoder"), shard, tmp_path / "out" / "manifest.json") == 2
    assert "v_b.mp4: 13 frames decoded, expected 18" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_same_settings_give_the_same_features_to_the_last_bit(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    for workers in (1, 2):
        assert run_stage(encoder, shard, tmp_path / str(workers) / "manifest.json", workers=workers) == 0
    one, two = (read_manifest(tmp_path / folder / "manifest.json") for folder in ("1", "2"))
    assert (one.files, one.metadata) == (two.files, two.metadata)


@pytest.mark.parametrize(("tail", "num_rows"), [("drop", 8), ("pad", 9)])
def test_tail_drops_or_pads_the_end(tmp_path: Path, shard: Path, tail: str, num_rows: int) -> None:
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run_stage(write_encoder(tmp_path / "encoder", fps=15.0), shard, output, tail=tail) == 0
    assert len(CombinedFeatures.open(tmp_path / "features", ["tiny"], 1).read("v_b")) == num_rows
    assert read_manifest(output).metadata["tail"] == tail


def test_max_rejected_bounds_the_share_of_rejected_videos(tmp_path: Path, shard: Path) -> None:
    (shard.parent / "v_b.mp4").write_bytes((shard.parent / "v_b.mp4").read_bytes()[:300].ljust(500, b"x"))
    update_manifest(shard, "v_b.mp4")
    encoder, output = write_encoder(tmp_path / "encoder"), tmp_path / "out" / "manifest.json"
    assert run_stage(encoder, shard, output, max_rejected=0.2) == 2
    assert run_stage(encoder, shard, output, max_rejected=0.25) == 0
    assert read_reject_reasons(output) == {"v_b": "unreadable"}
    assert read_manifest(output).metadata["videos"] == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"encoder": "x"}', "--encoder: give the manifest of the encoder 'x'"),
        ('{"encoder": "x", "strid": 2}', "unknown key extract_features.strid"),
        ('{"extractor": "vgish", "weights": "random"}', "extract_features.extractor = 'vgish'"),
        ('{"extractor": "resnet152", "weights": "random", "pca": true}', "unknown key extract_features.pca"),
    ],
)
def test_invalid_settings_are_one_plain_error(
    tmp_path: Path, config: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = write_video_shard(tmp_path / "video", {})
    assert main(["--config", config, "--videos", str(videos), "--output", str(tmp_path / "out" / "manifest.json")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_imported_features_are_written_for_the_videos_of_the_shard(tmp_path: Path, shard: Path) -> None:
    rng = np.random.default_rng(0)
    num_rows = {"v_a": 4, "v_b": 8, "v_c": 1, "v_other": 3}
    arrays = {video: rng.standard_normal((count, 6)).astype(np.float32) for video, count in num_rows.items()}
    output = tmp_path / "features" / "tsp" / "0000" / "manifest.json"
    assert import_file(write_h5(tmp_path / "tsp.h5", arrays), shard, output) == 0
    store = FeatureStore(output.parents[1])
    assert set(store) == {"v_a", "v_b", "v_c"}
    assert store.absent == {"v_d": "not_in_file"}
    assert all(np.array_equal(store[video].rows, arrays[video]) for video in store)
    provenance = json.loads((output.parent / "manifest.provenance.json").read_text())
    assert any(name.endswith("tsp.h5") for name in provenance["inputs"])


def test_an_imported_file_is_published_again_unless_it_is_to_be_overwritten(
    tmp_path: Path, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "features" / "tsp" / "0000" / "manifest.json"
    file = write_h5(tmp_path / "tsp.h5", {"v_a": np.zeros((4, 6), np.float32)})
    assert import_file(file, shard, output) == 0
    before = output.read_bytes()
    output.unlink()
    calls: list[Path] = []
    monkeypatch.setattr(
        "pipeline.extract_features.open_features",
        lambda path, *arguments: calls.append(path) or open_features(path, *arguments),
    )
    assert import_file(file, shard, output) == 0
    assert calls == []
    assert output.read_bytes() == before
    assert import_file(file, shard, output, "--overwrite") == 0
    assert calls == [file]


def test_an_imported_folder_is_read_again(tmp_path: Path, shard: Path) -> None:
    output, folder = tmp_path / "features" / "tsp" / "0000" / "manifest.json", tmp_path / "tsp"
    folder.mkdir()
    for value in (1.0, 2.0):  # the sha256 of a folder's files are not known
        np.save(folder / "v_a.npy", np.full((4, 6), value, np.float32))
        assert import_file(folder, shard, output) == 0
        assert FeatureStore(output.parents[1])["v_a"].rows[0, 0] == value
        output.unlink()


def test_another_time_limit_extracts_again_although_it_is_a_setting_of_the_machine(
    tmp_path: Path, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, output = write_encoder(tmp_path / "encoder"), tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run_stage(encoder, shard, output) == 0
    before = output.read_bytes()
    decoded = record_decoded_files(monkeypatch)
    for settings, count in (({"workers": 2}, 0), ({"timeout_s": 20.0}, 4)):
        output.unlink()
        assert run_stage(encoder, shard, output, **settings) == 0
        assert len(decoded) == count
        assert output.read_bytes() == before


def test_importing_needs_videos_of_known_duration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_video(tmp_path / "raw.mp4", seconds=1)
    assert import_file(tmp_path / "tsp.h5", raw, tmp_path / "f" / "manifest.json") == 2
    error = capsys.readouterr().err
    assert str(raw) in error
    assert "manifest.json" in error


def test_importing_replaces_another_feature_only_with_overwrite(
    tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run_stage(write_encoder(tmp_path / "encoder"), shard, output) == 0
    before = output.read_bytes()
    theirs = write_h5(tmp_path / "theirs.h5", {"v_a": np.zeros((4, 6), np.float32)})
    unrelated = write_h5(tmp_path / "unrelated.h5", {"unrelated": np.zeros((4, 6), np.float32)})
    assert import_file(theirs, shard, output) == 2
    assert str(output) in capsys.readouterr().err
    assert output.read_bytes() == before
    assert import_file(unrelated, shard, output, "--overwrite") == 2
    assert "unrelated.h5: has none of the 4 selected videos" in capsys.readouterr().err
    assert import_file(theirs, shard, output, "--overwrite") == 0


def test_max_rejected_bounds_the_share_of_faulty_arrays(
    tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "features" / "theirs" / "0000" / "manifest.json"
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["v_a/rgb"], file["v_a/flow"] = np.zeros((4, 6), np.float32), np.ones((4, 6), np.float32)
        file["b/rgb"], file["b/flow"] = np.full((8, 6), np.nan), np.ones((8, 6), np.float32)
        file["v_c/rgb"] = np.zeros(0)
    grid = {"file": str(tmp_path / "theirs.h5"), "key": "rgb", "fps": 15.0, "frames": 4, "stride": 4}
    for max_rejected, status in ((0.2, 2), (0.25, 0)):
        config = json.dumps({**grid, "max_rejected": max_rejected})
        assert main(["--config", config, "--videos", str(shard), "--output", str(output)]) == status
        assert output.is_file() == (status == 0)
        assert "1 of 4 videos" in capsys.readouterr().err or status == 0
    reasons = {"v_b": "not_finite", "v_c": "no_rows", "v_d": "not_in_file"}
    assert read_reject_reasons(output) == reasons
    assert FeatureStore(output.parents[1]).absent == reasons
