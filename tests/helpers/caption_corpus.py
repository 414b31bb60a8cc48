"""A small corpus with captions and clip features that tell what the captions say, for the captioner's tests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.datasets.corpus import CAPTIONS, REJECTS, SEGMENTS, VIDEOS
from pipeline.features.combined import ClipGrid, Features, write_features
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest

DIM = 6
GRID = ClipGrid(fps=16.0, frames=16, stride=16)
"""One clip a second: clip i covers the seconds i to i + 1."""
WORDS = ("a", "ball", "red", "blue", "rolls", "jumps", "and")
LOOKS = ("red", "blue")
MOVES = ("rolls", "jumps")


@dataclass(frozen=True)
class Small:
    """Where the parts of the corpus stand.

    Attributes:
        corpus: manifest.
        features: folder of all features; there is one, `toy`.
        vocabulary: file.
    """

    corpus: Path
    features: Path
    vocabulary: Path

    def open_features(self) -> Features:
        return Features.open(self.features, ["toy"], 1)

    def arguments(self) -> list[str]:
        return ["--corpus", str(self.corpus), "--features", str(self.features)]


def write_small(folder: Path, splits: Mapping[str, int], *, featureless: Sequence[str] = ()) -> Small:
    """Write a corpus of videos of 8 to 12 s with two events each; videos of val and enlarged have two annotators.

    Args:
        folder: where.
        splits: how many videos each split has; they are called v_<split><number>.
        featureless: videos that have no features.
    """
    names = [(f"v_{split}{number}", split) for split, count in splits.items() for number in range(count)]
    videos, captions, items = [], [], []
    draw = np.random.default_rng(0)
    for index, (video, split) in enumerate(sorted(names)):
        duration = 8.0 + index % 5
        path = f"videos/{video}.mp4"
        videos.append({"video": video, "split": split, "shard": 0, "path": path, "duration": duration})
        clips = 0.1 * draw.normal(size=(int(duration), DIM))
        for start, end in ((1.0, 3.0), (4.0, 7.0)):
            look, move = draw.integers(2), draw.integers(2)
            clips[int(start) : int(end), look] += 1
            clips[int(start) : int(end), 2 + move] += 1
            for annotator in (1, 2) if split in ("val", "enlarged") else (1,):
                sentence = f"A {LOOKS[look]} ball {MOVES[move]}."
                captions.append(
                    {
                        "video": video,
                        "annotator": annotator,
                        "start": start,
                        "end": end + (annotator - 1) * 0.25,
                        "sentence": sentence,
                    }
                )
        if video not in featureless:
            items.append((video, duration, clips.astype(np.float32)))
    return _write(folder, videos, captions, items)


def _write(folder: Path, videos: list, captions: list, items: list) -> Small:
    corpus = folder / "corpus" / "manifest.json"
    tables = {
        "videos": (videos, VIDEOS),
        "captions": (captions, CAPTIONS),
        "segments": ([], SEGMENTS),
        "rejects": ([], REJECTS),
    }
    paths = []
    for name, (rows, schema) in tables.items():
        paths.append(corpus.with_name(f"{name}.parquet"))
        write_table(paths[-1], rows, schema)
    write_manifest(corpus, paths, {"shards": 1, "counts": {}})
    features = folder / "features"
    (features / "toy" / "0000").mkdir(parents=True)
    write_features(features / "toy" / "0000" / "manifest.json", items, dim=DIM, grid=GRID, facts={})
    vocabulary = folder / "vocabulary.json"
    vocabulary.write_text(json.dumps({"min_count": 1, "words": list(WORDS)}))
    return Small(corpus, features, vocabulary)


class FakeMeteor:
    """Stands for METEOR where a test is not about it: the share of the reference's words that a caption has."""

    def __enter__(self) -> "FakeMeteor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [shared_words(caption, reference) for caption, reference in pairs]


def shared_words(caption: str, reference: str) -> float:
    """Share of the reference's words that a caption has, less a little for each word too many."""
    said, wanted = caption.split(), reference.split()
    surplus = max(0, len(said) - len(wanted))
    return len(set(said) & set(wanted)) / len(wanted) - 0.05 * surplus


def fake_tokenize(sentences: Sequence[str]) -> list[str]:
    """Lower case, no full stop."""
    return [sentence.lower().rstrip(".") for sentence in sentences]


def die_in_call(patch: pytest.MonkeyPatch, owner: type, name: str, number: int) -> None:
    """Let a method work as it does, but kill the job at the end of its `number`th call."""
    method, calls = getattr(owner, name), count(1)

    def mortal(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if next(calls) == number:
            raise KeyboardInterrupt
        return result

    patch.setattr(owner, name, mortal)


def count_steps(patch: pytest.MonkeyPatch) -> list[int]:
    """Let Adam work as it does; the list grows by one with each of its steps."""
    step, steps = torch.optim.Adam.step, list[int]()

    def counted(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        steps.append(len(steps))
        return step(self, *args, **kwargs)

    patch.setattr(torch.optim.Adam, "step", counted)
    return steps
