"""Build the corpus: one set of tables for every dataset.

In: annotations (ActivityNet's JSON or TSP's tables; ActivityNet Captions, if any) and a folder of raw videos.
Out, beside the manifest: videos, segments, captions and rejects as Parquet; `references/{split}_{annotator}.json`, the
official captions of the splits val and test as annotated, for the evaluator.

Alone:
    python -m pipeline.build_corpus --config @my_corpus.json --output results/mine/corpus/manifest.json
"""

import logging
from collections import Counter
from pathlib import Path

from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.datasets.assemble import Gathered, gather
from pipeline.datasets.corpus import CAPTIONS, REJECTS, SEGMENTS, VIDEOS
from pipeline.io.atomic import read_json, sha256, write_json
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record

STAGE = "build_corpus"


def build(config: BuildCorpus, output: Path) -> None:
    """Write the corpus whose manifest is `output`."""
    gathered = gather(config)
    folder = output.parent
    tables = {
        "videos.parquet": (gathered.videos, VIDEOS),
        "segments.parquet": (gathered.segments, SEGMENTS),
        "captions.parquet": (gathered.captions, CAPTIONS),
        "rejects.parquet": (gathered.rejects, REJECTS),
    }
    for name, (rows, schema) in tables.items():
        write_table(folder / name, rows, schema)
    payloads = [folder / name for name in tables] + _write_references(config, gathered, folder / "references")
    sources = [Path(path) for path in (*config.actions, *config.captions)]
    sources += [Path(config.label_map)] if config.label_map else []
    counts = _counts(gathered)
    write_manifest(
        output,
        payloads,
        {
            "shards": config.shards,
            "counts": counts,
            "labels": gathered.labels,
            "background": "given" if gathered.background_given else "gaps",
            "annotations": {path.as_posix(): sha256(path) for path in sources},
        },
    )
    record(output, STAGE, config, sources)
    logging.info("corpus: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))


def _write_references(config: BuildCorpus, gathered: Gathered, folder: Path) -> list[Path]:
    """Official captions of the splits that are scored, untouched, restricted to each split's videos."""
    written = []
    for split in ("val", "test"):
        inside = {row["video"] for row in gathered.videos if row["split"] == split}
        for annotator, path in enumerate(config.captions_val, start=1):
            reference = folder / f"{split}_{annotator}.json"
            official = read_json(Path(path), "captions")
            # A video of which nothing is said cannot be scored.
            said = {video: entry for video, entry in official.items() if video in inside and entry["timestamps"]}
            write_json(reference, said)
            written.append(reference)
    return written


def _counts(gathered: Gathered) -> dict[str, int]:
    """Counts for the manifest, the log and the final result."""
    splits = Counter(f"videos_{row['split']}" for row in gathered.videos)
    return {
        "videos": len(gathered.videos),
        "videos_present": sum(row["path"] is not None for row in gathered.videos),
        **dict(sorted(splits.items())),
        "segments": sum(row["label"] is not None for row in gathered.segments),
        "background_segments": sum(row["label"] is None for row in gathered.segments),
        "captions": len(gathered.captions),
        **dict(sorted(gathered.counts.items())),
    }


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, BuildCorpus, STAGE)
    arguments.add_argument("--output", type=Path, required=True, help="the corpus manifest to write")
    args = arguments.parse_args(argv)
    build(read_config(args.config, BuildCorpus, STAGE), args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
