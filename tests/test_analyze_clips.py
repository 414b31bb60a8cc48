"""analyze_clips: similarity of categories, attributes, nearest clips, fewer frames, map of attributes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables
from helpers.extraction import write_encoder
from helpers.video_corpus import write_video_shard

from pipeline import extract_features, train_captioner
from pipeline.analyze_clips import main
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import SnippetGrid

COLOURS, MOVES = ("red", "blue"), ("rolls", "jumps")
TRAINING = {
    **{"architecture": "transformer", "features": ["toy"], "hidden": 16, "heads": 4, "dropout": 0.0, "lr": 0.01},
    **{"batch_videos": 8, "max_words": 6, "selection": "last", "epochs": 12, "attributes": {"count": 6}, "max_rows": 8},
}


def write_clips(folder: Path, *, categories: bool = True) -> list[str]:
    """Write clips whose features show colour and motion, train a captioner, and return the arguments."""
    videos, segments, captions, items = [], [], [], []
    draw = np.random.default_rng(0)
    for number in range(24):
        clip, split = f"video{number}", "train" if number < 16 else "test"
        colour, move = number % 2, number // 2 % 2
        videos.append(CorpusVideo(clip, split, 0, f"videos/{clip}.mp4", 5.0))
        if categories:
            segments.append(ActionSegment(clip, 0.0, 5.0, MOVES[move]))
        texts = (f"A {COLOURS[colour]} ball {MOVES[move]}.", f"The {COLOURS[colour]} ball {MOVES[move]}.")
        captions += [CaptionedEvent(clip, index, 0.0, 5.0, text) for index, text in enumerate(texts, start=1)]
        rows = 0.1 * draw.normal(size=(10, 4))
        rows[:, [colour, 2 + move]] += 2
        items.append((clip, 5.0, rows.astype(np.float32)))
    manifest = folder / "corpus" / "manifest.json"
    write_corpus_tables(manifest, videos, segments, captions, metadata={"shards": 1, "counts": {}})
    feature = folder / "features" / "toy" / "0000" / "manifest.json"
    feature.parent.mkdir(parents=True)
    write_shard(feature, items, dim=4, grid=SnippetGrid(30.0, 1, 1, 10), metadata={})
    vocabulary = folder / "vocabulary.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": ["a", "the", "ball", *COLOURS, *MOVES]}))
    inputs = ["--corpus", str(manifest), "--features", str(folder / "features")]
    captioner = folder / "captioner" / "manifest.json"
    files = ["--vocabulary", str(vocabulary), "--state", str(folder / "state"), "--output", str(captioner)]
    assert train_captioner.main(["--config", json.dumps(TRAINING), *inputs, *files]) == 0
    return [*inputs, "--captioner", str(captioner), "--output", str(folder / "analysis.json")]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_clips(tmp_path_factory.mktemp("clips"))


def analyze(arguments: list[str], **config: Any) -> dict[str, Any]:
    assert main([*arguments, "--config", json.dumps(config)]) == 0
    result: dict[str, Any] = json.loads(Path(arguments[-1]).read_text())
    return result


def test_clips_of_a_category_are_more_similar_than_others(arguments: list[str]) -> None:
    result = analyze(arguments)
    similarity = result["similarity"]
    assert similarity["categories"] == sorted(MOVES)
    assert similarity["counts"] == [4, 4]
    assert similarity["within"] > 0 > similarity["between"]
    assert Path(arguments[-1]).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_each_clip_has_its_nearest_clips_and_its_most_probable_attributes(arguments: list[str]) -> None:
    result = analyze(arguments, neighbours=1, attributes=3)
    assert result["clips"].keys() == {f"video{number}" for number in range(16, 24)}
    for clip, entry in result["clips"].items():
        [[nearest, cosine]] = entry["nearest"]
        assert (int(nearest[5:]) - int(clip[5:])) % 4 == 0, "same colour and same motion"
        assert -1.001 < cosine < 1.001
        probabilities = [probability for _, probability in entry["attributes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3
    scores = result["attribute_scores"]
    assert scores["mAP"] > max(0.8, scores["by_frequency"]["mAP"])
    assert scores["by_frequency"]["n_clips"] == scores["n_clips"]


def test_captions_from_fewer_frames_are_scored(arguments: list[str]) -> None:
    rows = analyze(arguments, frames=[1, 4])["frames"]
    assert [row["frames"] for row in rows] == [1, 4]
    assert all(row["CIDEr"] > 0 for row in rows)


def test_attributes_are_mapped_to_a_plane(arguments: list[str]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is an optional library")
    attribute_map = analyze(arguments, attribute_map=True)["attribute_map"]
    assert set(attribute_map["words"]) == {"ball", *COLOURS, *MOVES}
    assert len(attribute_map["x"]) == len(attribute_map["y"]) == 5


def test_the_map_names_the_library_that_it_needs(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    assert main([*arguments, "--config", '{"attribute_map": true, "neighbours": 2}']) == 2
    assert "pip install scikit-learn" in capsys.readouterr().err


def test_clips_without_categories_have_no_similarity_of_categories(tmp_path: Path) -> None:
    assert analyze(write_clips(tmp_path, categories=False))["similarity"] is None


def test_a_split_without_clips_is_one_plain_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--split", "val"]) == 2
    assert "split val: 0 clips" in capsys.readouterr().err


ENTRY = {"encoder": "own", "snippets": 6}


@pytest.fixture(scope="module")
def filmed(arguments: list[str]) -> list[str]:
    """Make films of the clips, and a captioner of features that an encoder made of them."""
    folder = Path(arguments[-1]).parent
    draw = np.random.default_rng(0)
    films = {}
    for number in (0, 1, 2, 3, 16, 17, 18, 19):
        frames = draw.integers(0, 60, (15, 24, 32, 3), dtype=np.uint8)
        frames[:, 8:16, 4 + number % 2 * 16 : 12 + number % 2 * 16, 2 * (number % 2)] = 255
        films[f"video{number}"] = list(frames)
    videos = write_video_shard(folder / "video" / "0000", films)
    encoder = write_encoder(folder / "encoders" / "own")
    feature = folder / "film_features" / "own" / "0000" / "manifest.json"
    extraction = ["--config", json.dumps(ENTRY), "--encoder", str(encoder), "--videos", str(videos)]
    assert extract_features.main([*extraction, "--output", str(feature)]) == 0
    inputs = ["--corpus", str(folder / "corpus" / "manifest.json"), "--features", str(feature.parents[2])]
    captioner = folder / "filmed" / "manifest.json"
    files = ["--vocabulary", str(folder / "vocabulary.json"), "--state", str(folder / "states")]
    training = json.dumps({**TRAINING, "features": ["own"], "epochs": 1, "max_rows": 3})
    assert train_captioner.main(["--config", training, *inputs, *files, "--output", str(captioner)]) == 0
    words = ["--videos", str(videos.parents[1]), "--encoder", str(encoder), "--feature", json.dumps(ENTRY)]
    return [*inputs, "--captioner", str(captioner), *words, "--output", str(folder / "analysis.json")]


def test_words_are_mapped_to_the_frames_of_some_clips(filmed: list[str]) -> None:
    result = analyze(filmed, word_maps="own", word_map_clips=2)["word_maps"]
    assert list(result) == ["video16", "video17"]
    for entry in result.values():
        picture = Path(filmed[-1]).with_name(entry["picture"])
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert entry["caption"]


@pytest.mark.parametrize(
    ("left_out", "feature", "message"),
    [
        ("--videos", "own", "--videos"),
        ("--feature", "own", "--feature"),
        ("--encoder", "own", "manifest of the encoder 'own'"),
        ("", "other", "other is no stream of its own of this captioner, which reads own"),
    ],
)
def test_what_word_maps_lack_is_one_plain_error(
    filmed: list[str], left_out: str, feature: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = filmed.index(left_out) if left_out else len(filmed)
    arguments = filmed[:place] + filmed[place + 2 :]
    assert main([*arguments, "--config", json.dumps({"word_maps": feature})]) == 2
    assert message in capsys.readouterr().err


def test_another_network_than_that_of_the_feature_is_refused(
    filmed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_encoder(tmp_path, crop=20)
    place = filmed.index("--encoder") + 1
    arguments = [*filmed[:place], str(other), *filmed[place + 1 :]]
    assert main([*arguments, "--config", '{"word_maps": "own"}']) == 2
    assert "clip video16" in capsys.readouterr().err
