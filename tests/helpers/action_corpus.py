"""A small corpus with actions, features that show the actions, class scores and proposals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.corpus_tables import write_corpus_tables
from pipeline.config.localizers import LOCALIZERS
from pipeline.datasets.corpus import ActionSegment, CorpusVideo
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.localization.proposals import Proposal, write_proposals

DIM = 4
GRID = ClipGrid(fps=16.0, frames=8, stride=8)
"""Two feature rows a second."""
LABELS = ("jump", "roll")

SMALL: dict[str, dict[str, Any]] = {
    "gtad": {
        **{"temporal_scale": 24, "max_duration": 24, "bins": 4, "context_bins": 2},
        **{"hidden_dim_1d": 32, "hidden_dim_2d": 16, "hidden_dim_3d": 32},
    },
    "gtad_windows": {
        **{"temporal_scale": 24, "max_duration": 18, "bins": 4, "context_bins": 2, "fps": 4.0, "snippet_frames": 1},
        **{"hidden_dim_1d": 32, "hidden_dim_2d": 16, "hidden_dim_3d": 32, "window_stride": 12, "max_seconds": 5.0},
    },
    "bmn": {
        **{"temporal_scale": 24, "num_samples": 8, "hidden_dim_1d": 32, "hidden_dim_2d": 16, "hidden_dim_3d": 32},
    },
    "pgcn": {"repeats": 1},
}
"""Settings of localizers whose published sizes are slow to train."""


def small_localizer(kind: str, **settings: Any) -> dict[str, Any]:
    """Return small settings of a localizer."""
    proposals = {"proposals": "candidates"} if LOCALIZERS[kind].settings.reads_proposals else {}
    base = {"kind": kind, "features": ["toy"], "batch_size": 4, "lr": 0.003, "epochs": 3}
    return {**base, **proposals, **SMALL.get(kind, {}), **settings}


@dataclass(frozen=True)
class ActionCorpus:
    """Paths of a corpus with actions.

    Attributes:
        folder: folder of all files.
        manifest: corpus manifest.
        features: folder of all features; there is one, `toy`.
        classes: class scores of all videos: the class of a video has 0.9.
        proposals: proposals of all videos: the actions, and others.
    """

    folder: Path
    manifest: Path
    features: Path
    classes: Path
    proposals: Path

    def arguments(self) -> list[str]:
        """Return the arguments that the stages of localizers take."""
        return ["--corpus", str(self.manifest), "--features", str(self.features)]


def write_action_corpus(
    folder: Path,
    splits: Mapping[str, int],
    *,
    labels: Sequence[str] = LABELS,
    featureless: Sequence[str] = (),
    damaged: Mapping[str, np.ndarray] | None = None,
    extra_segments: Sequence[ActionSegment] = (),
) -> ActionCorpus:
    """Write a corpus of videos of 8 to 12 s with two actions of one class each.

    Args:
        folder: folder to write to.
        splits: number of videos of each split; their ids are v_<split><number>.
        labels: the action classes.
        featureless: videos without features.
        damaged: features of videos that replace the good ones.
        extra_segments: more segments.
    """
    names = sorted((f"v_{split}{number}", split) for split, count in splits.items() for number in range(count))
    videos, segments, items = [], [*extra_segments], []
    classes: dict[str, list[float]] = {}
    proposals: dict[str, list[Proposal]] = {}
    draw = np.random.default_rng(0)
    for index, (video, split) in enumerate(names):
        duration = 8.0 + index % 5
        videos.append(CorpusVideo(video, split, 0, f"videos/{video}.mp4", duration))
        rows = 0.1 * draw.normal(size=(int(2 * duration), DIM))
        label = index % len(labels)
        for start, end in ((1.0, 3.0), (4.0, 7.0)):
            rows[int(2 * start) : int(2 * end), label] += 1
            segments.append(ActionSegment(video, start, end, labels[label]))
            shifted = [Proposal(start + shift, end + shift, 0.9 - shift) for shift in (0.0, 0.1, 0.5)]
            proposals.setdefault(video, []).extend(shifted)
        proposals[video] += [
            Proposal(0.0, 0.5, 0.2),
            Proposal(0.0, duration, 0.3),
            Proposal(duration - 1, duration, 0.1),
        ]
        classes[video] = [0.9 if number == label else 0.1 for number in range(len(labels))]
        if video not in featureless:
            items.append((video, duration, (damaged or {}).get(video, rows.astype(np.float32))))
    manifest = folder / "corpus" / "manifest.json"
    write_corpus_tables(manifest, videos, segments, metadata={"shards": 1, "counts": {}, "labels": list(labels)})
    features = folder / "features"
    (features / "toy" / "0000").mkdir(parents=True)
    write_shard(features / "toy" / "0000" / "manifest.json", items, dim=DIM, grid=GRID, metadata={})
    (folder / "classes.json").write_text(json.dumps({"classes": list(labels), "scores": classes}))
    write_proposals(folder / "candidates.json", proposals, {})
    return ActionCorpus(folder, manifest, features, folder / "classes.json", folder / "candidates.json")


def training_words(corpus: ActionCorpus, config: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the command line of `train_localizer` that writes below a folder."""
    words = ["--config", json.dumps(config), *corpus.arguments(), "--state", str(folder / "state")]
    if config.get("proposals"):
        words += ["--proposals", str(corpus.proposals)]
    return [*words, "--output", str(folder / "localizer" / "manifest.json")]
