"""A corpus with labels and a small trained recognizer, for the tests of what comes after the training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.video_corpus import VideoCorpus, write_video_corpus
from pipeline import label_clips, train_recognizer

SMALL = {
    "size": "M(16-16)",
    "encoder_dim": 16,
    "embedding_dim": 8,
    "decoder_dim": 16,
    "cutoff": 0,
    "clip": {"frames": 12, "fps": 2.0, "height": 60, "width": 60, "crop": 56},
    "epochs": 2,
    "batch_size": 3,
    "accumulate_steps": 2,
    "class_weight": [{"epoch": 1, "weight": 1.0}, {"epoch": 4, "weight": 0.3}],
    "lr": 0.01,
    "workers": 0,
    "device": "cpu",
}
"""Settings of a training that takes seconds."""


@dataclass(frozen=True)
class RecognizerFiles:
    """The files of a corpus and of recognizers.

    Attributes:
        corpus: manifests of the corpus.
        labels: manifest of the labels.
        recognizers: manifest of each recognizer.
    """

    corpus: VideoCorpus
    labels: Path
    recognizers: dict[str, Path]

    @property
    def words(self) -> list[str]:
        """Arguments that stages share: corpus and videos."""
        return ["--corpus", str(self.corpus.corpus), "--videos", str(self.corpus.videos)]


def small_recognizer_words(corpus: VideoCorpus, labels: Path, folder: Path, **changes: Any) -> list[str]:
    """Return the arguments of `train_recognizer` with the settings `SMALL` and some others."""
    inputs = {"corpus": corpus.corpus, "labels": labels, "videos": corpus.videos}
    words = [word for name, path in inputs.items() for word in (f"--{name}", str(path))]
    words += ["--state", str(folder / "state"), "--output", str(folder / "manifest.json")]
    return [*words, "--config", json.dumps({**SMALL, **changes})]


def write_labelled_corpus(folder: Path, splits: dict[str, int]) -> tuple[VideoCorpus, Path]:
    """Write a corpus of two classes in two groups, and label its clips; return it and the manifest of the labels."""
    corpus, groups = write_video_corpus(folder, splits), folder / "groups.json"
    groups.write_text(json.dumps({"glow [red]": "warm", "glow [blue]": "cold"}))
    labels = folder / "clip_labels" / "manifest.json"
    settings = json.dumps({"groups": str(groups)})
    assert label_clips.main(["--corpus", str(corpus.corpus), "--config", settings, "--output", str(labels)]) == 0
    return corpus, labels


def train_recognizers(folder: Path, **of_each: dict[str, Any]) -> RecognizerFiles:
    """Write a corpus and train recognizers on it.

    Args:
        folder: folder of all files.
        of_each: settings of each recognizer, by name.
    """
    corpus, labels = write_labelled_corpus(folder, {"train": 6, "val": 2, "test": 4})
    manifests = {}
    for name, changes in of_each.items():
        words = small_recognizer_words(corpus, labels, folder / "recognizers" / name, **changes)
        assert train_recognizer.main(words) == 0
        manifests[name] = folder / "recognizers" / name / "manifest.json"
    return RecognizerFiles(corpus, labels, manifests)
