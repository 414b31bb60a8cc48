r"""Write the report: score tables, training curves, and a page that plays the videos beside their captions.

In:  the scores, the corpus, the re-encoded videos, the captions of the ensemble and of its control, and the manifests
     of all trainings.
Out: the page; beside it scores.json and scores.md (the tables) and curves/*.png. The page opens from disk and plays the
     re-encoded videos from their own folder.

Alone, after results/demo_test_meteor.json has been made:

    python -m pipeline.write_report --scores results/demo_test_meteor.json --corpus results/demo/corpus/manifest.json \
        --videos results/demo/video --gt results/demo/captions/ensemble-test-gt.json \
        --learned results/demo/captions/ensemble-test-learned.json \
        --control results/demo/captions/ensemble-test-control.json \
        --trained results/demo/encoders/sa_tsp/manifest.json --output /tmp/report/index.html
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.write_report import WriteReport
from pipeline.datasets import annotations
from pipeline.datasets.corpus import Corpus
from pipeline.evaluation.predictions import read_predictions
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.record import write_record
from pipeline.report.curves import draw_curves, read_metrics
from pipeline.report.page import (
    METRIC,
    CaptionSet,
    Page,
    PageEvent,
    PageReport,
    PageVideo,
    evenly_spaced,
    write_page,
)
from pipeline.report.tables import score_rows, score_table_markdown
from pipeline.video.shard import ReencodedVideo, ReencodedVideos

STAGE = "write_report"
TRAINED_FOLDERS = ("encoders", "proposers", "captioners")
"""Folders of trained networks in the results of a dataset."""

Events = Mapping[str, Sequence[PageEvent]]
"""Events by video id."""

log = logging.getLogger(__name__)


GENERATED = (
    CaptionSet("gt", "Ground-truth events", "gt"),
    CaptionSet("learned", "Learned events", "learned"),
    CaptionSet("control", "Control", "control", visible=False),
)
"""Sets of generated captions; the keys are those of the scores."""


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    args = _parse_arguments(argv)
    config = read_config(args.config, WriteReport, STAGE)
    folder = args.output.parent
    scores = read_json(args.scores, "scores")
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    events = read_references(corpus)
    annotators = [CaptionSet(key, key.replace("_", " ").capitalize(), "reference") for key in events]
    events["gt"], events["control"] = read_captions(args.gt), read_captions(args.control)
    events["learned"] = read_captions(args.learned, "proposal_score")
    meteor = read_video_scores(scores)
    test_videos = [row.video for row in corpus.videos_of_splits("test") if row.video in videos.by_id]
    rows = score_rows(scores)
    num_partial = sum(videos.by_id[video].partial for video in test_videos)
    page = Page(
        title=config.title,
        caption_sets=[*annotators, *GENERATED],
        videos=[
            describe_video(videos.by_id[video], events, meteor) for video in evenly_spaced(test_videos, config.videos)
        ],
        report=PageReport(scores, rows, num_partial, curves=draw_all_curves(args.trained, folder)),
    )
    write_json(folder / "scores.json", rows)
    write_text(folder / "scores.md", score_table_markdown(rows))
    write_page(page, args.output)
    inputs = [args.scores, args.corpus, *videos.manifests, args.gt, args.learned, args.control, *args.trained]
    write_record(args.output, STAGE, config, inputs)
    log.info("%s: %d videos, %d trainings", args.output, len(page.videos), len(args.trained))
    return 0


def read_references(corpus: Corpus) -> dict[str, Events]:
    """Read the reference captions of the test videos: key of the annotator -> video -> events."""
    return {
        f"annotator_{number}": {
            video: [PageEvent(event.start, event.end, event.text.strip()) for event in entry.events]
            for video, entry in annotations.read_captions(path).items()
        }
        for number, path in enumerate(corpus.references("test"), start=1)
    }


def read_captions(path: Path, score: str = "") -> Events:
    """Read a caption file: video -> events.

    Args:
        path: the file.
        score: key of the score that the page shows; empty: none.
    """
    return {video: [_to_event(row, score) for row in rows] for video, rows in read_predictions(path).results.items()}


def _to_event(row: dict[str, Any], score: str) -> PageEvent:
    start, end = row["timestamp"]
    return PageEvent(start, end, row["sentence"], row.get(score))


def read_video_scores(scores: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Read METEOR of each video in points of 100: key of the captions -> video -> score.

    Args:
        scores: the result of `evaluate dataset`; without METEOR there are no scores of videos.
    """
    return {
        key: {
            video: None if score is None else 100 * score
            for video, score in zip(table["video"], table[METRIC], strict=True)
        }
        for key, table in scores["per_video"].items()
        if METRIC in table
    }


def describe_video(
    video: ReencodedVideo, events: Mapping[str, Events], scores: Mapping[str, Mapping[str, float | None]]
) -> PageVideo:
    """Describe a re-encoded video for the page.

    Args:
        video: the video.
        events: key of a set of captions -> video -> events.
        scores: key of a set -> video -> METEOR in points of 100.
    """
    name = video.video
    note = ""
    if video.source_s is not None:
        note = f"partial: damaged, {video.reason}; the whole video has {video.source_s:.1f} s"
    return PageVideo(
        name,
        video.path,
        {key: by_video[name] for key, by_video in events.items() if name in by_video},
        video.duration,
        {key: by_video.get(name) for key, by_video in scores.items()},
        note,
    )


def draw_all_curves(manifests: list[Path], folder: Path) -> list[dict[str, str]]:
    """Draw the curves of each training below `folder/curves`.

    Args:
        manifests: manifests of trainings.
        folder: folder of the page.

    Returns:
        Name and file of each picture.
    """
    curves = []
    for path in manifests:
        name = training_name(path)
        picture = folder / "curves" / f"{name.replace(' ', '-')}.png"
        if draw_curves(read_metrics(read_manifest(path).file("metrics.jsonl")), name, picture):
            curves.append({"name": name, "file": f"curves/{picture.name}"})
    return curves


def training_name(manifest: Path) -> str:
    """Name a training after its folder: `.../captioners/sa_tsp/0/xe/manifest.json` is `captioners sa_tsp 0 xe`."""
    parts = manifest.parent.parts
    start = next((index for index, part in enumerate(parts) if part in TRAINED_FOLDERS), len(parts) - 1)
    return " ".join(parts[start:])


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    arguments = build_parser(__doc__)
    add_config(arguments, WriteReport, STAGE)
    arguments.add_argument("--scores", type=Path, required=True, help="result of `evaluate dataset` on the split test")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--gt", type=Path, required=True, help="captions of ground-truth proposals")
    arguments.add_argument("--learned", type=Path, required=True, help="captions of learned proposals")
    arguments.add_argument("--control", type=Path, required=True, help="captions made from another video's features")
    arguments.add_argument("--trained", type=Path, nargs="+", required=True, help="manifests of trainings")
    arguments.add_argument("--output", type=Path, required=True, help="page to write")
    return arguments.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
