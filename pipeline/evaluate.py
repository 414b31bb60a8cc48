r"""Score captions and proposals as the official evaluators of ActivityNet do.

captions: one caption file against reference files.
    In: captions in submission format; references in ActivityNet Captions' format, one file per annotator.
    Out: METEOR, CIDEr, BLEU, ROUGE-L, precision and recall per tIoU and their mean, F1, SODA_c, how varied the
    captions are, 95 % confidence intervals, counts, and what has scored them. Fractions, not percent.
proposals: average recall of proposals, by ActivityNet's own rules.
detections: mean average precision of labelled segments, likewise.
    In: segments with scores; ground truth of ActivityNet's form. Out: AR and AUC; mAP per tIoU and their mean.
paragraphs: the captions of each video as one paragraph against the annotators' paragraphs (PDVC's protocol).
    In: as for captions. Out: METEOR, CIDEr, BLEU, ROUGE-L of the whole set.
road: the final result of a dataset.
    In: the corpus and its re-encoded videos; captions of ground-truth proposals, of learned proposals, and the
    control (ground-truth proposals, but every video has another's features).
    Out: the scores of the three, what was counted and rejected on the way, and how everything was made. Videos
    whose file is missing from the corpus are not scored; videos that re-encoding rejected are, with 0.

Alone:
    python -m pipeline.evaluate captions --predictions captions.json --references val_1.json val_2.json \
        --output scores.json
    python -m pipeline.evaluate proposals --predictions proposals.json --ground-truth activity_net.json \
        --subset validation --output scores.json
"""

import argparse
import logging
from pathlib import Path
from typing import get_args

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.evaluate import Evaluate, Metric
from pipeline.metrics.evaluator import evaluate, identity, predicted_events, reference_events, table
from pipeline.metrics.result import assemble, inputs
from pipeline.store.atomic import write_json
from pipeline.store.provenance import record

STAGE = "evaluate"


def evaluate_captions(
    settings: Evaluate, predictions: Path, references: list[Path], output: Path, rows: Path | None = None
) -> None:
    """Score one caption file and write the scores.

    Args:
        settings: the section.
        predictions: captions in submission format.
        references: one file per annotator.
        output: scores to write, JSON.
        rows: scores of each video to write, CSV.
    """
    captions, known = predicted_events(predictions), [reference_events(path) for path in references]
    evaluation = evaluate({predictions.as_posix(): captions}, known, settings)[predictions.as_posix()]
    found = evaluation.summary()
    if rows:
        evaluation.write_rows(rows)
    missing = evaluation.scores.missing
    if missing:
        logging.warning(
            "%d of %d videos of the references have no captions and score 0: %s",
            len(missing),
            found["n_videos"],
            ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else ""),
        )
    write_json(output, {**found, "evaluator": identity(settings, references)})
    record(output, STAGE, settings, [predictions, *references])
    print(table({"captions": found}))


def evaluate_road(
    settings: Evaluate, corpus_manifest: Path, videos: Path, sets: dict[str, Path], split: str, output: Path
) -> None:
    """Score the three caption files of a dataset and write the final result; see `metrics.result.assemble`."""
    write_json(output, assemble(settings, corpus_manifest, videos, sets, split))
    record(output, STAGE, settings, inputs(corpus_manifest, videos, sets))


def _captions(args: argparse.Namespace) -> None:
    names = ("metrics", "variant", "tious", "max_proposals", "require_complete", "bootstrap", "meteor", "workers")
    given = {name: getattr(args, name) for name in names}
    settings = Evaluate.parse({key: value for key, value in given.items() if value is not None}, STAGE)
    evaluate_captions(settings, args.predictions, args.references, args.output, args.per_video)


def _road(args: argparse.Namespace) -> None:
    settings = read_config(args.config, Evaluate, STAGE)
    sets = {"gt": args.gt, "learned": args.learned, "control": args.control}
    evaluate_road(settings, args.corpus, args.videos, sets, args.split, args.output)


def _captions_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_captions)
    way.add_argument("--predictions", type=Path, required=True, help="captions in submission format")
    way.add_argument("--references", type=Path, nargs="+", required=True, help="one file per annotator")
    way.add_argument("--metrics", nargs="+", help=f"default all: {' '.join(get_args(Metric))}")
    way.add_argument("--variant", help="2018 or 2021 (default)")
    way.add_argument("--tious", type=float, nargs="+", help="thresholds, default 0.3 0.5 0.7 0.9")
    way.add_argument("--max-proposals", type=int, help="captions of a video that count, default 1000")
    way.add_argument("--require-complete", action="store_true", default=None, help="refuse if a video has no captions")
    way.add_argument("--bootstrap", type=int, help="draws for the confidence intervals, default 1000; 0 for none")
    way.add_argument("--meteor", help="own (default), or jar: ask METEOR's own program, slower, same numbers")
    way.add_argument("--workers", type=int, help="threads of METEOR, default 1")
    way.add_argument("--per-video", type=Path, help="scores of each video to write, CSV")


def _road_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_road)
    add_config(way, Evaluate, STAGE)
    way.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    way.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    way.add_argument("--gt", type=Path, required=True, help="captions of ground-truth proposals")
    way.add_argument("--learned", type=Path, required=True, help="captions of learned proposals")
    way.add_argument("--control", type=Path, required=True, help="captions made from another video's features")
    way.add_argument("--split", default="test", help="which videos to score, default test")


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    ways = arguments.add_subparsers(required=True, metavar="captions|road")
    for name, doc, add in (
        ("captions", "score one caption file", _captions_arguments),
        ("road", "score all that the road from videos to captions has made", _road_arguments),
    ):
        way = ways.add_parser(name, help=doc)
        add(way)
        way.add_argument("--output", type=Path, required=True, help="scores to write")
    args = arguments.parse_args(argv)
    args.run(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
