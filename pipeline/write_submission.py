r"""Write the challenge's submission file for the test set, whose references are not public.

In: the corpus, the re-encoded videos, the captions of the split `submission`.
Out: captions in submission format, reduced to sentences and timestamps.

Alone:
    python -m pipeline.write_submission --corpus results/anet/corpus/manifest.json --videos results/anet/video \
        --captions results/anet/captions/ensemble-submission-learned.json \
        --output results/anet_submission.json
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.write_submission import WriteSubmission
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.matching import abbreviate_names
from pipeline.evaluation.predictions import Predictions, read_predictions
from pipeline.io.atomic import write_json
from pipeline.provenance.record import write_record
from pipeline.video.shard import shard_manifest

STAGE = "write_submission"
SPLIT = "submission"


def allowed_overrun_s(duration: float) -> float:
    """Return by how many seconds a caption may exceed the annotated duration; video files differ that much from it."""
    return max(1.0, 0.02 * duration)


def checked_submission(
    config: WriteSubmission, corpus: Corpus, rejected: set[str], captions: Predictions
) -> dict[str, Any]:
    """Build the submission of a corpus.

    Args:
        config: statement on external data.
        corpus: the corpus; the captions are those of its split `submission`.
        rejected: videos that re-encoding rejected; they need no caption.
        captions: generated captions.

    Raises:
        PipelineError: the split is empty; a video is not in the split, or has no caption; a caption is empty or exceeds
            its video; the settings deny external data that the captions declare.
    """
    videos = {row.video: row for row in corpus.videos if row.split == SPLIT}
    expected = sorted({row.video for row in corpus.videos_of_splits(SPLIT)} - rejected)
    if not expected:
        raise PipelineError(
            f"{corpus.manifest.path}: the split {SPLIT} has no video; "
            "it consists of subset testing of the action annotations"
        )
    unknown = sorted(captions.results.keys() - videos.keys())
    if unknown:
        raise PipelineError(f"{captions.path}: video {unknown[0]} is not in the split {SPLIT}")
    missing = [video for video in expected if not captions.results.get(video)]
    if missing:
        raise PipelineError(
            f"{captions.path}: {len(missing)} of {len(expected)} videos have no caption: "
            f"{abbreviate_names(missing)}; generate captions for all of them"
        )
    for video, entries in captions.results.items():
        for index, caption in enumerate(entries):
            fault = _find_fault(caption, videos[video].duration)
            if fault:
                raise PipelineError(f"{captions.path}: video {video}, caption {index}: {fault}")
    return {
        "version": captions.version,
        "results": {
            video: [{"sentence": caption["sentence"], "timestamp": caption["timestamp"]} for caption in entries]
            for video, entries in captions.results.items()
        },
        "external_data": _external_data(config, captions),
    }


def _external_data(config: WriteSubmission, captions: Predictions) -> dict[str, Any]:
    """Return the statement of the config; where it has none, that of the captions."""
    declared = captions.external_data if isinstance(captions.external_data, dict) else {}
    if declared.get("used") is True and config.external_data is False:
        raise PipelineError(
            f"{captions.path}: external data was used ({declared.get('details')}), but config: "
            "write_submission.external_data is false; set it to true"
        )
    settings = {"used": config.external_data, "details": config.details}
    statement = {name: declared.get(name) if value is None else value for name, value in settings.items()}
    if not isinstance(statement["used"], bool) or not isinstance(statement["details"], str):
        raise PipelineError(
            f"{captions.path}: does not state which external data was used; "
            "set config: write_submission.external_data and write_submission.details"
        )
    return statement


def _find_fault(caption: dict[str, Any], duration: float | None) -> str | None:
    """Describe why the challenge would refuse a caption; None if it would not."""
    start, end = caption["timestamp"]
    if not caption["sentence"].strip():
        return "the sentence is empty"
    if start < 0:
        return f"starts at {start} s"
    if duration is not None and end > duration + allowed_overrun_s(duration):
        return f"ends at {end} s, but the annotated duration is {duration} s"
    return None


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, WriteSubmission, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--captions", type=Path, required=True, help="captions of the split submission")
    arguments.add_argument("--output", type=Path, required=True, help="submission to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, WriteSubmission, STAGE)
    corpus = Corpus.open(args.corpus)
    rejected = {row.video for row in corpus.reencoding_rejects(args.videos)}
    submission = checked_submission(config, corpus, rejected, read_predictions(args.captions))
    write_json(args.output, submission)
    shards = [shard_manifest(args.videos, shard) for shard in range(corpus.num_shards)]
    write_record(args.output, STAGE, config, [args.corpus, *shards, args.captions])
    results = submission["results"]
    logging.info(
        "submission: %d videos, %d captions; %d videos are missing or were rejected",
        len(results),
        sum(len(entries) for entries in results.values()),
        sum(row.split == SPLIT and row.video not in results for row in corpus.videos),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
