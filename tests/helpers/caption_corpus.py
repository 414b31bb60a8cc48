"""A small corpus with captions, features that show what the captions describe, and stand-ins for METEOR."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.corpus_tables import write_corpus_tables
from helpers.feature_files import random_features, write_feature_shard
from pipeline.datasets.corpus import CaptionedEvent, CorpusVideo
from pipeline.features.combined import CombinedFeatures
from pipeline.features.shard import write_shard
from pipeline.features.streams import FeatureStreams
from pipeline.features.time_grid import ClipGrid

DIM = 6
GRID = ClipGrid(fps=16.0, frames=16, stride=16)
"""One feature row a second: row i covers the seconds i to i + 1."""
WORDS = ("a", "ball", "red", "blue", "rolls", "jumps", "and")
LOOKS = ("red", "blue")
MOVES = ("rolls", "jumps")


@dataclass(frozen=True)
class CaptionCorpus:
    """Paths of a corpus with features and vocabulary.

    Attributes:
        manifest: corpus manifest.
        features: folder of all features; there is one, `toy`.
        vocabulary: caption vocabulary.
    """

    manifest: Path
    features: Path
    vocabulary: Path

    def open_features(self) -> CombinedFeatures:
        """Open the feature `toy`."""
        return CombinedFeatures.open(self.features, ["toy"], 1)

    def open_streams(self) -> FeatureStreams:
        """Open the feature `toy` as the only stream."""
        return FeatureStreams.open(self.features, {"features": ["toy"]}, 1)

    def add_audio(self, *, weights: str = "aaa", reject: Sequence[str] = ()) -> None:
        """Add the feature `audio`, of three channels and two rows a second; some videos have no audio."""
        videos = self.open_features().videos
        items = {video: random_features(2 * int(duration), dim=3) for video, duration in videos.items()}
        items |= dict.fromkeys(reject, "no_audio")
        write_feature_shard(self.features, items, 0, "audio", ClipGrid(16.0, 8, 8), weights_sha256=weights)

    def arguments(self) -> list[str]:
        """Return the arguments that all captioning stages take."""
        return ["--corpus", str(self.manifest), "--features", str(self.features)]


def write_caption_corpus(folder: Path, splits: Mapping[str, int], *, featureless: Sequence[str] = ()) -> CaptionCorpus:
    """Write a corpus of videos of 8 to 12 s with two events each; videos of val and enlarged have two annotators.

    Args:
        folder: folder to write to.
        splits: number of videos of each split; their ids are v_<split><number>.
        featureless: videos without features.
    """
    names = [(f"v_{split}{number}", split) for split, count in splits.items() for number in range(count)]
    videos, captions, items = [], [], []
    draw = np.random.default_rng(0)
    for index, (video, split) in enumerate(sorted(names)):
        duration = 8.0 + index % 5
        path = f"videos/{video}.mp4"
        videos.append(CorpusVideo(video, split, 0, path, duration))
        rows = 0.1 * draw.normal(size=(int(duration), DIM))
        for start, end in ((1.0, 3.0), (4.0, 7.0)):
            look, move = draw.integers(2), draw.integers(2)
            rows[int(start) : int(end), look] += 1
            rows[int(start) : int(end), 2 + move] += 1
            for annotator in (1, 2) if split in ("val", "enlarged") else (1,):
                sentence = f"A {LOOKS[look]} ball {MOVES[move]}."
                end_of_annotator = end + (annotator - 1) * 0.25
                captions.append(CaptionedEvent(video, annotator, start, end_of_annotator, sentence))
        if video not in featureless:
            items.append((video, duration, rows.astype(np.float32)))
    return _write(folder, videos, captions, items)


def _write(folder: Path, videos: list, captions: list, items: list) -> CaptionCorpus:
    manifest = folder / "corpus" / "manifest.json"
    write_corpus_tables(manifest, videos, captions=captions, metadata={"shards": 1, "counts": {}})
    features = folder / "features"
    (features / "toy" / "0000").mkdir(parents=True)
    write_shard(features / "toy" / "0000" / "manifest.json", items, dim=DIM, grid=GRID, metadata={})
    vocabulary = folder / "vocabulary.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": list(WORDS)}))
    return CaptionCorpus(manifest, features, vocabulary)


class FakeMeteor:
    """Stands in for METEOR: the share of the reference's words that a caption has."""

    def __enter__(self) -> "FakeMeteor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [shared_words(caption, reference) for caption, reference in pairs]


def shared_words(caption: str, reference: str) -> float:
    """Return the share of the reference's words that a caption has, less 0.05 for each surplus word."""
    caption_words, reference_words = caption.split(), reference.split()
    surplus = max(0, len(caption_words) - len(reference_words))
    return len(set(caption_words) & set(reference_words)) / len(reference_words) - 0.05 * surplus


def fake_tokenize(sentences: Sequence[str]) -> list[str]:
    """Tokenize: lower case, no full stop."""
    return [sentence.lower().rstrip(".") for sentence in sentences]


def interrupt_in_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> None:
    """Interrupt the run at the end of the `number`th call of a function or method."""
    method, calls = getattr(owner, name), count(1)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if next(calls) == number:
            raise KeyboardInterrupt
        return result

    patch.setattr(owner, name, interrupted)


def count_steps(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one with each step of Adam."""
    step, steps = torch.optim.Adam.step, list[int]()

    def counted(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        steps.append(len(steps))
        return step(self, *args, **kwargs)

    patch.setattr(torch.optim.Adam, "step", counted)
    return steps
