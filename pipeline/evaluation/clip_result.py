"""The final result of a dataset of clips: the scores of its captions, of the control, counts, and how it was made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.clip_files import known_captions, read_clip_predictions
from pipeline.evaluation.clips import (
    check_clip_coverage,
    describe_clip_evaluator,
    evaluate_clip_captions,
    format_clip_scores,
)
from pipeline.evaluation.dataset_result import trace_provenance
from pipeline.evaluation.evaluator import read_reference_events

STAGE = "evaluate_clips"


def score_clip_dataset(
    settings: EvaluateClips,
    corpus_manifest: Path,
    videos: Path,
    sets: Mapping[str, Path],
    vocabulary: Path,
    split: str,
    inputs: Sequence[Path],
) -> dict[str, Any]:
    """Score the captions of a dataset of clips.

    Args:
        settings: section `evaluate_clips`.
        corpus_manifest: manifest of the dataset's corpus.
        videos: folder of the re-encoded shards.
        sets: caption files: `gt` (whole clips), perhaps `control` (features of another clip).
        vocabulary: the captioner's vocabulary, for the share of novel captions.
        split: split to score.
        inputs: all files that the result is made from, for its provenance.

    Returns:
        The scores, diversity, `control` (if there are such captions), `counts`, `evaluator`, `provenance` and
        `per_video` (docs/clips.md).

    Raises:
        PipelineError: there is nothing to score, captions are incomplete where `require_complete` is set, or an input
            is malformed.
    """
    corpus = Corpus.open(corpus_manifest)
    files = corpus.references(split)
    listed = _collect_references(files)
    present = {row.video for row in corpus.videos_of_splits(split)}
    references = {clip: texts for clip, texts in listed.items() if clip in present}
    if not references:
        raise PipelineError(
            f"{corpus_manifest}: no clip of split {split} has a file and reference captions; nothing to score"
        )
    rejected = corpus.reencoding_rejects(videos)
    training = [event.sentence for clip in corpus.events("train").values() for of in clip.values() for event in of]
    training_captions = known_captions(training, Vocabulary.read(vocabulary))
    scores = {}
    for name, path in sets.items():
        captions = read_clip_predictions(path)
        check_clip_coverage(path.as_posix(), captions, references, require_complete=settings.require_complete)
        scores[name] = evaluate_clip_captions(
            captions, references, settings, training_captions if name == "gt" else None
        )
    print(format_clip_scores(scores["gt"]))
    control = {name: value for name, value in scores.get("control", {}).items() if isinstance(value, float)}
    return {
        **{name: value for name, value in scores["gt"].items() if name != "per_video"},
        **({"control": control} if control else {}),
        "counts": {
            "clips": {
                "listed": len(listed),
                "missing": len(listed) - len(references),
                "rejected": len(references.keys() & {row.video for row in rejected}),
                "scored": len(references),
            },
            "references": sum(map(len, references.values())),
            "rejects": dict(sorted(Counter(row.reason for row in [*corpus.rejects, *rejected]).items())),
        },
        "evaluator": describe_clip_evaluator(settings, files, STAGE),
        "provenance": trace_provenance(settings, inputs, STAGE),
        "per_video": {name: of_set["per_video"] for name, of_set in scores.items()},
    }


def _collect_references(files: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Return the captions of each clip from one file for each annotator, clips sorted by id."""
    references: dict[str, list[str]] = {}
    for path in files:
        for clip, events in read_reference_events(path).items():
            references.setdefault(clip, []).extend(events.sentences)
    return {clip: tuple(references[clip]) for clip in sorted(references)}
