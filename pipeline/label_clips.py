"""Label clips: the class of each, perhaps a group of classes, a full and a simplified caption.

In:  the corpus; files of Something-Something v2, if the classes are its templates; groups of classes, if there are any.
Out: a manifest with the names of the classes and counts of odd rows; beside it clip_labels.parquet, a row per clip.

    python -m pipeline.label_clips --corpus results/demo/corpus/manifest.json --output /tmp/clip_labels/manifest.json
"""

import logging
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.label_clips import LabelClips
from pipeline.datasets.clip_labels import ClipLabels, label_corpus, label_template_clips, read_groups
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.something_something import read_classes, read_something_something
from pipeline.provenance.computation import Computation

STAGE = "label_clips"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, LabelClips, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, LabelClips, STAGE)
    files = [*config.templates, *filter(None, (config.classes, config.groups))]
    computation = Computation(STAGE, config, [args.corpus, *map(Path, files)], [args.output])
    if computation.restore():
        return 0
    labels = read_labels(config, Corpus.open(args.corpus))
    labels.write(args.output)
    computation.keep_outputs()
    logging.info("labels: %s", ", ".join(f"{name} {count}" for name, count in sorted(labels.counts.items())))
    return 0


def read_labels(config: LabelClips, corpus: Corpus) -> ClipLabels:
    """Read the labels of the videos of a corpus.

    Args:
        config: names the files.
        corpus: the corpus; without files, the labels are its first actions.

    Raises:
        PipelineError: a file is malformed, or a class has no group.
    """
    group_of = read_groups(Path(config.groups)) if config.groups else {}
    if not config.templates:
        return label_corpus(corpus, group_of)
    classes = read_classes(Path(config.classes)) if config.classes else None
    files = {path: read_something_something(path) for path in map(Path, config.templates)}
    labels = label_template_clips(files, classes, group_of)
    videos = {row.video for row in corpus.videos}
    inside = [clip for clip in labels.clips if clip.video in videos]
    labels.counts["clips_not_in_corpus"] = len(labels.clips) - len(inside)
    labels.clips = inside
    return labels


if __name__ == "__main__":
    raise SystemExit(main())
