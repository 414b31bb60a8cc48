"""The evaluator as people use it: files in, scores out, and what exactly has scored."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.evaluate import Evaluate
from pipeline.datasets.captions import read_captions
from pipeline.metrics import java, meteor, tokenizer
from pipeline.metrics.dense import Events
from pipeline.metrics.predictions import read_predictions
from pipeline.store.atomic import sha256


def predicted_events(path: Path) -> dict[str, Events]:
    """Captions of each video, from a file in submission format."""
    return {
        video: Events.of((*map(float, caption["timestamp"]), caption["sentence"]) for caption in captions)
        for video, captions in read_predictions(path).results.items()
    }


def reference_events(path: Path) -> dict[str, Events]:
    """Reference captions of each video, from a file in ActivityNet Captions' format, times as annotated."""
    return {
        video: Events.of((segment.start, segment.end, segment.text) for segment in entry.segments)
        for video, entry in read_captions(path).items()
    }


def identity(settings: Evaluate, references: Sequence[Path]) -> dict[str, Any]:
    """What must be equal for two scores to be comparable, and what has computed them."""
    return {
        "name": "ActivityNet Captions (densevid_eval)",
        "variant": settings.variant,
        "tious": settings.tious,
        "max_proposals": settings.max_proposals,
        "meteor_jar_sha256": sha256(java.jar(meteor.JAR)),
        "tokenizer_jar_sha256": sha256(java.jar(tokenizer.JAR)),
        "java": java.version(),
        "pycocoevalcap": importlib.metadata.version("pycocoevalcap"),
        "references": [{"file": path.as_posix(), "sha256": sha256(path)} for path in references],
    }


def table(scores: dict[str, dict[str, Any]]) -> str:
    """Scores in percent, one line for each metric of each set of captions.

    Args:
        scores: name of the set -> what `pipeline.metrics.dense.score` gave for it.
    """
    lines: list[str] = []
    for name, found in scores.items():
        for metric, values in found.items():
            if isinstance(values, dict):
                if not lines:
                    lines.append(f"{'x 100':24}" + "".join(f"{column:>8}" for column in values))
                lines.append(f"{name} {metric}".ljust(24) + "".join(f"{100 * x:8.2f}" for x in values.values()))
        lines.append(f"{name} F1".ljust(24) + f"{100 * found['F1']:8.2f}".rjust(8 * len(found["Recall"])))
    return "\n".join(lines)
