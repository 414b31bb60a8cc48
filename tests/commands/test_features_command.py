"""`sa-tsp features` extracts features of any videos, and lists the extractors."""

from pathlib import Path

import pytest
from helpers.extraction import read_reject_reasons, run_command, write_encoder
from helpers.video_files import write_video

from pipeline.config.extractors import EXTRACTORS
from pipeline.features.combined import CombinedFeatures
from pipeline.features.store import FeatureStore
from pipeline.provenance.manifest import read_manifest


@pytest.mark.parametrize("num_broken", [20, pytest.param(100, marks=pytest.mark.campaign)])
def test_broken_files_are_named_and_do_not_affect_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], num_broken: int
) -> None:
    folder, encoder = tmp_path / "videos", write_encoder(tmp_path / "encoder")
    good = write_video(tmp_path / "good.mp4", seconds=1, options=("-movflags", "+faststart"))
    damaged = bytearray(good.read_bytes())
    damaged[-3000:-200:20] = bytes(range(1, 141))
    broken = [b"", b"hello", good.read_bytes()[:4000], bytes(damaged)]
    folder.mkdir()
    for number in range(2 * num_broken):
        (folder / f"{number:03d}.mp4").write_bytes(broken[number // 2 % 4] if number % 2 else good.read_bytes())
    arguments = ["--features", "tiny", "--encoder", f"tiny={encoder}", "--videos", folder, "--output", tmp_path / "out"]
    assert run_command(*arguments) == 3
    reasons = read_reject_reasons(tmp_path / "out" / "tiny" / "0000" / "manifest.json")
    assert sorted(reasons) == [f"{number:03d}" for number in range(1, 2 * num_broken, 2)]
    assert set(reasons.values()) == {"empty", "unreadable", "cut_short", "decode_error"}
    output = capsys.readouterr().out
    assert output.startswith(f"{num_broken} ")
    assert all(f"\n{video}\ttiny\t{reason}\t" in output for video, reason in reasons.items())
    assert len(CombinedFeatures.open(tmp_path / "out", ["tiny"], 1).videos) == num_broken


def test_features_of_any_videos_are_extracted_skipped_and_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = write_encoder(tmp_path / "encoders" / "wide", fps=15.0)
    near = write_encoder(tmp_path / "encoders" / "other", fps=5.0)
    write_video(tmp_path / "videos" / "with space.mkv", seconds=2)
    write_video(tmp_path / "-odd.mp4", seconds=2)
    (tmp_path / "videos" / "notes.txt").write_text("no video")
    arguments = ["--features", "wide", "near", "--encoder", wide, f"near={near}", "--output", tmp_path / "out"]
    arguments += ["--device", "cpu", "--videos", tmp_path / "videos", tmp_path / "-odd.mp4"]
    strides = [["--set", f"wide.stride={stride}", f"near.stride={stride}"] for stride in (2, 3)]
    assert run_command(*arguments, *strides[0]) == 0
    assert capsys.readouterr().out == ""
    for name, num_rows in (("wide", 14), ("near", 4)):
        features = CombinedFeatures.open(tmp_path / "out", [name], 1)
        expected = {"with space": num_rows, "-odd": num_rows}
        assert {video: len(features.read(video)) for video in features.videos} == expected
    manifest = tmp_path / "out" / "near" / "0000" / "manifest.json"
    before = read_manifest(manifest)
    assert run_command(*arguments, *strides[0]) == 0
    assert f"{manifest}: up to date" in capsys.readouterr().err
    write_video(tmp_path / "videos" / "new.mp4", seconds=1)
    assert run_command(*arguments, *strides[0]) == 2
    assert "made from other files" in capsys.readouterr().err
    assert read_manifest(manifest) == before
    assert run_command(*arguments, *strides[1]) == 2
    error = capsys.readouterr().err
    assert "stride" in error
    assert "--overwrite" in error
    assert run_command(*arguments, *strides[1], "--overwrite") == 0
    assert len(CombinedFeatures.open(tmp_path / "out", ["wide"], 1).videos) == 3


def test_settings_of_one_feature_are_set_by_name(tmp_path: Path) -> None:
    write_video(tmp_path / "loud.mp4", seconds=3, sound=True)
    arguments = ["--features", "vggish", "--weights", "random", "--videos", tmp_path / "loud.mp4"]
    arguments += ["--output", tmp_path / "out", "--set", "vggish.relu=false", "vggish.stride=7680", "--tail", "pad"]
    assert run_command(*arguments) == 0
    metadata = FeatureStore(tmp_path / "out" / "vggish").metadata
    assert (metadata["relu"], metadata["stride"], metadata["tail"]) == (False, 7680, "pad")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "nope"], "--features nope: "),
        (["--features", "tiny", "vgish"], "did you mean 'vggish'"),
        (["--features", "tiny", "--weights", "some.pt"], "--weights some.pt: "),
        (["--features", "tiny", "--weights", "vgish=x.pth"], "--weights vgish: "),
        (["--features", "vggish", "--weights", "random"], "--encoder tiny: "),
        (["--features", "tiny", "vggish"], "vggish=FILE"),
        (["--features", "tiny", "--videos", "absent.mp4"], "absent.mp4: no such file"),
        (["--features", "tiny", "--set", "tiny.strid=2"], "unknown key tiny.strid"),
        (["--features", "tiny", "--set", "tiny.tail=pad"], "--tail pad"),
        (["--features", "tiny", "--set", "stride=2"], "--set stride=2: "),
        (["--features", "tiny", "--set", "vggish.relu=true"], "--set vggish: "),
        (["--features", "tiny", "--batch-size", "0"], "extract_features.batch_size = 0"),
    ],
)
def test_wrong_arguments_are_one_plain_error(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--videos", write_video(tmp_path / "v.mp4", seconds=0.5), "--output", tmp_path / "out"]
    encoder = ["--encoder", f"tiny={write_encoder(tmp_path / 'encoder')}"]
    assert run_command(*common, *encoder, *arguments) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()


def test_two_videos_of_one_id_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    videos = [write_video(tmp_path / folder / "v.mp4", seconds=0.5) for folder in ("one", "two")]
    arguments = ["--features", "e", "--encoder", f"e={encoder}", "--output", tmp_path / "out"]
    assert run_command(*arguments, "--videos", *videos) == 2
    error = capsys.readouterr().err
    assert all(str(path) in error for path in videos)


def test_list_marks_the_extractors_whose_weight_file_is_present(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rgb_imagenet.pt").touch()
    assert run_command("--list", "--folder", tmp_path) == 0
    heading, *lines, note = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "modality", "channels", "network"]
    assert note.startswith("* ")
    assert [line[2:].split()[0] for line in lines] == list(EXTRACTORS)
    assert [line.split()[1] for line in lines if line.startswith("*")] == ["i3d_rgb"]


def test_show_states_windows_settings_and_weight_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--show", "vggish", "--folder", tmp_path) == 0
    text = capsys.readouterr().out
    assert "15600 samples at 16000 per second (0.975 s), one every 15360 samples (0.96 s)" in text
    assert "vggish-10086976.pth from https://github.com/" in text
    assert "vggish_pca_params-970ea276.pth" in text
    assert "licence: Apache-2.0" in text
    assert "relu = bool" in text
    assert run_command("--show", "i3d") == 2
    assert "i3d_rgb" in capsys.readouterr().err


def test_help_lists_the_settings_of_every_extractor(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_command("--help")
    assert raised.value.code == 0
    text = capsys.readouterr().out
    for spec in EXTRACTORS.values():
        settings = set(spec.settings.model_fields) - {"extractor", "max_rejected"}
        assert all(name in text.replace("-", "_") for name in settings)
