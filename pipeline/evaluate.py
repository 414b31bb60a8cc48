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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.evaluate import Evaluate, EvaluateDetections, EvaluateProposals, Metric
from pipeline.errors import PipelineError
from pipeline.evaluation import detections, proposals
from pipeline.evaluation.coverage import check, tell_missing
from pipeline.evaluation.evaluator import evaluate, identity, predicted_events, reference_events, scorer, table
from pipeline.evaluation.localization import TIOUS, read_ground_truth, read_localizations
from pipeline.evaluation.paragraphs import score_paragraphs
from pipeline.evaluation.result import assemble, inputs
from pipeline.evaluation.tokenizer import tokenize_documents
from pipeline.io.atomic import sha256, write_json
from pipeline.provenance.record import record

STAGE = "evaluate"


def evaluate_captions(
    settings: Evaluate,
    predictions: Path,
    references: list[Path],
    output: Path,
    rows: Path | None = None,
    training: Sequence[Path] = (),
) -> None:
    """Score one caption file and write the scores.

    Args:
        settings: the section.
        predictions: captions in submission format.
        references: one file per annotator.
        output: scores to write, JSON.
        rows: scores of each video to write, CSV.
        training: captions that the captioner was trained with, in the references' format.
    """
    captions, known = predicted_events(predictions), [reference_events(path) for path in references]
    seen = [events.sentences for path in training for events in reference_events(path).values()]
    evaluation = evaluate({predictions.as_posix(): captions}, known, settings)[predictions.as_posix()]
    tokens = {one for video in tokenize_documents(seen, settings.timeout_s) for one in video} if seen else None
    found = evaluation.summary(tokens)
    if rows:
        evaluation.write_rows(rows)
    tell_missing(evaluation.scores.missing, found["n_videos"])
    write_json(output, {**found, "evaluator": identity(settings, references)})
    record(output, STAGE, settings, [predictions, *references, *training])
    print(table({"captions": found}))


def evaluate_road(
    settings: Evaluate, corpus_manifest: Path, videos: Path, sets: dict[str, Path], split: str, output: Path
) -> None:
    """Score the three caption files of a dataset and write the final result; see `metrics.result.assemble`."""
    write_json(output, assemble(settings, corpus_manifest, videos, sets, split))
    record(output, STAGE, settings, inputs(corpus_manifest, videos, sets))


def evaluate_paragraphs(settings: Evaluate, predictions: Path, references: list[Path], output: Path) -> None:
    """Score the captions of each video as one paragraph and write the scores; see `metrics.paragraphs`.

    Args:
        settings: the section; variant and thresholds play no part.
        predictions: captions in submission format.
        references: one file per annotator.
        output: scores to write, JSON.
    """
    captions, known = predicted_events(predictions), [reference_events(path) for path in references]
    check(predictions.as_posix(), captions, known, settings.require_complete)
    with scorer(settings) as meteor:
        found = score_paragraphs(captions, known, meteor, settings)
    evaluator = {**identity(settings, references), "name": "paragraphs (PDVC's protocol)"}
    for key in ("variant", "tious"):  # these play no part here
        del evaluator[key]
    write_json(output, {**found, "evaluator": evaluator})
    record(output, STAGE, settings, [predictions, *references])
    print("\n".join(f"{name:24}{100 * value:8.2f}" for name, value in found.items() if isinstance(value, float)))


def evaluate_proposals(settings: EvaluateProposals, predictions: Path, ground_truth: Path, output: Path) -> None:
    """Score proposals and write the scores; see `metrics.proposals`.

    Args:
        settings: which videos, and how many of their proposals.
        predictions: scored segments in ActivityNet's format.
        ground_truth: annotations in ActivityNet's format.
        output: scores to write, JSON.
    """
    truth, found = read_ground_truth(ground_truth, settings.subset), read_localizations(predictions, labelled=False)
    scores = proposals.score_proposals(truth, found, settings.max_avg_nr_proposals)
    _write("proposals", scores, settings, [ground_truth, predictions], output)
    print(proposals.table(scores))


def evaluate_detections(settings: EvaluateDetections, predictions: Path, ground_truth: Path, output: Path) -> None:
    """Score labelled segments and write the scores; see `metrics.detections`.

    Args:
        settings: which videos, and whether to tell the AP of each class.
        predictions: scored segments with labels in ActivityNet's format.
        ground_truth: annotations in ActivityNet's format.
        output: scores to write, JSON.
    """
    truth, found = read_ground_truth(ground_truth, settings.subset), read_localizations(predictions, labelled=True)
    scores = detections.score_detections(truth, found, settings.per_class)
    _write("detections", scores, settings, [ground_truth, predictions], output)
    print(detections.table(scores))


def _write(
    task: str,
    scores: dict[str, Any],
    settings: EvaluateProposals | EvaluateDetections,
    files: list[Path],
    output: Path,
) -> None:
    evaluator = {
        "name": f"ActivityNet {task}",
        "tious": [round(float(threshold), 2) for threshold in TIOUS],
        **settings.model_dump(exclude={"per_class"}),  # which tells more, and scores alike
        "numpy": np.__version__,
        "files": [{"file": path.as_posix(), "sha256": sha256(path)} for path in files],
    }
    write_json(output, {**scores, "evaluator": evaluator})
    record(output, STAGE, settings, files)


def _captions(args: argparse.Namespace) -> None:
    evaluate_captions(_settings(args), args.predictions, args.references, args.output, args.per_video, args.training)


def _paragraphs(args: argparse.Namespace) -> None:
    evaluate_paragraphs(_settings(args), args.predictions, args.references, args.output)


def _settings(args: argparse.Namespace) -> Evaluate:
    """The section, as far as the command line has said something of it."""
    given = {name: value for name in Evaluate.model_fields if (value := getattr(args, name, None)) is not None}
    return Evaluate.parse(given, STAGE)


def _proposals(args: argparse.Namespace) -> None:
    settings = EvaluateProposals(subset=args.subset, max_avg_nr_proposals=args.max_avg_proposals)
    evaluate_proposals(settings, args.predictions, args.ground_truth, args.output)


def _detections(args: argparse.Namespace) -> None:
    settings = EvaluateDetections(subset=args.subset, per_class=args.per_class)
    evaluate_detections(settings, args.predictions, args.ground_truth, args.output)


def _road(args: argparse.Namespace) -> None:
    settings = read_config(args.config, Evaluate, STAGE)
    sets = {"gt": args.gt, "learned": args.learned, "control": args.control}
    evaluate_road(settings, args.corpus, args.videos, sets, args.split, args.output)


def _text_arguments(way: argparse.ArgumentParser) -> None:
    way.add_argument("--predictions", type=Path, required=True, help="captions in submission format")
    way.add_argument("--references", type=Path, nargs="+", required=True, help="one file per annotator")
    way.add_argument("--max-proposals", type=int, help="captions of a video that count, default 1000")
    way.add_argument("--require-complete", action="store_true", default=None, help="refuse if a video has no captions")
    way.add_argument(
        "--meteor", choices=["own", "jar"], help="own (default); jar asks METEOR's own program, same numbers"
    )
    way.add_argument("--workers", type=int, help="threads, default 1")
    way.add_argument("--timeout-s", type=float, help="Java that stays silent for longer is stopped, default 600 s")


def _captions_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_captions)
    _text_arguments(way)
    way.add_argument("--metrics", nargs="+", choices=get_args(Metric), help="default all")
    way.add_argument("--variant", choices=["2018", "2021"], help="default 2021")
    way.add_argument("--tious", type=float, nargs="+", help="thresholds, default 0.3 0.5 0.7 0.9")
    way.add_argument("--bootstrap", type=int, help="draws for the confidence intervals, default 1000; 0 for none")
    way.add_argument("--per-video", type=Path, help="scores of each video to write, CSV")
    way.add_argument("--training", type=Path, nargs="+", default=[], help="training captions: how much is new to them?")


def _paragraphs_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_paragraphs)
    _text_arguments(way)


def _segments_arguments(way: argparse.ArgumentParser) -> None:
    way.add_argument("--predictions", type=Path, required=True, help="segments with scores, ActivityNet's format")
    way.add_argument("--ground-truth", type=Path, required=True, help="annotations, ActivityNet's format")
    way.add_argument("--subset", default="validation", help="of the annotations, default validation")


def _proposals_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_proposals)
    _segments_arguments(way)
    most = way.add_mutually_exclusive_group()
    most.add_argument("--max-avg-proposals", type=float, default=100.0, help="per video on average, default 100")
    most.add_argument("--all-proposals", dest="max_avg_proposals", action="store_const", const=None, help="no limit")


def _detections_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_detections)
    _segments_arguments(way)
    way.add_argument("--per-class", action="store_true", help="tell the AP of each class")


def _road_arguments(way: argparse.ArgumentParser) -> None:
    way.set_defaults(run=_road)
    add_config(way, Evaluate, STAGE)
    way.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    way.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    way.add_argument("--gt", type=Path, required=True, help="captions of ground-truth proposals")
    way.add_argument("--learned", type=Path, required=True, help="captions of learned proposals")
    way.add_argument("--control", type=Path, required=True, help="captions made from another video's features")
    way.add_argument("--split", default="test", help="which videos to score, default test")


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse, before the work, outputs that are folders, or that would overwrite what is read."""
    outputs = [path for path in (args.output, getattr(args, "per_video", None)) if path]
    given = [value for name, value in vars(args).items() if name not in ("output", "per_video")]
    paths = {
        path.resolve()
        for value in given
        for path in (value if isinstance(value, list) else [value])
        if isinstance(path, Path)
    }
    for path in outputs:
        if path.is_dir():
            raise PipelineError(f"{path}: is a folder; name a file to write")
        if path.resolve() in paths or len({one.resolve() for one in outputs}) < len(outputs):
            raise PipelineError(f"{path}: would overwrite another file of this command; name another output")


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    ways = arguments.add_subparsers(required=True, metavar="captions|proposals|detections|paragraphs|road")
    for name, doc, add in (
        ("captions", "score one caption file", _captions_arguments),
        ("proposals", "average recall and AUC of proposals", _proposals_arguments),
        ("detections", "mean average precision of labelled segments", _detections_arguments),
        ("paragraphs", "score the captions of each video as one paragraph", _paragraphs_arguments),
        ("road", "score all that the road from videos to captions has made", _road_arguments),
    ):
        way = ways.add_parser(name, help=doc)
        add(way)
        way.add_argument("--output", type=Path, required=True, help="scores to write")
    args = arguments.parse_args(argv)
    _check_outputs(args)
    args.run(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
