"""Build the corpus: one set of tables for every dataset.

In: annotations of actions and captions, or captioned clips, in any format that a reader knows; a folder of raw videos.
Out, beside the manifest: videos, segments, captions and rejects as Parquet; `references/{split}_{annotator}.json`, the
captions of the splits val and test as annotated, in ActivityNet Captions' format, for the evaluator.

Alone:
    python -m pipeline.build_corpus --config @my_corpus.json --output results/mine/corpus/manifest.json
"""

import logging
from collections import Counter
from pathlib import Path

from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.datasets.activitynet_captions import write_activitynet_captions
from pipeline.datasets.annotation_files import list_sources
from pipeline.datasets.assemble import CorpusTables
from pipeline.datasets.assemble_clips import assemble_dataset
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo, RejectedVideo
from pipeline.io.atomic import sha256
from pipeline.io.tables import write_rows
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import write_record

STAGE = "build_corpus"


def build(config: BuildCorpus, output: Path) -> None:
    """Write the corpus whose manifest is `output`."""
    tables = assemble_dataset(config)
    folder = output.parent
    write_rows(folder / "videos.parquet", tables.videos, CorpusVideo)
    write_rows(folder / "segments.parquet", tables.segments, ActionSegment)
    write_rows(folder / "captions.parquet", tables.captions, CaptionedEvent)
    write_rows(folder / "rejects.parquet", tables.rejects, RejectedVideo)
    files = [folder / f"{name}.parquet" for name in ("videos", "segments", "captions", "rejects")]
    files += _write_references(tables, folder / "references")
    sources = list_sources(config)
    sources += [Path(config.label_map)] if config.label_map else []
    counts = _counts(tables)
    write_manifest(
        output,
        files,
        {
            "shards": config.shards,
            "counts": counts,
            "labels": tables.labels,
            "background": "given" if tables.has_annotated_background else "gaps",
            "annotations": {path.as_posix(): sha256(path) for path in sources},
        },
    )
    write_record(output, STAGE, config, sources)
    logging.info("corpus: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))


def _write_references(tables: CorpusTables, folder: Path) -> list[Path]:
    """Write the captions of the scored splits as annotated, one file per split and annotator."""
    written = []
    digits = len(str(len(tables.references)))  # names in the order of the annotators
    for split in ("val", "test"):
        videos = {row.video for row in tables.videos if row.split == split}
        for annotator, captioned in enumerate(tables.references, start=1):
            # A video without events cannot be scored.
            references = {video: entry for video, entry in captioned.items() if video in videos and entry.events}
            path = folder / f"{split}_{annotator:0{digits}}.json"
            write_activitynet_captions(path, references)
            written.append(path)
    return written


def _counts(tables: CorpusTables) -> dict[str, int]:
    """Return counts for the manifest, the log and the final result."""
    splits = Counter(f"videos_{row.split}" for row in tables.videos)
    return {
        "videos": len(tables.videos),
        "videos_present": sum(row.path is not None for row in tables.videos),
        **dict(sorted(splits.items())),
        "segments": sum(row.label is not None for row in tables.segments),
        "background_segments": sum(row.label is None for row in tables.segments),
        "captions": len(tables.captions),
        **dict(sorted(tables.counts.items())),
    }


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, BuildCorpus, STAGE)
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the corpus to write")
    args = arguments.parse_args(argv)
    build(read_config(args.config, BuildCorpus, STAGE), args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
