"""Sentences are cut as the reference captioner cuts them."""

import json
from collections import Counter
from pathlib import Path

from pipeline.config.build_corpus import Fractions
from pipeline.datasets.splits import validation_split
from pipeline.datasets.text import words


def test_marks_separate_and_apostrophes_stay() -> None:
    assert words(' A man\'s (red) hat, well-worn;  "old".\n') == [
        "a",
        "man's",
        "(red)",
        "hat",
        "well",
        "worn",
        "old",
    ]


def test_real_vocabularies_have_the_published_sizes(shared: Path) -> None:
    counts: Counter[str] = Counter()
    for name in ("train", "val_1", "val_2"):
        videos = json.loads((shared / "data" / "activitynet_captions" / f"{name}.json").read_text())
        counts.update(word for video in videos.values() for sentence in video["sentences"] for word in words(sentence))
    assert sum(count >= 4 for count in counts.values()) == 5744
    assert sum(count >= 2 for count in counts.values()) == 8514


def test_real_vocabularies_of_training_sentences_have_the_documented_sizes(shared: Path) -> None:
    """docs/captioning.md: of the training set, and of the enlarged one, our 80 % of the validation videos."""
    counts: Counter[str] = Counter()
    sizes = []
    for names in (["train"], ["val_1", "val_2"]):
        for name in names:
            videos = json.loads((shared / "data" / "activitynet_captions" / f"{name}.json").read_text())
            for video, told in videos.items():
                if name == "train" or validation_split(video, Fractions()) == "enlarged":
                    counts.update(word for sentence in told["sentences"] for word in words(sentence))
        sizes.append([sum(count >= least for count in counts.values()) for least in (4, 3, 2)])
    assert sizes == [[4418, 5225, 6605], [5518, 6508, 8160]]
