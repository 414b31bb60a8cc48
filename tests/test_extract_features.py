"""Every video gives the clips that TSP's code would cut, whatever the batches."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.feature_files import vouch
from helpers.video_corpus import SMALL, counting, shoot, write_videos
from helpers.video_files import film

from pipeline.config.pretrain_encoder import Clip, PretrainEncoder
from pipeline.config.reencode import Reencode
from pipeline.datasets.corpus import REJECTS
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.geometry import central_crop, prepare, stack
from pipeline.encoders.model import PretrainingModel, read_encoder, write_model
from pipeline.extract_features import main
from pipeline.features.combined import SCHEMA, ClipGrid, Features, FeatureStore
from pipeline.features.extraction.extractor_pass import Made, extract
from pipeline.features.extraction.sources import Source, find_sources
from pipeline.features.extraction.writer import Output
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.clip_encoder import OwnEncoder
from pipeline.io.tables import read_table
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.video.encode import reencode_video
from pipeline.video.shard import VideoRow, Videos
from pipeline.video.stream import Pixels, Timed, timed
from pipeline.video.tools import ffmpeg

CPU = torch.device("cpu")


def made_by(extractors: Sequence[Extractor], sources: Sequence[Source], **options: Any) -> dict[str, list[Any]]:
    """What extractors make of videos, in one pass: `Made` or `Reason` of each."""
    results = extract(sources, extractors, **{"batch_size": 32, "device": CPU, **options})
    return {source.video: found for source, found in results}


def rows_of(extractor: Extractor, sources: Sequence[Source], **options: Any) -> dict[str, np.ndarray]:
    """Features of videos by one extractor."""
    found = {video: made for video, [made] in made_by([extractor], sources, **options).items()}
    assert all(isinstance(made, Made) for made in found.values()), found
    return {video: made.rows for video, made in found.items()}


def write_encoder(folder: Path, **clip: object) -> Path:
    """An encoder with random weights, as pretraining leaves one."""
    config = PretrainEncoder.parse({**SMALL, "clip": {**SMALL["clip"], **clip}}, "")
    torch.manual_seed(0)
    model = PretrainingModel(config, 2, 0)
    files = write_model(folder, model, config, labels=["a", "b"], concepts=[])
    write_manifest(folder / "manifest.json", files, {})
    return folder / "manifest.json"


def run(encoder: Path, videos: Path, output: Path, **config: object) -> int:
    words = {"--encoder": encoder, "--videos": videos, "--output": output}
    text = json.dumps({"encoder": "tiny", "stride": 4, "device": "cpu", **config})
    return main(["--config", text, *(str(word) for pair in words.items() for word in pair)])


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    films = {"v_b": counting(70), "v_a": counting(33, (48, 20)), "v_c": counting(9), "v_d": counting(12)}
    return write_videos(tmp_path / "video" / "0000", films)


def test_each_video_has_its_rows_in_time(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", fps=15.0)
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(encoder, shard, output) == 0
    features = Features.open(tmp_path / "features", ["tiny"], 1)
    assert features.dim == 128
    assert features.grid == ClipGrid(fps=15.0, frames=4, stride=4)
    assert {video: features.videos[video] for video in features.videos} == pytest.approx(
        {"v_a": 33 / 30, "v_b": 70 / 30, "v_c": 9 / 30, "v_d": 12 / 30}
    )
    assert {video: len(features.read(video)) for video in features.videos} == {"v_a": 4, "v_b": 8, "v_c": 1, "v_d": 1}
    facts = read_manifest(output).facts
    assert facts["encoder"] == "tiny"
    assert facts["weights_sha256"] == read_manifest(encoder).payloads["model.safetensors"]["sha256"]
    assert facts["videos"] == 4
    assert facts["clips"] == 14
    assert (output.parent / "manifest.provenance.json").is_file()


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_rows_are_the_encoders_features_of_the_clips(tmp_path: Path, shard: Path, batch_size: int) -> None:
    pretrained = read_encoder(write_encoder(tmp_path / "encoder"))
    clip, rows = pretrained.config.clip, Videos.read([shard]).rows
    found = rows_of(OwnEncoder("tiny", pretrained, 3, CPU), find_sources([shard]), batch_size=batch_size)
    reader, crop = ClipReader(rows, clip), central_crop(clip, (clip.height, clip.width))
    one_by_one = [prepare(torch.from_numpy(reader.read("v_b", first)), clip, crop, flip=False)
                  for first in range(0, 18 - 4 + 1, 3)]  # fmt: skip
    with torch.no_grad():
        expected = torch.cat([pretrained.encoder(stack([frames])) for frames in one_by_one])
    np.testing.assert_allclose(found["v_b"], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batches_and_order_of_videos_do_not_matter(tmp_path: Path, shard: Path, batch_size: int) -> None:
    encoder = OwnEncoder("tiny", read_encoder(write_encoder(tmp_path / "encoder")), 2, CPU)
    sources = find_sources([shard])
    expected, found = rows_of(encoder, sources), rows_of(encoder, sources[::-1], batch_size=batch_size, threads=2)
    assert found.keys() == expected.keys()
    for video in expected:
        np.testing.assert_allclose(found[video], expected[video], atol=1e-4)


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_any_number_of_shards_gives_the_same_features(tmp_path: Path, shards: int) -> None:
    encoder, films = write_encoder(tmp_path / "encoder"), {f"v_{i}": counting(9 + 8 * i) for i in range(7)}
    for number in range(shards):
        videos = write_videos(
            tmp_path / f"video{number}", {video: films[video] for video in sorted(films)[number::shards]}
        )
        assert run(encoder, videos, tmp_path / "features" / "tiny" / f"{number:04d}" / "manifest.json") == 0
    features = Features.open(tmp_path / "features", ["tiny"], shards)
    together = OwnEncoder("tiny", read_encoder(encoder), 4, CPU)
    expected = rows_of(together, find_sources([tmp_path / f"video{number}/manifest.json" for number in range(shards)]))
    assert features.videos.keys() == expected.keys() == films.keys()
    for video in films:
        np.testing.assert_allclose(features.read(video), expected[video], atol=1e-4)


def test_a_video_shorter_than_a_clip_is_padded_and_marked(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", frames=4, fps=7.5)
    assert run(encoder, shard, tmp_path / "out" / "manifest.json") == 0
    index = {row["video"]: row for row in read_table(tmp_path / "out" / "index.parquet", SCHEMA)}
    assert {video: row["padded"] for video, row in index.items()} == {
        "v_a": False, "v_b": False, "v_c": True, "v_d": True
    }  # fmt: skip
    assert index["v_c"]["clips"] == 1


def test_a_shard_without_videos_is_a_shard_without_rows(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "video" / "0000", {})
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(write_encoder(tmp_path / "encoder"), videos, output) == 0
    assert Features.open(tmp_path / "features", ["tiny"], 1).videos == {}


class Means:
    """Stands for an encoder where only the clips matter: gives a clip's mean colour."""

    name, modality, dim = "means", "frames", 3

    def __init__(self, clip: Clip) -> None:
        self.grid, self.facts = ClipGrid(clip.fps, clip.frames, 16), {}

    def prepare(self, window: torch.Tensor) -> torch.Tensor:
        return window.float().mean(dim=(0, 1, 2))

    def __call__(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(windows))


@pytest.mark.parametrize(("frames", "rows"), [(543, 17), (542, 16), (420, 13), (31, 1), (30, 1)])
def test_the_published_geometry_gives_the_published_numbers_of_rows(tmp_path: Path, frames: int, rows: int) -> None:
    tiny = [np.full((16, 16, 3), i % 250, dtype=np.uint8) for i in range(frames)]
    path = shoot(tmp_path / "v.mp4", tiny)
    row = VideoRow("v", path, frames, 30.0, 16, 16, audio=False)
    for source in (Source("v", path, row), Source("v", path)):
        assert len(rows_of(Means(Clip()), [source])["v"]) == rows


def test_a_file_that_ends_early_is_named(tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shoot(shard.parent / "v_b.mp4", counting(50))
    vouch(shard, "v_b.mp4")
    assert run(write_encoder(tmp_path / "encoder"), shard, tmp_path / "out" / "manifest.json") == 2
    said = capsys.readouterr().err
    assert "v_b.mp4: 13 frames could be decoded where 18 were expected" in said
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(("fps", "frames"), [("30000/1001", 30), ("25", 25), ("24", 25), ("50", 51)])
def test_the_mark_of_a_padded_video_is_what_was_done(tmp_path: Path, fps: str, frames: int) -> None:
    path = film(tmp_path / "v.mp4", seconds=9, fps=fps, options=("-frames:v", str(frames)))
    [made] = made_by([Means(Clip())], [Source("v", path)])["v"]
    [bright] = made_by([Brightness("b", 15.0, 1, 1)], [Source("v", path)])["v"]
    assert made.padded == (len(bright.rows) < 16)


class Brightness:
    """Stands for an extractor of any geometry: gives each frame of a window its mean brightness."""

    modality = "frames"

    def __init__(self, name: str, fps: float, frames: int, stride: int) -> None:
        self.name, self.dim, self.facts = name, frames, {}
        self.grid = ClipGrid(fps, frames, stride)

    def prepare(self, window: torch.Tensor) -> torch.Tensor:
        return window.float().mean(dim=(1, 2, 3))

    def __call__(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(windows))


class Loudness:
    """The same for sound: the mean square of each tenth of a window."""

    name, modality, dim = "loudness", "sound", 10

    def __init__(self) -> None:
        self.grid, self.facts = ClipGrid(16000.0, 16000, 8000), {}

    def prepare(self, window: torch.Tensor) -> torch.Tensor:
        return window.square().view(10, -1).mean(dim=1)

    def __call__(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(windows))


def anybody(*words: object) -> int:
    return main([str(word) for word in words])


def left_out(manifest: Path) -> dict[str, str]:
    return {row["video"]: row["reason"] for row in read_table(manifest.parent / "rejects.parquet", REJECTS)}


def test_extractors_of_all_rates_share_one_decode(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def watched(path: Path, **words: Any) -> Iterator[Timed]:
        opened.append(path)
        return timed(path, **words)

    monkeypatch.setattr("pipeline.features.extraction.window_reader.timed", watched)
    grids = {"a": (30.0, 3, 2), "b": (7.5, 2, 5), "c": (20.0, 1, 4), "d": (60.0, 4, 4)}
    many = [Brightness(name, *grid) for name, grid in grids.items()]
    together = made_by(many, find_sources([shard]), batch_size=3)
    assert sorted(opened) == sorted(shard.parent.glob("*.mp4"))
    for number, extractor in enumerate(many):
        alone = rows_of(extractor, find_sources([shard]))
        for video, found in together.items():
            np.testing.assert_array_equal(found[number].rows, alone[video])
    numbers = (together["v_b"][1].rows - 20) / 2  # frame i is 2 i + 20 bright
    np.testing.assert_allclose(numbers, [[0, 4], [20, 24], [40, 44], [60, 64]], atol=0.6)
    numbers = (together["v_b"][2].rows[:, 0] - 20) / 2
    np.testing.assert_allclose(numbers, range(0, 70, 6), atol=0.6)


def test_the_same_call_gives_the_same_numbers_to_the_last_bit(tmp_path: Path, shard: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    for folder in ("one", "two"):
        assert run(encoder, shard, tmp_path / folder / "manifest.json", workers=1 if folder == "one" else 2) == 0
    one, two = (read_manifest(tmp_path / folder / "manifest.json") for folder in ("one", "two"))
    assert (one.payloads, one.facts) == (two.payloads, two.facts)


@pytest.mark.parametrize(("tail", "rows"), [("drop", 8), ("pad", 9)])
def test_the_tail_is_dropped_or_padded(tmp_path: Path, shard: Path, tail: str, rows: int) -> None:
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(write_encoder(tmp_path / "encoder", fps=15.0), shard, output, tail=tail) == 0
    assert len(Features.open(tmp_path / "features", ["tiny"], 1).read("v_b")) == rows
    assert read_manifest(output).facts["tail"] == tail


def test_raw_videos_of_any_kind_give_what_their_re_encoded_ones_do(tmp_path: Path) -> None:
    fine = ("-crf", "10")
    kinds: dict[str, tuple[str, tuple[str, ...]]] = {
        "a.mp4": ("30", fine),
        "b.mkv": ("25", fine),
        "c.avi": ("24", ("-c:v", "mpeg4", "-q:v", "2")),
        "d.webm": ("12", ("-c:v", "libvpx", "-b:v", "2M")),
        "e.ts": ("30000/1001", fine),
        "f.mov": ("60", (*fine, "-bf", "3")),
    }
    for name, (fps, options) in kinds.items():
        film(tmp_path / "raw" / name, seconds=3, fps=fps, options=options)
        film(tmp_path / "cfr" / f"{name[0]}.mp4", seconds=3, fps=fps, options=("-crf", "4", "-filter:v", "fps=fps=30"))
    clip = Clip(fps=15.0, frames=8, height=64, width=96, crop=64)
    raw, constant = (rows_of(Means(clip), find_sources([tmp_path / folder])) for folder in ("raw", "cfr"))
    for video in "abcdef":
        assert len(raw[video]) == len(constant[video]) == 3, video
        np.testing.assert_allclose(raw[video], constant[video], atol=3.0, err_msg=video)


def test_a_film_that_was_held_upright_is_seen_upright(tmp_path: Path) -> None:
    plain = film(tmp_path / "plain.mp4", seconds=1)
    words = ["-display_rotation", "90", "-i", str(plain), "-c", "copy", str(tmp_path / "turned.mp4")]
    subprocess.run([str(ffmpeg()), "-nostdin", "-loglevel", "error", *words], check=True)
    words = ["-i", str(tmp_path / "turned.mp4"), "-crf", "0", str(tmp_path / "upright.mp4")]
    subprocess.run([str(ffmpeg()), "-nostdin", "-loglevel", "error", *words], check=True)
    names = ("turned.mp4", "upright.mp4")
    turned, upright = ([Pixels()(frame.picture) for frame in timed(tmp_path / name)] for name in names)
    assert turned[0].shape == (96, 64, 3)
    np.testing.assert_allclose(turned[5].astype(int), upright[5].astype(int), atol=12)


def test_sound_is_cut_into_windows_too(tmp_path: Path) -> None:
    film(tmp_path / "films" / "loud.mp4", seconds=3, sound=True)
    film(tmp_path / "films" / "mute.mp4", seconds=3)
    film(tmp_path / "films" / "tone.m4a", seconds=3, sound=True, options=("-map", "1:a"))
    both = [Brightness("b", 10.0, 5, 5), Loudness()]
    found = made_by(both, find_sources([tmp_path / "films"]))
    assert found["mute"][1].code == "no_sound"
    assert found["tone"][0].code == "unreadable"
    for video in ("loud", "tone"):
        sound = found[video][1]
        assert sound.rows.shape == (5, 10)
        assert sound.duration == pytest.approx(3, abs=0.1)
        np.testing.assert_allclose(sound.rows[:4], 1 / 128, rtol=0.1)  # ffmpeg's sine has an amplitude of 1/8
    assert found["loud"][0].rows.shape == found["mute"][0].rows.shape == (6, 5)


def test_a_hundred_broken_files_among_two_hundred_are_named_and_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, encoder = tmp_path / "films", write_encoder(tmp_path / "encoder")
    good = film(tmp_path / "good.mp4", seconds=1, options=("-movflags", "+faststart"))
    mangled = bytearray(good.read_bytes())
    mangled[-3000:-200:20] = bytes(range(1, 141))
    broken = [b"", b"hello", good.read_bytes()[:4000], bytes(mangled)]
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03d}.mp4").write_bytes(broken[number // 2 % 4] if number % 2 else good.read_bytes())
    words = ["--features", "tiny", "--encoder", f"tiny={encoder}", "--videos", folder, "--output", tmp_path / "out"]
    assert anybody(*words) == 3
    rejects = left_out(tmp_path / "out" / "tiny" / "0000" / "manifest.json")
    assert sorted(rejects) == [f"{number:03d}" for number in range(1, 200, 2)]
    assert set(rejects.values()) == {"unreadable", "decode_error"}
    said = capsys.readouterr().out
    assert said.startswith("100 left out:")
    assert all(f"\n{video}\ttiny\t{reason}\t" in said for video, reason in rejects.items())
    assert len(Features.open(tmp_path / "out", ["tiny"], 1).videos) == 100


def test_one_command_takes_anybodys_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = write_encoder(tmp_path / "encoders" / "wide", fps=15.0)
    near = write_encoder(tmp_path / "encoders" / "other", fps=5.0)
    film(tmp_path / "films" / "with space.mkv", seconds=2)
    film(tmp_path / "-odd.mp4", seconds=2)
    (tmp_path / "films" / "notes.txt").write_text("no video")
    words = ["--features", "wide", "near", "--encoder", wide, f"near={near}", "--output", tmp_path / "out"]
    words += ["--config", '{"stride": 2, "device": "cpu"}', "--videos", tmp_path / "films", tmp_path / "-odd.mp4"]
    assert anybody(*words) == 0
    assert "left out" not in capsys.readouterr().out
    for name, rows in (("wide", 14), ("near", 4)):
        features = Features.open(tmp_path / "out", [name], 1)
        assert {video: len(features.read(video)) for video in features.videos} == {"with space": rows, "-odd": rows}
    before = read_manifest(tmp_path / "out" / "near" / "0000" / "manifest.json")
    assert anybody(*words) == 0
    assert "is there already" in capsys.readouterr().err
    film(tmp_path / "films" / "new.mp4", seconds=1)
    assert anybody(*words) == 2
    assert "made from other files; give another --output, or --overwrite" in capsys.readouterr().err
    assert read_manifest(tmp_path / "out" / "near" / "0000" / "manifest.json") == before
    words[words.index('{"stride": 2, "device": "cpu"}')] = '{"stride": 3, "device": "cpu"}'
    assert anybody(*words) == 2
    assert "holds another feature: stride is 2, now 3; give another output, or --overwrite" in capsys.readouterr().err
    assert anybody(*words, "--overwrite") == 0
    assert len(Features.open(tmp_path / "out", ["wide", "near"][:1], 1).videos) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--features", "nope"], "--features nope: not known; known are"),
        (["--features", "tiny", "--weights", "some.pt"], "--weights some.pt: say of which network: NAME=some.pt"),
        (["--features", "tiny", "--videos", "absent.mp4"], "absent.mp4: no such file or folder"),
        (["--features", "tiny", "--config", '{"strid": 2}'], "unknown key extract_features.strid"),
        ([], "give the manifest of the encoder 'x'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--videos", film(tmp_path / "v.mp4", seconds=0.5), "--output", tmp_path / "out"]
    named = ["--encoder", f"tiny={write_encoder(tmp_path / 'encoder')}"] if words else ["--config", '{"encoder": "x"}']
    assert anybody(*given, *named, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_videos_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    films = [film(tmp_path / folder / "v.mp4", seconds=0.5) for folder in ("one", "two")]
    words = ["--features", "e", "--encoder", f"e={encoder}", "--output", tmp_path / "out"]
    assert anybody(*words, "--videos", *films) == 2
    assert "has the same name up to the suffix" in capsys.readouterr().err


def test_a_shard_may_lose_as_many_videos_as_config_says(tmp_path: Path, shard: Path) -> None:
    (shard.parent / "v_b.mp4").write_bytes((shard.parent / "v_b.mp4").read_bytes()[:300].ljust(500, b"x"))
    vouch(shard, "v_b.mp4")
    encoder, output = write_encoder(tmp_path / "encoder"), tmp_path / "out" / "manifest.json"
    assert run(encoder, shard, output, max_rejected=0.2) == 2
    assert run(encoder, shard, output, max_rejected=0.25) == 0
    assert left_out(output) == {"v_b": "unreadable"}
    assert read_manifest(output).facts["videos"] == 3


@pytest.mark.parametrize(
    ("name", "frames", "rows", "sound"),
    [("v_GGSY1Qvo990", (542, 543), (16, 17), 18.158), ("v_ZNVhz7ctTq0", (420,), (13,), 14.048)],
)
def test_real_videos_have_the_published_numbers_of_frames_and_rows(
    tmp_path: Path, shared: Path, name: str, frames: tuple[int, ...], rows: tuple[int, ...], sound: float
) -> None:
    raw = shared / "data" / "videos" / f"{name}.mp4"
    made = reencode_video(raw, tmp_path / f"{name}.mp4", Reencode(preset="ultrafast"))
    assert made.frames in frames
    row = VideoRow(name, tmp_path / f"{name}.mp4", made.frames, 30.0, made.width, made.height, audio=True)
    means = Means(Clip())
    pictures, heard = made_by([means, Loudness()], [Source(name, row.path, row)])[name]
    count = rows[frames.index(made.frames)]
    assert len(pictures.rows) == count
    assert pictures.rows.std(axis=0).min() > 0.01
    assert heard.duration == pytest.approx(sound, abs=0.1)
    reader = ClipReader({name: row}, Clip())
    one_by_one = [reader.read(name, first).mean(axis=(0, 1, 2)) for first in range(0, 16 * count, 16)]
    np.testing.assert_allclose(pictures.rows, one_by_one, atol=1e-3)
    untouched = rows_of(means, [Source(name, raw)])[name]
    assert abs(len(untouched) - count) <= 1
    both = min(len(untouched), count)
    np.testing.assert_allclose(untouched[:both], pictures.rows[:both], atol=2.0)


def test_features_that_are_there_already_are_taken_for_the_videos_of_the_shard(tmp_path: Path, shard: Path) -> None:
    given, draw = tmp_path / "tsp.h5", np.random.default_rng(0)
    rows = {"v_a": 4, "v_b": 8, "v_c": 1, "v_other": 3}
    arrays = {video: draw.standard_normal((count, 6)).astype(np.float32) for video, count in rows.items()}
    with h5py.File(given, "w") as file:
        for video, array in arrays.items():
            file[video] = array
    output = tmp_path / "features" / "tsp" / "0000" / "manifest.json"
    section = json.dumps({"file": str(given), "fps": 15.0, "frames": 4, "stride": 4})
    words = {"--videos": shard, "--output": output}
    assert main(["--config", section, *(str(word) for pair in words.items() for word in pair)]) == 0
    store = FeatureStore(output.parents[1])
    assert set(store) == {"v_a", "v_b", "v_c"}
    assert store.absent == {"v_d": "not_in_file"}
    assert all(np.array_equal(store[video].rows, arrays[video]) for video in store)
    provenance = json.loads((output.parent / "manifest.provenance.json").read_text())
    assert any(name.endswith("tsp.h5") for name in provenance["inputs"])


def test_given_features_need_durations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = film(tmp_path / "raw.mp4", seconds=1)
    section = json.dumps({"file": str(tmp_path / "tsp.h5"), "fps": 15.0, "frames": 4, "stride": 4})
    assert main(["--config", section, "--videos", str(raw), "--output", str(tmp_path / "f" / "manifest.json")]) == 2
    assert "raw.mp4: features of a file are taken for re-encoded shards" in capsys.readouterr().err


def test_given_features_replace_no_others_unasked_and_must_be_of_these_videos(
    tmp_path: Path, shard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "features" / "tiny" / "0000" / "manifest.json"
    assert run(write_encoder(tmp_path / "encoder"), shard, output) == 0
    before = output.read_bytes()
    for name, video in (("theirs", "v_a"), ("strangers", "a")):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file[video] = np.zeros((4, 6), np.float32)

    def take(name: str, *more: str) -> int:
        section = json.dumps({"file": str(tmp_path / f"{name}.h5"), "fps": 15.0, "frames": 4, "stride": 4})
        return main(["--config", section, "--videos", str(shard), "--output", str(output), *more])

    assert take("theirs") == 2
    assert "holds another feature" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert take("strangers", "--overwrite") == 2
    assert "strangers.h5: has none of the 4 videos of this shard" in capsys.readouterr().err
    assert take("theirs", "--overwrite") == 0


@pytest.mark.parametrize("option", ["--weights", "--encoder"])
def test_names_that_nobody_asked_for_are_told(tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--features", "vggish", "--weights", "random", "--videos", str(tmp_path), "--output", str(tmp_path / "o")]
    words[4:4] = ["vgish=x.pth"] if option == "--weights" else ["--encoder", "vgish=x.json"]
    assert main(words) == 2
    assert f"{option} vgish=...: --features does not name it" in capsys.readouterr().err


def test_numbers_that_are_none_reject_their_video_alone(tmp_path: Path) -> None:
    class Failing(OwnEncoder):
        def __call__(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
            return super().__call__(windows) * torch.tensor([[torch.nan if w.mean() > 0 else 1.0] for w in windows])

    encoder = Failing("tiny", read_encoder(write_encoder(tmp_path / "encoder")), 4, CPU)
    films = {"v_dark": np.zeros((20, 24, 32, 3), np.uint8), "v_light": np.full((20, 24, 32, 3), 255, np.uint8)}
    sources = find_sources([write_videos(tmp_path / "video" / "0000", films)])
    output = Output(tmp_path / "f" / "manifest.json", encoder, "extract_features", {})
    with output:
        for source, [found] in extract(sources, [encoder], batch_size=4, device=CPU):
            output.add(source, found, "digest")
        output.write("drop", 1)
    store = FeatureStore(tmp_path / "f")
    assert set(store) == {"v_dark"}
    assert store.absent == {"v_light": "not_finite"}
