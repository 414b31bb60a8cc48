"""The evaluator as users call it: caption files in, scores out, with a record of what computed the scores."""

import csv
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS
from pipeline.datasets.annotations import read_captions
from pipeline.evaluation import tokenizer
from pipeline.evaluation.captions import CaptionEvaluation, score_captions
from pipeline.evaluation.java import find_jar, hash_jar, java_version
from pipeline.evaluation.matching import EventsByVideo, VideoEvents, check_coverage
from pipeline.evaluation.metric import MetricContext, build_metrics, metric_identities
from pipeline.evaluation.predictions import read_predictions
from pipeline.io.atomic import replace_atomically, sha256, write_text
from pipeline.io.progress import Progress
from pipeline.provenance.code_hash import code_hash


def read_predicted_events(path: Path) -> dict[str, VideoEvents]:
    """Read the captions of each video from a file in submission format.

    Raises:
        PipelineError: unreadable or malformed; names the file, the video and the index of the caption.
    """
    return {
        video: VideoEvents.from_rows((*map(float, caption["timestamp"]), caption["sentence"]) for caption in captions)
        for video, captions in read_predictions(path).results.items()
    }


def read_reference_events(path: Path) -> dict[str, VideoEvents]:
    """Read the references of each video from a file in ActivityNet Captions' format, times as annotated.

    Raises:
        PipelineError: unreadable or malformed; names the file and the video.
    """
    return {
        video: VideoEvents.from_rows((segment.start, segment.end, segment.text) for segment in entry.events)
        for video, entry in read_captions(path).items()
    }


def evaluate_caption_sets(
    sets: Mapping[str, EventsByVideo], references: Sequence[EventsByVideo], settings: Evaluate
) -> dict[str, CaptionEvaluation]:
    """Score sets of captions against the same references.

    Args:
        sets: captions of each video, by the name of the set.
        references: references of each video, by annotator.
        settings: section `evaluate`.

    Raises:
        PipelineError: there is nothing to score; captions are incomplete where `require_complete` is set.
    """
    with MetricContext(settings) as context:
        metrics = build_metrics(context)
        scores = {}
        progress = Progress("caption sets", len(sets))
        for name, captions in sets.items():
            check_coverage(name, captions, references, settings.require_complete)
            scores[name] = score_captions(captions, references, settings, metrics)
            progress.step()
        return scores


def describe_evaluator(settings: Evaluate, references: Sequence[Path]) -> dict[str, Any]:
    """Describe what must be equal for two results to be comparable, and what computed them."""
    return {
        "name": "ActivityNet Captions (densevid_eval)",
        "variant": settings.variant,
        "tious": settings.tious,
        "max_proposals": settings.max_proposals,
        **metric_identities(settings),
        "tokenizer_jar_sha256": hash_jar(find_jar(tokenizer.JAR)),
        "java": java_version(),
        "pycocoevalcap": importlib.metadata.version("pycocoevalcap"),
        "numpy": np.__version__,
        "code": code_hash("pipeline.evaluate"),
        "references": [{"file": path.as_posix(), "sha256": sha256(path)} for path in references],
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON: indented, but each column of the tables `per_video` on one line.

    Args:
        path: the file.
        result: plain data. `per_video` is a table (column -> values), or holds one table per set of captions.
    """
    per_video = result["per_video"]
    is_nested = all(isinstance(table, dict) for table in per_video.values())
    if is_nested:
        sets = (f"  {_dump(name)}: {{\n{_dump_table(table)}\n  }}" for name, table in per_video.items())
        block = ",\n".join(sets)
    else:
        block = _dump_table(per_video)
    head = _dump({key: value for key, value in result.items() if key != "per_video"}, indent=1).removesuffix("\n}")
    write_text(path, f'{head},\n "per_video": {{\n{block}\n }}\n}}\n')


def _dump_table(table: Mapping[str, Any]) -> str:
    return ",\n".join(f"  {_dump(column)}: {_dump(values)}" for column, values in table.items())


def _dump(data: Any, indent: int | None = None) -> str:
    return json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)


def write_per_video_csv(path: Path, scores: CaptionEvaluation) -> None:
    """Write `CaptionEvaluation.per_video_table` as CSV, one line per video; an empty cell for None."""
    table = scores.per_video_table()
    with replace_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def format_caption_scores(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Format scores in percent, one line for each metric of each set of captions.

    Args:
        summaries: `CaptionEvaluation.summary` of each set, by name.
    """
    lines: list[str] = []
    for name, summary in summaries.items():
        by_threshold = {
            metric: values for metric, values in summary.items() if isinstance(values, dict) and "mean" in values
        }
        if not lines:
            thresholds = next(iter(by_threshold.values()))
            lines.append(f"{'x 100':24}" + "".join(f"{column:>8}" for column in thresholds) + "   95 % of the mean")
        intervals = summary.get("intervals", {})
        for metric, values in by_threshold.items():
            cells = "".join(f"{100 * value:8.2f}" for value in values.values())
            lines.append(f"{name} {metric}".ljust(24) + cells + _format_interval(intervals.get(metric)))
        single = {"F1": summary["F1"]} | {
            metric: summary[metric][spec.headline]
            for metric, spec in METRICS.items()
            if spec.kind == "video" and metric in summary
        }
        for metric, value in single.items():
            cell = f"{100 * value:8.2f}".rjust(8 * len(summary["Recall"]))
            lines.append(f"{name} {metric}".ljust(24) + cell + _format_interval(intervals.get(metric)))
    return "\n".join(lines)


def _format_interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"   {100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
