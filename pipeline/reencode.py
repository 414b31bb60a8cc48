r"""Re-encode one shard of raw videos to constant 30 fps MP4 (TSP, section 4).

In: the corpus, and the raw videos that it names.
Out, beside the manifest: `<video>.mp4`, `videos.parquet` (frames, size, audio; of a damaged video, of which only the
part before the first error is there, what is wrong) and `rejects.parquet`: a video of which too little decodes is left
out with its reason, and the rest goes on. Too many fail the shard. `finished.jsonl` says what is done, so that an
interrupted run goes on where it was. What becomes of which file: docs/reencoding.md.

Alone, after build_corpus:
    python -m pipeline.reencode --corpus results/mine/corpus/manifest.json --shard 0 \
        --output /tmp/video/0000/manifest.json
"""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.reencode import Reencode
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing, sha256
from pipeline.io.journal import Journal
from pipeline.io.tables import write_table
from pipeline.io.worker import Apart, CrashedError, TooLongError
from pipeline.provenance.code_hash import stamp
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record
from pipeline.training.log import Progress
from pipeline.video.encode import Encoded, RejectedError, reencode_video
from pipeline.video.shard import REENCODED
from pipeline.video.tools import ffmpeg_version
from pipeline.video.transcode import FROM_OUTSIDE

STAGE = "reencode"

GRACE_S = 10.0
"""Seconds beyond the limit that ffmpeg is given, in which reading what it wrote must end."""

_HALF_WRITTEN = re.compile(r"\..+\.\d+\.tmp\.(mp4|parquet|json)")


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
    with Journal(folder / "finished.jsonl", identity(config)) as journal:
        _sweep(folder)
        progress = Progress(f"re-encoding shard {shard}", len(inside))
        accepted, rejects = _reencode_all(config, inside, folder, journal, progress)
        write_table(folder / "rejects.parquet", rejects, REJECTS)
        _check_budget(config, len(inside), rejects)
        _remove_strangers(folder, {f"{row['video']}.mp4" for row in accepted})
        write_table(folder / "videos.parquet", accepted, REENCODED)
        payloads = [folder / "videos.parquet", folder / "rejects.parquet"]
        payloads += [folder / f"{row['video']}.mp4" for row in accepted]
        partial = sum(row["partial"] for row in accepted)
        shards = corpus.manifest.facts["shards"]
        facts = {"fps": config.fps, "gop": config.gop, "shards": shards, "videos": len(accepted), "partial": partial}
        write_manifest(output, payloads, {**facts, "rejected": len(rejects)})
        record(output, STAGE, config, [corpus_manifest], {"ffmpeg": ffmpeg_version()})
    counted = Counter(row["reason"] for row in rejects)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counted.items()))
    told = f"{len(rejects)} rejected{f' ({reasons})' if reasons else ''}"
    logging.info("shard %d: %d videos, %d of them partial, %s", shard, len(accepted), partial, told)


def identity(config: Reencode) -> dict[str, str]:
    """What a re-encoded file depends on, besides its source."""
    deciding = config.model_dump(mode="json", exclude={"max_rejected", "timeout_s"})
    return {"settings": str(sorted(deciding.items())), "ffmpeg": ffmpeg_version(), "code": stamp(f"pipeline.{STAGE}")}


def _reencode_all(
    config: Reencode, inside: list[dict[str, Any]], folder: Path, journal: Journal, progress: Progress
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Re-encode what is not finished yet; gives rows of REENCODED and of REJECTS."""
    accepted: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    resumed = 0
    with Apart(reencode_video) as apart:
        for row in inside:
            video, source = row["video"], Path(row["path"])
            outcome = None
            try:
                digest = sha256(source)
            except OSError as error:
                outcome = _rejected(video, "unreadable", f"{source}: {error.strerror}")
            else:
                outcome = journal.find(video, digest)
                resumed += outcome is not None
            if outcome is None:
                outcome = _reencode(apart, video, source, folder / f"{video}.mp4", config)
                # That a video takes too long depends on the machine, and may be otherwise another time.
                if outcome["reason"] != "timeout":
                    journal.add(video, digest, outcome, made="frames" in outcome)
            if "frames" in outcome:
                accepted.append(outcome)
            else:
                rejects.append(outcome)
                logging.warning("rejected %s: %s (%s)", video, outcome["reason"], outcome["detail"])
            if outcome.get("partial"):
                kept = outcome["frames"] / outcome["fps"]
                told = (video, outcome["reason"], kept, outcome["source_s"])
                logging.warning("partial %s: %s, %.1f of %.1f s kept", *told)
            progress.step()
    if resumed:
        logging.info("%d of %d videos were finished by an earlier run", resumed, len(inside))
    return accepted, rejects


def _reencode(apart: Apart[Any, Encoded], video: str, source: Path, target: Path, config: Reencode) -> dict[str, Any]:
    """Re-encode one video; gives its row.

    Raises:
        PipelineError: the machine failed, not the video.
    """
    try:
        with replacing(target) as temporary:
            try:
                made = apart.call(config.timeout_s + GRACE_S, source, temporary, config)
            except TooLongError:
                raise RejectedError("timeout", f"took longer than {config.timeout_s:g} s") from None
            except CrashedError as error:
                if error.status in FROM_OUTSIDE:
                    raise PipelineError(f"{source}: {error}; free memory and run again") from None
                raise RejectedError("crash", str(error)) from None
    except RejectedError as error:
        return _rejected(video, error.reason, error.detail)
    size = {"width": made.width, "height": made.height, "audio": made.audio}
    damage = {
        "partial": made.damage is not None,
        "source_s": made.damage.source_s if made.damage else None,
        "reason": made.damage.reason if made.damage else None,
    }
    if made.damage:
        logging.info("%s: %s", video, made.damage.detail)
    return {"video": video, "frames": made.frames, "fps": float(config.fps), **size, **damage}


def _rejected(video: str, reason: str, detail: str) -> dict[str, Any]:
    return {"video": video, "source": STAGE, "reason": reason, "detail": detail}


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


def _sweep(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for path in folder.iterdir():
        if _HALF_WRITTEN.fullmatch(path.name):
            path.unlink(missing_ok=True)


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
