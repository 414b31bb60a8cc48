r"""Make the report: tables, training curves, and a page with what was said of some videos.

In: the scores, the corpus, the re-encoded videos, the ensemble's captions, and everything that was trained.
Out, beside the page: scores.json and scores.md (the tables), curves/*.png, films/* (frames and subtitle tracks). The
page opens from disk and plays the re-encoded videos where they stand.

Alone, after the road:
    python -m pipeline.write_report --scores results/demo_test_meteor.json --corpus results/demo/corpus/manifest.json \
        --videos results/demo/video --gt results/demo/captions/ensemble-test-gt.json \
        --learned results/demo/captions/ensemble-test-learned.json \
        --trained results/demo/encoders/sa_tsp/manifest.json --output /tmp/report/index.html
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.write_report import WriteReport
from pipeline.datasets.activitynet_captions import read_captions
from pipeline.datasets.corpus import Corpus
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.record import record
from pipeline.report.curves import draw_curves, read_metrics
from pipeline.report.page import show_video, spread, write_page
from pipeline.report.tables import markdown, score_rows
from pipeline.video.shard import Videos

STAGE = "write_report"


def draw_all_curves(trained: list[Path], folder: Path) -> list[dict[str, str]]:
    """A picture for each trained thing, named after its place below the dataset's results."""
    curves = []
    for path in trained:
        # .../encoders/sa_tsp/manifest.json -> encoders sa_tsp; .../captioners/sa_tsp/0/xe -> captioners sa_tsp 0 xe
        parts = path.parent.parts
        start = next((index for index, part in enumerate(parts) if part in ("encoders", "captioners")), len(parts) - 1)
        name = " ".join(parts[start:])
        picture = folder / "curves" / f"{name.replace(' ', '-')}.png"
        if draw_curves(read_metrics(read_manifest(path).payload("metrics.jsonl")), name, picture):
            curves.append({"name": name, "file": f"curves/{picture.name}"})
    return curves


def read_references(corpus: Corpus) -> list[dict[str, list[dict[str, Any]]]]:
    """Per annotator, what people wrote of the test videos."""
    return [
        {
            video: [{"timestamp": [event.start, event.end], "sentence": event.text.strip()} for event in entry.segments]
            for video, entry in read_captions(path).items()
        }
        for path in corpus.references("test")
    ]


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, WriteReport, STAGE)
    arguments.add_argument("--scores", type=Path, required=True, help="result of `evaluate road` on the split test")
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--gt", type=Path, required=True, help="captions of the annotated events")
    arguments.add_argument("--learned", type=Path, required=True, help="captions of the proposed events")
    arguments.add_argument("--trained", type=Path, nargs="+", required=True, help="manifests of what was trained")
    arguments.add_argument("--output", type=Path, required=True, help="the page to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, WriteReport, STAGE)
    folder = args.output.parent

    scores = read_json(args.scores, "scores")
    corpus = Corpus.open(args.corpus)
    videos = Videos.open(args.videos, corpus.manifest.facts["shards"])
    gt, learned = (read_json(path, "captions")["results"] for path in (args.gt, args.learned))
    references = read_references(corpus)
    captioned = [row["video"] for row in corpus.of_splits("test") if row["video"] in videos.rows]
    films = [
        show_video(folder, videos.rows[video], references, gt, learned) for video in spread(captioned, config.videos)
    ]
    curves = draw_all_curves(args.trained, folder)
    write_json(folder / "scores.json", score_rows(scores))
    write_text(folder / "scores.md", markdown(scores))
    partial = sum(videos.rows[video].partial for video in captioned)
    write_page(args.output, config.title, scores, films, partial, curves)
    inputs = [args.scores, args.corpus, *videos.manifests, args.gt, args.learned, *args.trained]
    record(args.output, STAGE, config, inputs)
    logging.info("report: %d videos, %d sets of curves: %s", len(films), len(curves), args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
