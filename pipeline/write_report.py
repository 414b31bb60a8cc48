r"""Write the report: score tables, training curves, and a page with the captions of some videos.

In:  the scores, the corpus, the re-encoded videos, the captions of the ensemble, and the manifests of all trainings.
Out: the page; beside it scores.json and scores.md (the tables), curves/*.png, and videos/* (frame strips and subtitle
     tracks). The page opens from disk and plays the re-encoded videos from their own folder.

Alone, after results/demo_test_meteor.json has been made:

    python -m pipeline.write_report --scores results/demo_test_meteor.json --corpus results/demo/corpus/manifest.json \
        --videos results/demo/video --gt results/demo/captions/ensemble-test-gt.json \
        --learned results/demo/captions/ensemble-test-learned.json \
        --trained results/demo/encoders/sa_tsp/manifest.json --output /tmp/report/index.html
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.write_report import WriteReport
from pipeline.datasets.annotations import read_captions
from pipeline.datasets.corpus import Corpus
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.record import write_record
from pipeline.report.curves import draw_curves, read_metrics
from pipeline.report.page import ReportPage, describe_video, evenly_spaced, write_page
from pipeline.report.tables import score_rows, score_table_markdown
from pipeline.video.shard import ReencodedVideos

STAGE = "write_report"
TRAINED_FOLDERS = ("encoders", "proposers", "captioners")
"""Folders of trained networks in the results of a dataset."""

log = logging.getLogger(__name__)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    args = _parse_arguments(argv)
    config = read_config(args.config, WriteReport, STAGE)
    folder = args.output.parent
    scores = read_json(args.scores, "scores")
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    gt, learned = (read_json(path, "captions")["results"] for path in (args.gt, args.learned))
    references = read_references(corpus)
    test_videos = [row.video for row in corpus.videos_of_splits("test") if row.video in videos.by_id]
    rows = score_rows(scores)
    page = ReportPage(
        title=config.title,
        scores=scores,
        score_rows=rows,
        videos=[
            describe_video(folder, videos.by_id[video], references, gt, learned)
            for video in evenly_spaced(test_videos, config.videos)
        ],
        num_partial=sum(videos.by_id[video].partial for video in test_videos),
        curves=draw_all_curves(args.trained, folder),
    )
    write_json(folder / "scores.json", rows)
    write_text(folder / "scores.md", score_table_markdown(rows))
    write_page(page, args.output)
    inputs = [args.scores, args.corpus, *videos.manifests, args.gt, args.learned, *args.trained]
    write_record(args.output, STAGE, config, inputs)
    log.info("%s: %d videos, %d training curves", args.output, len(page.videos), len(page.curves))
    return 0


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


def read_references(corpus: Corpus) -> list[dict[str, list[dict[str, Any]]]]:
    """Read the reference captions of the test videos, one mapping from video id to captions per annotator."""
    return [
        {
            video: [{"timestamp": [event.start, event.end], "sentence": event.text.strip()} for event in entry.events]
            for video, entry in read_captions(path).items()
        }
        for path in corpus.references("test")
    ]


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    arguments = build_parser(__doc__)
    add_config(arguments, WriteReport, STAGE)
    arguments.add_argument("--scores", type=Path, required=True, help="result of `evaluate dataset` on the split test")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--gt", type=Path, required=True, help="captions of ground-truth proposals")
    arguments.add_argument("--learned", type=Path, required=True, help="captions of learned proposals")
    arguments.add_argument("--trained", type=Path, nargs="+", required=True, help="manifests of trainings")
    arguments.add_argument("--output", type=Path, required=True, help="page to write")
    return arguments.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
