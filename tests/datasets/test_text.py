"""Sentences are cut as the reference captioner cuts them."""

import json
from collections import Counter
from pathlib import Path

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
