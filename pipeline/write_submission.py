r"""Write the challenge's submission file for the test set, whose references are not public.

In: the corpus, the re-encoded videos, the captions of the split `submission`.
Out: captions in submission format, with nothing in them but sentences and timestamps.

Alone:
    python -m pipeline.write_submission --corpus results/anet/corpus/manifest.json --videos results/anet/video \
        --captions results/anet/captions/ensemble-submission-learned.json \
        --output results/anet_submission.json
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.write_submission import WriteSubmission
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import Predictions, read_predictions
from pipeline.io.atomic import write_json
from pipeline.provenance.record import record
from pipeline.video.shard import shard_manifest

STAGE = "write_submission"
SPLIT = "submission"


def tolerance(duration: float) -> float:
    """By how many seconds a caption may outlast the annotated duration; files differ that much from it."""
    return max(1.0, 0.02 * duration)


def submission(config: WriteSubmission, corpus: Corpus, rejected: set[str], captions: Predictions) -> dict[str, Any]:
    """The submission of a corpus.

    Args:
        config: what the file says of external data.
        corpus: whose split `submission` is captioned.
        rejected: videos that re-encoding left out; they need no caption.
        captions: what was generated.

    Raises:
        PipelineError: the split is empty; a video is not of the split, or has no caption; a caption is empty
            or lies outside of its video; the settings deny external data that the captions declare.
    """
    rows = {row["video"]: row for row in corpus.videos if row["split"] == SPLIT}
    present = sorted({row["video"] for row in corpus.of_splits(SPLIT)} - rejected)
    if not present:
        raise PipelineError(
            f"{corpus.manifest.path}: the split {SPLIT} holds no video; "
            "it is made of the action annotations of subset testing"
        )
    said = captions.external_data
    if isinstance(said, dict) and said.get("used") is True and config.external_data is False:
        raise PipelineError(
            f"{captions.path} says that external data was used ({said.get('details')}), but config: "
            "write_submission.external_data is false; set it to true"
        )
    strangers = sorted(captions.results.keys() - rows.keys())
    if strangers:
        raise PipelineError(f"{captions.path}: video {strangers[0]} is not of the split {SPLIT}")
    silent = [video for video in present if not captions.results.get(video)]
    if silent:
        raise PipelineError(
            f"{captions.path}: {len(silent)} of {len(present)} videos have no caption: "
            f"{', '.join(silent[:3])}; generate captions for all of them"
        )
    for video, entries in captions.results.items():
        for index, caption in enumerate(entries):
            wrong = _wrong(caption, rows[video]["duration"])
            if wrong:
                raise PipelineError(f"{captions.path}: video {video}, caption {index}: {wrong}")
    return {
        "version": captions.version,
        "results": {
            video: [{"sentence": caption["sentence"], "timestamp": caption["timestamp"]} for caption in entries]
            for video, entries in captions.results.items()
        },
        "external_data": _external_data(config, captions),
    }


def _external_data(config: WriteSubmission, captions: Predictions) -> dict[str, Any]:
    """What config says of external data, and what the captions say where it says nothing."""
    given = {"used": config.external_data, "details": config.details}
    said = captions.external_data
    declared = said if isinstance(said, dict) else {}
    found = {name: declared.get(name) if value is None else value for name, value in given.items()}
    if not isinstance(found["used"], bool) or not isinstance(found["details"], str):
        raise PipelineError(
            f"{captions.path}: does not say what external data was used; "
            "config: write_submission.external_data and write_submission.details can"
        )
    return found


def _wrong(caption: dict[str, Any], duration: float | None) -> str | None:
    start, end = caption["timestamp"]
    if not caption["sentence"].strip():
        return "the sentence is empty"
    if start < 0:
        return f"starts at {start} s"
    if duration is not None and end > duration + tolerance(duration):
        return f"ends at {end} s, but the video is annotated with {duration} s"
    return None


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, WriteSubmission, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--captions", type=Path, required=True, help="captions of the split submission")
    arguments.add_argument("--output", type=Path, required=True, help="submission to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, WriteSubmission, STAGE)
    corpus = Corpus.open(args.corpus)
    rejected = {row["video"] for row in corpus.rejected(args.videos)}
    made = submission(config, corpus, rejected, read_predictions(args.captions))
    write_json(args.output, made)
    shards = [shard_manifest(args.videos, shard) for shard in range(corpus.manifest.facts["shards"])]
    record(args.output, STAGE, config, [args.corpus, *shards, args.captions])
    without = [row["video"] for row in corpus.videos if row["split"] == SPLIT and row["video"] not in made["results"]]
    logging.info(
        "submission: %d videos, %d captions; %d videos are missing or were rejected",
        len(made["results"]),
        sum(len(entries) for entries in made["results"].values()),
        len(without),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
