r"""Analyze the detections of actions, and what features show of actions.

In: the corpus, detections of the stage `localize_actions`, clip features.
Out: a JSON file; the same as Markdown (.md); a picture of groups and false positives (.png); and a picture of the
similarity matrices of some videos (_similarity.png). Fractions, not percent.

Alone:
    python -m pipeline.analyze_localization --corpus results/demo/corpus/manifest.json \
        --detections results/demo/detections --features results/demo/features --split test --output /tmp/analysis.json
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.analyze_localization import AnalyzeLocalization
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.datasets.corpus import Corpus
from pipeline.evaluation.localization_analysis import (
    action_spans,
    analyze_detections,
    drawn_videos,
    summarise_contrast,
)
from pipeline.evaluation.segments import read_scored_segments
from pipeline.features.combined import CombinedFeatures
from pipeline.features.similarity import FeatureContrast, contrast_of_feature, read_finite, row_centres
from pipeline.io.atomic import write_json, write_text
from pipeline.provenance.computation import Computation
from pipeline.report.localization_plots import draw_analysis, draw_similarity
from pipeline.report.localization_tables import analysis_markdown

STAGE = "analyze_localization"


def analyze(
    config: AnalyzeLocalization, corpus_manifest: Path, detections: Path, folder: Path, split: str, output: Path
) -> None:
    """Analyze detections and features, and write the result.

    Args:
        config: the section.
        corpus_manifest: manifest of the corpus.
        detections: folder of all detections.
        folder: folder of all features.
        split: split to analyze; `test` stands for `config.test_splits`.
        output: JSON file to write; the other files have its name.
    """
    corpus = Corpus.open(corpus_manifest)
    files = {name: detections / f"{name}.json" for name in config.detections}
    features = {name: CombinedFeatures.open(folder, [name], corpus.num_shards) for name in config.features}
    inputs = [corpus_manifest, *files.values(), *(path for each in features.values() for path in each.manifests)]
    outputs = [output, output.with_suffix(".md"), output.with_suffix(".png"), similarity_picture(output)]
    computation = Computation(STAGE, config, inputs, outputs, split=split)
    if computation.restore():
        return
    splits = config.test_splits if split == "test" else [split]
    spans = action_spans(corpus, splits)
    contrasts = {name: contrast_of_feature(each, spans) for name, each in features.items()}
    result = {
        "splits": list(splits),
        "detections": {
            name: analyze_detections(config, corpus, splits, read_scored_segments(path, labelled=True))
            for name, path in files.items()
        },
        "features": {name: summarise_contrast(each, config.bootstrap) for name, each in contrasts.items()},
    }
    draw_analysis(result, outputs[2])
    _draw_matrices(features, contrasts, corpus, splits, config.drawn_videos, outputs[3])
    write_text(outputs[1], analysis_markdown(result))
    write_json(output, result)
    computation.keep_outputs()
    logging.info("%s: %d sets of detections, %d features", output, len(files), len(features))


def similarity_picture(output: Path) -> Path:
    """Return the picture of the similarity matrices that belongs to a result."""
    return output.with_name(f"{output.stem}_similarity.png")


def _draw_matrices(
    features: dict[str, CombinedFeatures],
    contrasts: dict[str, FeatureContrast],
    corpus: Corpus,
    splits: Sequence[str],
    number: int,
    output: Path,
) -> None:
    videos = drawn_videos(contrasts, number)
    all_spans = action_spans(corpus, splits)
    draw_similarity(
        {name: {video: read_finite(each, video) for video in videos} for name, each in features.items()},
        {name: {video: row_centres(each, video) for video in videos} for name, each in features.items()},
        {video: all_spans[video] for video in videos},
        output,
    )


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, AnalyzeLocalization, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--detections", type=Path, required=True, help="folder of all detections")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--split", default="test", help="split to analyze (default: test)")
    arguments.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, AnalyzeLocalization, STAGE)
    analyze(config, args.corpus, args.detections, args.features, args.split, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
