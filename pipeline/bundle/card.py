"""The model card of a model folder: Markdown after a YAML header that model hubs read."""

import json
import re
from typing import Any

import yaml

from pipeline.bundle.description import ModelDescription, ModelFeature
from pipeline.config.extract_features import RecognizerFeatureSettings
from pipeline.config.extractors import EXTRACTORS, PublishedFeatureSettings
from pipeline.report.tables import SETS, score_table_markdown

TAGS = ["dense-video-captioning", "video-captioning", "temporal-localization", "sa-tsp"]
METRIC = re.compile(r"\w+")
"""The part of a column's title that model hubs know: `BLEU` of `BLEU-4`."""
SINGLE_TIOU = re.compile(r" 0\.\d+$")
"""End of the titles of columns for one tIoU threshold."""


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts in full, because not every reader of headers knows YAML's aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Return that no part is replaced by an alias."""
        return True


def build_card(description: ModelDescription, num_bytes: int) -> str:
    """Return the model card.

    Args:
        description: of the model.
        num_bytes: size of all files of the folder but the card and the manifest.
    """
    lines = [
        "---",
        yaml.dump(build_header(description), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {description.title}",
        "",
        f"Finds the events of a video and writes a caption for each. Trained on the dataset `{description.dataset}`, "
        "with the pipeline",
        f"`sa-tsp` (semantic-aware pretraining). Size: {num_bytes / 1e6:.1f} MB.",
        "",
        "    sa-tsp caption my.mp4 --model THIS_FOLDER --output captions/",
        "",
        "## Parts",
        "",
        *(f"- feature `{name}`: {describe_feature(feature)}" for name, feature in description.features.items()),
        f"- events: {describe_events(description)}",
        f"- captioners: {', '.join(f'`{name}`' for name in description.captioners)}; of their captions, the one is "
        f"selected that is best by {', then '.join(description.select_captions.criteria)}",
        f"- decoding: {describe_decoding(description)}",
        "",
        "## Scores",
        "",
        "On the split `test` of the dataset, in points of 100:",
        "",
        score_table_markdown(description.scores).rstrip(),
        "",
        *_intervals(description.scores),
        "The evaluator:",
        "",
        "```json",
        json.dumps(description.evaluator, indent=1),
        "```",
        "",
        "## Licences",
        "",
        f"- this folder: {description.licence}",
        *weight_lines(description),
        f"- external data, by ActivityNet's rules: {describe_external_data(description)}",
        "",
        "## Limits",
        "",
        "The model describes what its dataset describes, in that dataset's words, whatever a video shows. It finds",
        "what the annotators called an event, at their granularity; scores of events are not calibrated. Do not take",
        "its sentences for facts about people.",
        "",
    ]
    return "\n".join(lines)


def build_header(description: ModelDescription) -> dict[str, Any]:
    """Return the header: the keys that model hubs read, and the scores as a `model-index`."""
    by_title = {row["name"]: row["values"] for row in description.scores}
    evaluator = {key: description.evaluator.get(key) for key in ("name", "variant", "tious", "code")}
    results = []
    metrics = set()
    for title in (SETS["gt"], SETS["learned"]):
        points = {
            column: value
            for column, value in by_title.get(title, {}).items()
            if value is not None and not SINGLE_TIOU.search(column)
        }
        values = [
            {"type": METRIC.match(column)[0].lower(), "name": f"{column}, {title}", "value": round(value, 4)}  # type: ignore[index]
            for column, value in points.items()
        ]
        metrics |= {value["type"] for value in values}
        results.append(
            {
                "task": {"type": TAGS[0], "name": "Dense video captioning"},
                "dataset": {"name": description.dataset, "type": description.dataset, "split": "test"},
                "metrics": [value | {"args": {"evaluator": evaluator}} for value in values],
            }
        )
    return {
        "language": description.language,
        "license": description.licence,
        "library_name": "sa-tsp",
        "pipeline_tag": "video-text-to-text",
        "tags": TAGS,
        "datasets": [description.dataset],
        "metrics": sorted(metrics),
        "model-index": [{"name": description.title, "results": results}],
    }


def describe_feature(feature: ModelFeature) -> str:
    """Return what makes a feature, in words."""
    settings = feature.settings.root
    if not isinstance(settings, PublishedFeatureSettings):
        assert not isinstance(settings, RecognizerFeatureSettings)  # `pipeline.bundle.parts` refuses them
        snippets = getattr(settings, "snippets", None)
        rows = f"{snippets} rows a video" if snippets else f"one row every {settings.stride} frames of its clips"
        return f"the encoder `{feature.encoder}` of this folder, {rows}"
    spec = EXTRACTORS[settings.extractor]
    weights = ", ".join(f"`{file.file}`" for file in feature.weights) or "random weights"
    return f"{spec.description}; {weights}"


def describe_events(description: ModelDescription) -> str:
    """Return how events are proposed, in words."""
    proposals = description.proposals
    if proposals is None:
        return "this model has no proposer: the times of the events must be given"
    if proposals.all_candidates:
        return f"the proposer's best {proposals.candidates} candidates per video"
    return (
        f"the proposer's, at most {proposals.max_proposals} per video, none below {proposals.min_score:g} of the "
        "video's best score"
    )


def describe_decoding(description: ModelDescription) -> str:
    """Return how captions are decoded, in words."""
    settings = description.generate_captions
    details = {"beam": f", {settings.beam} wide", "sample": f", temperature {settings.temperature:g}"}
    return settings.decoding + details.get(settings.decoding, "")


def describe_external_data(description: ModelDescription) -> str:
    """Return the statement on external data, in words."""
    data = description.external_data
    return (data.details or "used") if data.used else "none"


def _intervals(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for each 95 % interval of METEOR, and an empty line after them."""
    lines = [
        f"- METEOR, {row['name']}: 95 % interval {row['interval'][0]:.2f} to {row['interval'][1]:.2f}"
        for row in rows
        if row["interval"]
    ]
    return [*lines, ""] if lines else []


def weight_lines(description: ModelDescription) -> list[str]:
    """Return a line for each weight file of a published network."""
    return [
        f"- `{file.file}` ({file.licence}): {'in this folder' if file.is_copied else 'not in this folder'}, sha256 "
        f"{file.sha256}{f', from {file.url}' if file.url else ''}"
        for feature in description.features.values()
        for file in feature.weights
    ]
