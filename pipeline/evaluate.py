r"""Score captions and proposals as the official evaluators of ActivityNet do.

captions: score one caption file.
    In: captions in submission format; references in ActivityNet Captions' format, one file per annotator.
    Out: METEOR, CIDEr, BLEU, ROUGE-L, precision and recall at each tIoU threshold and their mean, F1, SODA_c,
    diversity, 95 % confidence intervals, counts, the evaluator's identity, scores of each video. Fractions, not
    percent.
proposals: average recall and AUC of proposals, by ActivityNet's own rules.
detections: mean average precision of labelled segments, by ActivityNet's own rules.
    In: scored segments; ground truth; both in ActivityNet's format.
clips: score one caption of each clip as COCO's server does.
    In: captions; references in any format of clips (MSR-VTT, VATEX, COCO, a table). Out: METEOR, CIDEr, BLEU, ROUGE-L,
    Meta-Sum of the whole set; diversity.
paragraphs: score the captions of each video as one paragraph (PDVC's protocol).
    In: as for captions. Out: METEOR, CIDEr, BLEU, ROUGE-L of the whole set.
dataset: write the final result of a dataset.
    In: the corpus and its re-encoded videos; captions of ground-truth proposals, of learned proposals, and of the
    control (ground-truth proposals, features of another video).
    Out: the scores of the three, counts of videos, captions and rejects, and how everything was made. Videos whose file
    is missing from the corpus are not scored; videos that were rejected by re-encoding score 0.

Alone (`sa-tsp evaluate` is the same command):
    python -m pipeline.evaluate captions --predictions captions.json --references val_1.json val_2.json \
        --output scores.json
    python -m pipeline.evaluate proposals --predictions proposals.json --ground-truth activity_net.json \
        --subset validation --output scores.json
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.base import Settings
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.evaluate import Evaluate, EvaluateDetections, EvaluateProposals
from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.datasets.annotations import read_clips
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.clip_files import (
    fill_missing,
    known_captions,
    read_clip_predictions,
    read_clip_references,
)
from pipeline.evaluation.clips import (
    check_clip_coverage,
    describe_clip_evaluator,
    evaluate_clip_captions,
    format_clip_scores,
)
from pipeline.evaluation.dataset_result import result_inputs, score_dataset
from pipeline.evaluation.detections import format_detections, score_detections
from pipeline.evaluation.evaluator import (
    describe_evaluator,
    evaluate_caption_sets,
    format_caption_scores,
    read_predicted_events,
    read_reference_events,
    write_per_video_csv,
    write_result,
)
from pipeline.evaluation.garbage_collection import pause_garbage_collection
from pipeline.evaluation.matching import check_coverage, warn_missing_videos
from pipeline.evaluation.meteor.metric import open_meteor
from pipeline.evaluation.metric import MetricContext
from pipeline.evaluation.paragraphs import score_paragraphs
from pipeline.evaluation.proposals import format_proposals, score_proposals
from pipeline.evaluation.segments import TIOUS, as_thresholds, read_ground_truth, read_scored_segments
from pipeline.evaluation.tokenizer import tokenize_documents
from pipeline.io.atomic import sha256
from pipeline.provenance.computation import Computation
from pipeline.provenance.record import write_record
from pipeline.provenance.trace import provenance_digest

STAGE = "evaluate"


def evaluate_captions(
    settings: Evaluate,
    *,
    predictions: Path,
    references: Sequence[Path],
    output: Path,
    per_video: Path | None = None,
    training: Sequence[Path] = (),
) -> None:
    """Score one caption file.

    Args:
        settings: section `evaluate`.
        predictions: captions in submission format.
        references: one file per annotator.
        output: result to write, JSON.
        per_video: scores of each video to write, CSV.
        training: captions that the captioner was trained with, in the references' format.
    """
    captions = read_predicted_events(predictions)
    reference_sets = [read_reference_events(path) for path in references]
    training_sentences = [events.sentences for path in training for events in read_reference_events(path).values()]
    name = predictions.as_posix()
    scores = evaluate_caption_sets({name: captions}, reference_sets, settings)[name]
    training_captions = {
        caption for video in tokenize_documents(training_sentences, settings.timeout_s) for caption in video
    }
    summary = scores.summary(training_captions if training_sentences else None)
    if per_video:
        write_per_video_csv(per_video, scores)
    warn_missing_videos(scores.missing, summary["n_videos"])
    evaluator = describe_evaluator(settings, references)
    write_result(output, {**summary, "evaluator": evaluator, "per_video": scores.per_video_table()})
    write_record(output, STAGE, settings, [predictions, *references, *training])
    print(format_caption_scores({"captions": summary}))


def evaluate_paragraphs(settings: Evaluate, *, predictions: Path, references: Sequence[Path], output: Path) -> None:
    """Score the captions of each video as one paragraph.

    Args:
        settings: section `evaluate`; variant, thresholds and metrics are not used.
        predictions: captions in submission format.
        references: one file per annotator.
        output: result to write, JSON.
    """
    captions = read_predicted_events(predictions)
    reference_sets = [read_reference_events(path) for path in references]
    check_coverage(predictions.as_posix(), captions, reference_sets, settings.require_complete)
    with MetricContext(settings) as context:
        scores = score_paragraphs(captions, reference_sets, open_meteor(context), settings)
    evaluator = {**describe_evaluator(settings, references), "name": "paragraphs (PDVC's protocol)"}
    for unused in ("variant", "tious"):
        del evaluator[unused]
    write_result(output, {**scores, "evaluator": evaluator})
    write_record(output, STAGE, settings, [predictions, *references])
    print("\n".join(f"{name:24}{100 * value:8.2f}" for name, value in scores.items() if isinstance(value, float)))


def evaluate_clips(
    settings: EvaluateClips,
    *,
    predictions: Path,
    references: Sequence[Path],
    output: Path,
    training: Sequence[Path] = (),
    vocabulary: Path | None = None,
    fill: Path | None = None,
) -> None:
    """Score one caption of each clip.

    Args:
        settings: subset and reader of the references, METEOR.
        predictions: captions of clips, or captions in submission format.
        references: captions of clips; several files have different clips.
        output: result to write, JSON.
        training: captions of clips that the captioner was trained with.
        vocabulary: the captioner's vocabulary: words of training captions that it lacks are unknown words.
        fill: captions of another captioner, for the clips of the references without a caption.
    """
    texts = read_clip_references(references, settings)
    captions = read_clip_predictions(predictions)
    filled: dict[str, Any] = {}
    if fill:
        captions, count = fill_missing(captions, read_clip_predictions(fill), texts)
        filled = {"n_filled_clips": count, "filled_from": {"file": fill.as_posix(), "sha256": sha256(fill)}}
    check_clip_coverage(predictions.as_posix(), captions, texts, require_complete=settings.require_complete)
    sentences = [caption for path in training for clip in read_clips(path).values() for caption in clip.captions]
    training_captions = (
        known_captions(sentences, Vocabulary.read(vocabulary) if vocabulary else None) if training else None
    )
    scores = evaluate_clip_captions(captions, texts, settings, training_captions)
    evaluator = describe_clip_evaluator(settings, references, STAGE)
    write_result(output, {**scores, **filled, "evaluator": evaluator})
    files = [predictions, *references, *training, *filter(None, (vocabulary, fill))]
    write_record(output, STAGE, settings, files)
    print(format_clip_scores(scores))


def evaluate_proposals(settings: EvaluateProposals, *, predictions: Path, ground_truth: Path, output: Path) -> None:
    """Score proposals.

    Args:
        settings: subset of the videos, and how many of their proposals count.
        predictions: scored segments in ActivityNet's format.
        ground_truth: annotations in ActivityNet's format.
        output: result to write, JSON.
    """
    truth = read_ground_truth(ground_truth, settings.subset)
    scores = score_proposals(truth, read_scored_segments(predictions, labelled=False), settings.max_avg_nr_proposals)
    _write_segment_scores("proposals", scores, settings, [ground_truth, predictions], output)
    print(format_proposals(scores))


def evaluate_detections(settings: EvaluateDetections, *, predictions: Path, ground_truth: Path, output: Path) -> None:
    """Score labelled segments.

    Args:
        settings: subset of the videos, and whether to report the AP of each class.
        predictions: scored segments with labels in ActivityNet's format.
        ground_truth: annotations in ActivityNet's format.
        output: result to write, JSON.
    """
    truth = read_ground_truth(ground_truth, settings.subset)
    detections = read_scored_segments(predictions, labelled=True)
    scores = score_detections(truth, detections, settings.per_class, as_thresholds(settings.tious))
    _write_segment_scores("detections", scores, settings, [ground_truth, predictions], output)
    print(format_detections(scores))


def _write_segment_scores(
    task: str,
    scores: dict[str, Any],
    settings: EvaluateProposals | EvaluateDetections,
    files: list[Path],
    output: Path,
) -> None:
    evaluator = {
        "name": f"ActivityNet {task}",
        "tious": [round(float(threshold), 2) for threshold in TIOUS],
        **settings.model_dump(exclude={"per_class"}),  # which changes no score
        "numpy": np.__version__,
        "files": [{"file": path.as_posix(), "sha256": sha256(path)} for path in files],
    }
    write_result(output, {**scores, "evaluator": evaluator})
    write_record(output, STAGE, settings, files)


def evaluate_dataset(
    settings: Evaluate,
    *,
    corpus: Path,
    videos: Path,
    gt: Path,
    learned: Path,
    control: Path,
    split: str,
    output: Path,
) -> None:
    """Score the three caption files of a dataset and write its final result.

    Args:
        settings: section `evaluate`.
        corpus: manifest of the corpus.
        videos: folder of the re-encoded shards.
        gt: captions of ground-truth proposals.
        learned: captions of learned proposals.
        control: captions made from the features of another video.
        split: split to score.
        output: result to write, JSON.
    """
    sets = {"gt": gt, "learned": learned, "control": control}
    inputs = result_inputs(corpus, videos, sets)
    computation = Computation(STAGE, settings, inputs, [output], split=split, provenance=provenance_digest(inputs))
    if computation.restore():
        return
    write_result(output, score_dataset(settings, corpus, videos, sets, split))
    computation.keep_outputs()


@dataclass(frozen=True)
class SubCommand:
    """A sub-command.

    Attributes:
        help: one line for `--help`.
        run: called with the settings, and with the value of each file's option as a keyword.
        section: the settings.
        files: arguments of `add_argument` for the option of each file.
    """

    help: str
    run: Callable[..., None]
    section: type[Settings]
    files: dict[str, dict[str, Any]]


def _file(text: str, **options: Any) -> dict[str, Any]:
    return {"type": Path, "required": True, "help": text} | options


_CAPTION_FILES = {
    "predictions": _file("captions in submission format"),
    "references": _file("references in ActivityNet Captions' format, one file per annotator", nargs="+"),
    "output": _file("result to write, JSON"),
}
_SEGMENT_FILES = {
    "predictions": _file("scored segments in ActivityNet's format"),
    "ground_truth": _file("annotations in ActivityNet's format"),
    "output": _file("result to write, JSON"),
}
SUB_COMMANDS = {
    "captions": SubCommand(
        "score one caption file",
        evaluate_captions,
        Evaluate,
        {
            **_CAPTION_FILES,
            "per_video": _file("scores of each video to write, CSV", required=False),
            "training": _file(
                "training captions, for the share of novel captions", nargs="+", required=False, default=[]
            ),
        },
    ),
    "proposals": SubCommand(
        "average recall and AUC of proposals", evaluate_proposals, EvaluateProposals, _SEGMENT_FILES
    ),
    "detections": SubCommand(
        "mean average precision of labelled segments", evaluate_detections, EvaluateDetections, _SEGMENT_FILES
    ),
    "clips": SubCommand(
        "score one caption of each clip as COCO's server does",
        evaluate_clips,
        EvaluateClips,
        {
            "predictions": _file("captions of clips: JSON of clips and captions, or submission format"),
            "references": _file("captions of clips in any format of clips (docs/annotations.md)", nargs="+"),
            "output": _file("result to write, JSON"),
            "training": _file(
                "training captions of clips, for the share of novel captions", nargs="+", required=False, default=[]
            ),
            "vocabulary": _file("vocabulary.json of the captioner, for the share of novel captions", required=False),
            "fill": _file("captions of another captioner, for clips without a caption", required=False),
        },
    ),
    "paragraphs": SubCommand(
        "score the captions of each video as one paragraph", evaluate_paragraphs, Evaluate, _CAPTION_FILES
    ),
    "dataset": SubCommand(
        "write the final result of a dataset",
        evaluate_dataset,
        Evaluate,
        {
            "corpus": _file("manifest of the corpus"),
            "videos": _file("folder of the re-encoded shards"),
            "gt": _file("captions of ground-truth proposals"),
            "learned": _file("captions of learned proposals"),
            "control": _file("captions made from the features of another video"),
            "split": _file("split to score (default: test)", type=str, required=False, default="test"),
            "output": _file("result to write, JSON"),
        },
    ),
}
OUTPUTS = ("output", "per_video")


def _check_outputs(files: dict[str, Any]) -> None:
    """Refuse, before the work, an output that is a folder, or that would overwrite another file of the command."""
    outputs = [files[name] for name in OUTPUTS if files.get(name)]
    inputs = {
        path.resolve()
        for name, value in files.items()
        if name not in OUTPUTS
        for path in (value if isinstance(value, list) else [value])
        if isinstance(path, Path)
    }
    for path in outputs:
        if path.is_dir():
            raise PipelineError(f"{path}: is a folder; name a file to write")
        if path.resolve() in inputs or len({output.resolve() for output in outputs}) < len(outputs):
            raise PipelineError(f"{path}: would overwrite another file of this command; name another output")


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__)
    commands = arguments.add_subparsers(required=True, dest="sub_command", metavar="|".join(SUB_COMMANDS))
    for name, sub_command in SUB_COMMANDS.items():
        options = commands.add_parser(name, help=sub_command.help)
        for file, file_options in sub_command.files.items():
            options.add_argument(f"--{file.replace('_', '-')}", **file_options)
        add_config(options, sub_command.section, STAGE)
    args = arguments.parse_args(argv)
    sub_command = SUB_COMMANDS[args.sub_command]
    files = {name: getattr(args, name) for name in sub_command.files}
    _check_outputs(files)
    settings = read_config(args.config, sub_command.section, STAGE)
    with pause_garbage_collection():
        sub_command.run(settings, **files)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
