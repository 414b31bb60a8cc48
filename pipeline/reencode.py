r"""Re-encode one shard of raw videos to MP4 with constant 30 fps (Alwassel et al., TSP, 2021, section 4).

In:  the corpus, and the raw videos that it lists.
Out: a manifest; in its folder `<video>.mp4`, `videos.parquet` (frames, size, audio, damage) and `rejects.parquet`.

Of a damaged video, the part before the first error is kept. A video of which too little decodes is rejected with a
reason; too many rejected videos fail the shard. `finished.jsonl` lists the finished videos, so that an interrupted run
continues. docs/reencoding.md lists the outcome for all kinds of files.

Alone, after build_corpus:
    python -m pipeline.reencode --corpus results/mine/corpus/manifest.json --shard 0 \
        --output /tmp/video/0000/manifest.json
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.reencode import Reencode
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically, sha256
from pipeline.io.journal import Journal
from pipeline.io.progress import Progress
from pipeline.io.tables import write_rows
from pipeline.io.worker import KILLED_STATUSES, CrashedError, SubprocessWorker, TooLongError
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import write_record
from pipeline.video.encode import EncodedVideo, RejectedError, reencode_video
from pipeline.video.ffmpeg import ffmpeg_version
from pipeline.video.shard import ReencodedRow

STAGE = "reencode"

GRACE_S = 10.0
"""Seconds beyond the time limit of ffmpeg for checking its output."""

_TEMPORARY = re.compile(r"\..+\.\d+\.tmp\.((sound\.)?mp4|parquet|json)")

Outcome = ReencodedRow | RejectedVideo


def reencode_shard(config: Reencode, corpus_manifest: Path, shard: int, output: Path) -> None:
    """Re-encode the videos of one shard and write its manifest.

    Raises:
        PipelineError: the shard does not exist, or more videos were rejected than `max_rejected` allows.
    """
    corpus = Corpus.open(corpus_manifest)
    if not 0 <= shard < corpus.num_shards:
        raise PipelineError(f"--shard {shard}: {corpus_manifest} has the shards 0 to {corpus.num_shards - 1}")
    sources = {row.video: Path(row.path) for row in corpus.videos if row.shard == shard and row.path is not None}
    folder = output.parent
    for source in sources.values():
        if source.resolve().parent == folder.resolve():
            raise PipelineError(
                f"--output {output}: is in the folder of the raw videos and would overwrite them; move it"
            )
    with Journal(folder / "finished.jsonl", fingerprint(config)) as journal:
        _remove_temporaries(folder)
        progress = Progress("videos", len(sources))
        accepted, rejects = _reencode_all(config, sources, folder, journal, progress)
        write_rows(folder / "rejects.parquet", rejects, RejectedVideo)
        _check_budget(config, len(sources), rejects)
        _remove_other_videos(folder, {f"{row.video}.mp4" for row in accepted})
        write_rows(folder / "videos.parquet", accepted, ReencodedRow)
        files = [folder / "videos.parquet", folder / "rejects.parquet"]
        files += [folder / f"{row.video}.mp4" for row in accepted]
        num_partial = sum(row.partial for row in accepted)
        metadata = {"fps": config.fps, "gop": config.gop, "shards": corpus.num_shards, "videos": len(accepted)}
        write_manifest(output, files, {**metadata, "partial": num_partial, "rejected": len(rejects)})
        write_record(output, STAGE, config, [corpus_manifest], {"ffmpeg": ffmpeg_version()})
    counts = Counter(row.reason for row in rejects)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    rejected = f"{len(rejects)} rejected{f' ({reasons})' if reasons else ''}"
    logging.info("shard %d: %d videos, %d of them partial, %s", shard, len(accepted), num_partial, rejected)


def fingerprint(config: Reencode) -> dict[str, str]:
    """Return what decides a re-encoded file besides its source: settings, version of ffmpeg, code."""
    settings = config.model_dump(mode="json", exclude={"max_rejected", "timeout_s"})
    code = code_hash(f"pipeline.{STAGE}")
    return {"settings": str(sorted(settings.items())), "ffmpeg": ffmpeg_version(), "code": code}


def _reencode_all(
    config: Reencode, sources: Mapping[str, Path], folder: Path, journal: Journal, progress: Progress
) -> tuple[list[ReencodedRow], list[RejectedVideo]]:
    """Re-encode the videos that the journal does not list; return the accepted and the rejected videos."""
    accepted: list[ReencodedRow] = []
    rejects: list[RejectedVideo] = []
    num_resumed = 0
    with SubprocessWorker(reencode_video) as worker:
        for video, source in sources.items():
            outcome: Outcome | None = None
            try:
                digest = sha256(source)
            except OSError as error:
                outcome = RejectedVideo(video, STAGE, "unreadable", f"{source}: {error.strerror}")
            else:
                if (entry := journal.find(video, digest)) is not None:
                    outcome = _parse_outcome(entry)
                    num_resumed += 1
            if outcome is None:
                outcome = _reencode(worker, video, source, folder / f"{video}.mp4", config)
                # A timeout depends on the load of the machine, so the next run tries again.
                if outcome.reason != "timeout":
                    journal.add(video, digest, asdict(outcome), has_file=isinstance(outcome, ReencodedRow))
            if isinstance(outcome, ReencodedRow):
                accepted.append(outcome)
                _log_damage(outcome)
            else:
                rejects.append(outcome)
                logging.warning("rejected %s: %s (%s)", video, outcome.reason, outcome.detail)
            progress.step()
    if num_resumed:
        logging.info("%d of %d videos were finished by an earlier run", num_resumed, len(sources))
    return accepted, rejects


def _parse_outcome(entry: dict[str, Any]) -> Outcome:
    """Convert an outcome from the journal to a row of its table."""
    return ReencodedRow(**entry) if "frames" in entry else RejectedVideo(**entry)


def _log_damage(row: ReencodedRow) -> None:
    if row.partial:
        duration = row.frames / row.fps
        logging.warning("partial %s: %s, %.1f of %.1f s kept", row.video, row.reason, duration, row.source_s)


def _reencode(
    worker: SubprocessWorker[Any, EncodedVideo], video: str, source: Path, target: Path, config: Reencode
) -> Outcome:
    """Re-encode one video; return its row of the videos or of the rejects.

    Raises:
        PipelineError: the machine failed, not the video.
    """
    try:
        with replace_atomically(target) as temporary:
            try:
                encoded = worker.call(config.timeout_s + GRACE_S, source, temporary, config)
            except TooLongError:
                raise RejectedError("timeout", f"took longer than {config.timeout_s:g} s") from None
            except CrashedError as error:
                if error.status in KILLED_STATUSES:
                    raise PipelineError(f"{source}: {error}; free memory and run again") from None
                raise RejectedError("crash", str(error)) from None
    except RejectedError as error:
        return RejectedVideo(video, STAGE, error.reason, error.detail)
    damage = encoded.damage
    if damage:
        logging.info("%s: %s", video, damage.detail)
    return ReencodedRow(
        video=video,
        frames=encoded.frames,
        fps=float(config.fps),
        width=encoded.width,
        height=encoded.height,
        audio=encoded.audio,
        partial=damage is not None,
        source_s=damage.source_s if damage else None,
        reason=damage.reason if damage else None,
    )


def _check_budget(config: Reencode, total: int, rejects: list[RejectedVideo]) -> None:
    if len(rejects) > max(1.0, config.max_rejected * total):
        examples = "; ".join(f"{row.video}: {row.reason}" for row in rejects[:3])
        raise PipelineError(
            f"{len(rejects)} of {total} videos of this shard were rejected ({examples}, ...), "
            f"more than config: reencode.max_rejected = {config.max_rejected} allows; replace the files or raise it"
        )


def _remove_other_videos(folder: Path, names: set[str]) -> None:
    """Remove the files of videos that are no longer in this shard."""
    for path in folder.glob("*.mp4"):
        if path.name not in names:
            path.unlink()


def _remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of a killed run."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, Reencode, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; its files go to its folder")
    args = arguments.parse_args(argv)
    reencode_shard(read_config(args.config, Reencode, STAGE), args.corpus, args.shard, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
