r"""Score dense captions as the official ActivityNet Captions evaluator does.

captions: one caption file against reference files.
    In: captions in submission format; references in ActivityNet Captions' format, one file per annotator.
    Out: METEOR, Precision and Recall per tIoU, F1, counts, and what has scored them.
road: the final result of a dataset.
    In: the corpus and its re-encoded videos; captions of ground-truth proposals, of learned proposals, and the
    control (ground-truth proposals, but every video has another's features).
    Out: the scores of the three, what was counted and rejected on the way, and how everything was made. Videos
    whose file is missing from the corpus are not scored; videos that re-encoding rejected are, with 0.

Alone:
    python -m pipeline.evaluate captions --predictions captions.json --references val_1.json val_2.json \
        --output scores.json
"""

import argparse
import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.evaluate import Evaluate
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.metrics.dense import Events, score
from pipeline.metrics.evaluator import identity, predicted_events, reference_events, table
from pipeline.metrics.meteor import Meteor
from pipeline.store.atomic import write_json
from pipeline.store.manifest import read_manifest
from pipeline.store.provenance import record, trace
from pipeline.store.stamp import stamp
from pipeline.store.tables import read_table
from pipeline.video.shard import shard_manifest

STAGE = "evaluate"
LIBRARIES = (
    "av",
    "imageio-ffmpeg",
    "lemminflect",
    "numpy",
    "pycocoevalcap",
    "spacy",
    "torch",
    "torchvision",
    "zarr",
)
"""The libraries on whose versions the numbers may depend."""


def evaluate_captions(settings: Evaluate, predictions: Path, references: list[Path], output: Path) -> None:
    """Score one caption file and write the scores."""
    captions, known = predicted_events(predictions), [reference_events(path) for path in references]
    with Meteor(settings.timeout_s) as meteor:
        found = score(captions, known, settings, {"METEOR": meteor.aggregate})
    write_json(output, {**found, "evaluator": identity(settings, references)})
    record(output, STAGE, settings, [predictions, *references])
    print(table({"captions": found}))


def evaluate_road(
    settings: Evaluate, corpus_manifest: Path, videos: Path, sets: dict[str, Path], split: str, output: Path
) -> None:
    """Score the three caption files of a dataset and write the final result.

    Args:
        settings: the section.
        corpus_manifest: of the dataset.
        videos: folder of the re-encoded shards.
        sets: caption files, by the names `gt`, `learned` and `control`.
        split: which videos to score.
        output: the result to write.

    Raises:
        PipelineError: there is nothing to score, or an input is malformed.
    """
    corpus = Corpus.open(corpus_manifest)
    shards = [shard_manifest(videos, shard) for shard in range(corpus.manifest.facts["shards"])]
    files = corpus.references(split)
    listed = [reference_events(path) for path in files]
    present = {row["video"] for row in corpus.of_splits(split)}
    scored = [{video: events for video, events in known.items() if video in present} for known in listed]
    if not any(scored):
        raise PipelineError(
            f"{corpus_manifest}: no video of split {split} has a file and reference captions; nothing to score"
        )
    captions = {name: predicted_events(path) for name, path in sets.items()}
    reencoded = corpus.rejected(videos)
    with Meteor(settings.timeout_s) as meteor:
        found = {name: score(made, scored, settings, {"METEOR": meteor.aggregate}) for name, made in captions.items()}
    inputs = [corpus_manifest, *shards, *sets.values()]
    roads = {name: values for name, values in found.items() if name != "control"}
    metrics = ("METEOR", "Precision", "Recall", "F1")
    write_json(
        output,
        {
            **{metric: {name: values[metric] for name, values in roads.items()} for metric in metrics},
            "control": {"METEOR": {"gt": found["control"]["METEOR"]}},
            "counts": _counts(corpus, reencoded, listed, scored, found),
            "evaluator": identity(settings, files),
            "provenance": provenance(settings, inputs),
        },
    )
    record(output, STAGE, settings, inputs)
    print(table(found))


def _counts(
    corpus: Corpus,
    reencoded: list[dict[str, Any]],
    listed: list[dict[str, Events]],
    scored: list[dict[str, Events]],
    found: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What was scored and what was lost: videos of the split, and rejects of the whole corpus by reason.

    Args:
        corpus: with the rejects of its own.
        reencoded: rejects of re-encoding, all shards.
        listed: reference events of the split by each annotator.
        scored: those of the videos that are there.
        found: scores of each caption file.
    """
    rejects = [*read_table(corpus.manifest.payload("rejects.parquet"), REJECTS), *reencoded]
    every, inside = set().union(*listed), set().union(*scored)
    return {
        "videos": {
            "listed": len(every),
            "missing": len(every - inside),
            "rejected": len(inside & {row["video"] for row in reencoded}),
            "scored": len(inside),
            "predicted": {name: values["n_predicted_videos"] for name, values in found.items()},
        },
        "events": sum(len(events.sentences) for known in scored for events in known.values()),
        "captions": {name: values["n_captions"] for name, values in found.items()},
        "rejects": dict(sorted(Counter(row["reason"] for row in rejects).items())),
    }


def provenance(settings: Evaluate, inputs: list[Path]) -> dict[str, Any]:
    """How a result was made, from its beginnings.

    Returns:
        config_digest (one for all stages' settings), code (stage -> stamp), seeds (output -> the seeds in its
        settings and its manifest), stages (stage -> each distinct pair of settings and code, with its
        outputs), sources (the files that no stage made -> sha256), python, libraries.
    """
    traced = trace(inputs)
    made = {path: entry for path, entry in traced.items() if "stage" in entry}
    own = {
        "stage": STAGE,
        "code": stamp(f"pipeline.{STAGE}"),
        "config_digest": settings.digest(),
        "config": settings.model_dump(mode="json"),
    }
    stages: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for path, entry in [*made.items(), (None, own)]:
        kind = {name: entry[name] for name in ("config_digest", "code", "config")}
        alike = stages.setdefault(entry["stage"], {})
        alike.setdefault((kind["config_digest"], kind["code"]), {**kind, "outputs": []})
        if path is not None:
            alike[kind["config_digest"], kind["code"]]["outputs"].append(path)
    used = sorted((stage, digest) for stage, kinds in stages.items() for digest, _ in kinds)
    return {
        "config_digest": hashlib.sha256(json.dumps(used).encode()).hexdigest()[:16],
        "code": {stage: " ".join(sorted({code for _, code in kinds})) for stage, kinds in sorted(stages.items())},
        "seeds": {path: found for path, entry in made.items() if (found := _seeds(Path(path), entry["config"]))},
        "stages": {stage: list(kinds.values()) for stage, kinds in sorted(stages.items())},
        "sources": {path: entry["sha256"] for path, entry in traced.items() if "stage" not in entry},
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _seeds(output: Path, config: dict[str, Any]) -> dict[str, int]:
    """Seeds of an output: those in its settings, and the one in its manifest that a command line gave."""
    found = {key: value for key, value in config.items() if key == "seed" or key.endswith("_seed")}
    if output.name == "manifest.json" and "seed" in (facts := read_manifest(output).facts):
        found["seed"] = facts["seed"]
    return found


def _captions(args: argparse.Namespace) -> None:
    given = {"variant": args.variant, "tious": args.tious, "max_proposals": args.max_proposals}
    settings = Evaluate.parse({key: value for key, value in given.items() if value is not None}, STAGE)
    evaluate_captions(settings, args.predictions, args.references, args.output)


def _road(args: argparse.Namespace) -> None:
    settings = read_config(args.config, Evaluate, STAGE)
    sets = {"gt": args.gt, "learned": args.learned, "control": args.control}
    evaluate_road(settings, args.corpus, args.videos, sets, args.split, args.output)


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    ways = arguments.add_subparsers(required=True, metavar="captions|road")
    captions = ways.add_parser("captions", help="score one caption file")
    captions.set_defaults(run=_captions)
    captions.add_argument("--predictions", type=Path, required=True, help="captions in submission format")
    captions.add_argument("--references", type=Path, nargs="+", required=True, help="one file per annotator")
    captions.add_argument("--variant", help="2018 or 2021 (default)")
    captions.add_argument("--tious", type=float, nargs="+", help="thresholds, default 0.3 0.5 0.7 0.9")
    captions.add_argument("--max-proposals", type=int, help="captions of a video that count, default 1000")
    road = ways.add_parser("road", help="score all that the road from videos to captions has made")
    road.set_defaults(run=_road)
    add_config(road, Evaluate, STAGE)
    road.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    road.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    road.add_argument("--gt", type=Path, required=True, help="captions of ground-truth proposals")
    road.add_argument("--learned", type=Path, required=True, help="captions of learned proposals")
    road.add_argument("--control", type=Path, required=True, help="captions made from another video's features")
    road.add_argument("--split", default="test", help="which videos to score, default test")
    for way in (captions, road):
        way.add_argument("--output", type=Path, required=True, help="scores to write")
    args = arguments.parse_args(argv)
    args.run(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
