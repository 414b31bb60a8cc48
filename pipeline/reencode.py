r"""Re-encode one shard of raw videos to constant 30 fps MP4 (TSP, section 4).

In: the corpus, and the raw videos that it names.
Out, beside the manifest: `<video>.mp4`, `videos.parquet` (frames, size, audio) and `rejects.parquet`: a video that
does not decode from beginning to end is left out with its reason, and the rest goes on. Too many fail the shard.

Alone, after build_corpus:
    python -m pipeline.reencode --corpus results/mine/corpus/manifest.json --shard 0 \
        --output /tmp/video/0000/manifest.json
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.reencode import Reencode
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.store.atomic import replacing
from pipeline.store.manifest import write_manifest
from pipeline.store.provenance import record
from pipeline.store.tables import write_table
from pipeline.training.log import Progress
from pipeline.video.encode import RejectedError, reencode_video
from pipeline.video.shard import REENCODED

STAGE = "reencode"


def reencode_shard(config: Reencode, corpus_manifest: Path, shard: int, output: Path) -> None:
    """Re-encode the videos of one shard and write its manifest.

    Raises:
        PipelineError: no such shard, or more videos rejected than `max_rejected` allows.
    """
    corpus = Corpus.open(corpus_manifest)
    if not 0 <= shard < corpus.manifest.facts["shards"]:
        raise PipelineError(f"--shard {shard}: {corpus_manifest} has shards 0 to {corpus.manifest.facts['shards'] - 1}")
    inside = [row for row in corpus.videos if row["shard"] == shard and row["path"] is not None]
    folder = output.parent
    for row in inside:
        if Path(row["path"]).resolve().parent == folder.resolve():
            raise PipelineError(f"--output {output}: stands among the raw videos, which would be overwritten; move it")
    accepted: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    progress = Progress(f"re-encoding shard {shard}", len(inside))
    for row in inside:
        video = row["video"]
        try:
            with replacing(folder / f"{video}.mp4") as temporary:
                made = reencode_video(Path(row["path"]), temporary, config)
        except RejectedError as error:
            logging.warning("rejected %s: %s (%s)", video, error.reason, error.detail)
            rejects.append({"video": video, "source": STAGE, "reason": error.reason, "detail": error.detail})
        else:
            size = {"width": made.width, "height": made.height, "audio": made.audio}
            accepted.append({"video": video, "frames": made.frames, "fps": float(config.fps), **size})
        progress.step()
    write_table(folder / "rejects.parquet", rejects, REJECTS)
    _check_budget(config, len(inside), rejects)
    _remove_strangers(folder, {f"{row['video']}.mp4" for row in accepted})
    write_table(folder / "videos.parquet", accepted, REENCODED)
    payloads = [folder / "videos.parquet", folder / "rejects.parquet"]
    payloads += [folder / f"{row['video']}.mp4" for row in accepted]
    facts = {"fps": config.fps, "gop": config.gop, "videos": len(accepted), "rejected": len(rejects)}
    write_manifest(output, payloads, facts)
    record(output, STAGE, config, [corpus_manifest])
    logging.info("shard %d: %d videos, %d rejected", shard, len(accepted), len(rejects))


def _check_budget(config: Reencode, total: int, rejects: list[dict[str, Any]]) -> None:
    if len(rejects) > max(1.0, config.max_rejected * total):
        named = "; ".join(f"{row['video']}: {row['reason']}" for row in rejects[:3])
        raise PipelineError(
            f"{len(rejects)} of {total} videos of this shard were rejected ({named}, ...), "
            f"more than config: reencode.max_rejected = {config.max_rejected} allows; mend the files or raise it"
        )


def _remove_strangers(folder: Path, known: set[str]) -> None:
    """Remove what an earlier run of this shard, over other videos, left behind."""
    for path in folder.glob("*.mp4"):
        if path.name not in known:
            path.unlink()


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, Reencode, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="the shard manifest to write")
    args = arguments.parse_args(argv)
    reencode_shard(read_config(args.config, Reencode, STAGE), args.corpus, args.shard, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
