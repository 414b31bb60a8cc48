"""Sentences are split into words as in the code of Wang et al. (2020)."""

import json
from collections import Counter
from pathlib import Path

from pipeline.config.build_corpus import ValidationSplitFractions
from pipeline.datasets.splits import validation_split
from pipeline.datasets.text import split_words


def test_split_words_splits_at_punctuation_but_not_at_apostrophes() -> None:
    assert split_words(' A man\'s (red) hat, well-worn;  "old".\n') == [
        "a",
        "man's",
        "(red)",
        "hat",
        "well",
        "worn",
        "old",
    ]


def test_split_words_of_the_real_captions_give_the_published_vocabulary_sizes(shared: Path) -> None:
    counts: Counter[str] = Counter()
    for name in ("train", "val_1", "val_2"):
        videos = json.loads((shared / "data" / "activitynet_captions" / f"{name}.json").read_text())
        counts.update(
            word for video in videos.values() for sentence in video["sentences"] for word in split_words(sentence)
        )
    assert sum(count >= 4 for count in counts.values()) == 5744
    assert sum(count >= 2 for count in counts.values()) == 8514


def test_split_words_of_the_training_sentences_give_the_documented_vocabulary_sizes(shared: Path) -> None:
    """docs/captioning.md states the sizes for the training set and for the training set with `enlarged`."""
    counts: Counter[str] = Counter()
    sizes = []
    for names in (["train"], ["val_1", "val_2"]):
        for name in names:
            videos = json.loads((shared / "data" / "activitynet_captions" / f"{name}.json").read_text())
            for video, entry in videos.items():
                if name == "train" or validation_split(video, ValidationSplitFractions()) == "enlarged":
                    counts.update(word for sentence in entry["sentences"] for word in split_words(sentence))
        sizes.append([sum(count >= min_count for count in counts.values()) for min_count in (4, 3, 2)])
    assert sizes == [[4418, 5225, 6605], [5518, 6508, 8160]]
