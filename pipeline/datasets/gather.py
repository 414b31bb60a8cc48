"""From annotation files to the rows of the corpus: joins ids, divides, clips, and keeps account of what it left out."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.errors import PipelineError
from pipeline.datasets.activitynet import read_activitynet
from pipeline.datasets.annotations import Annotated
from pipeline.datasets.captions import read_captions
from pipeline.datasets.splits import shard_of, validation_split
from pipeline.datasets.tsp import read_tsp

Row = dict[str, Any]


@dataclass
class Gathered:
    """The corpus in the making: rows of the four tables, and counts of what was mended or left out."""

    videos: list[Row] = field(default_factory=list)
    segments: list[Row] = field(default_factory=list)
    captions: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def reject(self, video: str, source: str, reason: str, detail: str) -> None:
        """Account for something that is left out."""
        self.rejects.append({"video": video, "source": source, "reason": reason, "detail": detail})
        self.counts[reason] += 1


def gather(config: BuildCorpus) -> Gathered:
    """Read all annotations of a dataset. A video belongs to the corpus if it has captions or is officially `testing`.

    Raises:
        PipelineError: malformed annotations, no videos at all, or missing videos where config says `fail`.
    """
    captioned = [read_captions(Path(config.captions_train))]
    captioned += [read_captions(Path(path)) for path in config.captions_val]
    files = find_videos(Path(config.videos))
    actions = _read_actions([Path(path) for path in config.actions], set().union(*captioned, files))
    splits = _splits(config, captioned, actions)

    gathered = Gathered()
    for video, split in sorted(splits.items()):
        known = [source[video] for source in [*captioned, actions] if video in source]
        duration = next((entry.duration for entry in known if entry.duration is not None), None)
        path = files.get(video)
        gathered.videos.append(
            {
                "video": video,
                "split": split,
                "shard": shard_of(video, config.shards),
                "path": None if path is None else path.as_posix(),
                "duration": duration,
            }
        )
        if path is None:
            gathered.reject(video, "videos", "missing", f"no file {video}.* in {config.videos}")
        if video in actions:
            _add_actions(gathered, video, actions[video])
        for number, source in enumerate(captioned):
            if video in source:
                _add_captions(gathered, video, number, source[video], config)
    gathered.counts["actions_of_uncaptioned_videos"] = sum(video not in splits for video in actions)
    _check_missing(gathered, config)
    return gathered


def _read_actions(paths: list[Path], known: set[str]) -> dict[str, Annotated]:
    """Action annotations under the ids of captions and files: `v_` is put before ids that neither of them knows."""
    joined: dict[str, Annotated] = {}
    for path in paths:
        for video, entry in (read_tsp if path.suffix == ".csv" else read_activitynet)(path).items():
            name = video if video in known or video.startswith("v_") else f"v_{video}"
            if name in joined:
                raise PipelineError(f"{path}: video {video} is annotated in another file too")
            joined[name] = entry
    return joined


def _splits(
    config: BuildCorpus, captioned: list[dict[str, Annotated]], actions: dict[str, Annotated]
) -> dict[str, str]:
    """Split of every video of the corpus."""
    train, *vals = captioned
    validation = set().union(*vals)
    both = sorted(train.keys() & validation)
    if both:
        raise PipelineError(f"{config.captions_train}: video {both[0]} is captioned for training and validation")
    strangers = sorted(config.pins.keys() - validation)
    if strangers:
        raise PipelineError(f"config: build_corpus.pins names {strangers[0]!r}, which no validation file captions")
    splits = dict.fromkeys(train, "train")
    for video in validation:
        split = config.pins.get(video) or validation_split(video, config.fractions)
        if split is not None:
            splits[video] = split
    testing = {video for video, entry in actions.items() if entry.subset == "testing"}
    return splits | dict.fromkeys(testing - splits.keys(), "submission")


SIDECARS = frozenset({".ass", ".csv", ".json", ".md", ".srt", ".txt", ".vtt"})
"""Suffixes of what stands beside videos and is none."""


def find_videos(folder: Path) -> dict[str, Path]:
    """Video files of a folder by stem, whatever their suffix; hidden files and `SIDECARS` are passed over.

    Raises:
        PipelineError: no such folder, or two files of one stem.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder of videos (config: build_corpus.videos)")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or path.suffix.lower() in SIDECARS:
            continue
        if path.stem in files:
            raise PipelineError(f"{path}: {files[path.stem].name} has the same name up to the suffix; keep one")
        files[path.stem] = path
    return files


def _check_missing(gathered: Gathered, config: BuildCorpus) -> None:
    missing = [row["video"] for row in gathered.videos if row["path"] is None]
    total = len(gathered.videos)
    if not total:
        raise PipelineError(
            f"{config.captions_train}: no video is captioned, here or in {', '.join(config.captions_val)}"
        )
    if len(missing) == total:
        raise PipelineError(
            f"{config.videos}: holds none of the {total} annotated videos; files are to be named <id>.<suffix>"
            + (f", such as {missing[0]}.mp4" if missing else "")
        )
    _check_test(gathered, config)
    if missing and config.missing == "fail":
        raise PipelineError(
            f"{config.videos}: {len(missing)} of {total} annotated videos are missing ({', '.join(missing[:3])}, ...); "
            "config: build_corpus.missing: allow lists them and goes on without"
        )


def _check_test(gathered: Gathered, config: BuildCorpus) -> None:
    """Better now than after all training: a test split that was wanted must hold a video."""
    there = [row["split"] for row in gathered.videos if row["path"] is not None]
    validation = [split for split in there if split in ("enlarged", "val", "test")]
    if validation and config.fractions.test > 0 and "test" not in validation:
        raise PipelineError(
            f"none of the {len(validation)} validation videos falls into the split test, by the hash of its id; "
            "config: give build_corpus.fractions.test more, or name videos in build_corpus.pins"
        )


def _add_actions(gathered: Gathered, video: str, entry: Annotated) -> None:
    """Action segments: clipped to the video; empty ones and exact duplicates are left out and counted."""
    seen = set()
    for segment in entry.segments:
        start, end = _clip(gathered, segment.start, segment.end, entry.duration)
        if segment.end < segment.start:
            gathered.reject(video, "actions", "reversed_segment", f"{segment.start} to {segment.end} s")
        elif end <= start:
            gathered.reject(video, "actions", "empty_segment", f"{segment.start} to {segment.end} s")
        elif (start, end, segment.text) in seen:
            gathered.reject(video, "actions", "duplicate_segment", f"{segment.start} to {segment.end} s")
        else:
            seen.add((start, end, segment.text))
            gathered.segments.append({"video": video, "start": start, "end": end, "label": segment.text})


def _add_captions(gathered: Gathered, video: str, number: int, entry: Annotated, config: BuildCorpus) -> None:
    """Events: clipped to the video; reversed ones are fatal or mended, as config says; empty ones are left out.

    Args:
        gathered: what they are added to.
        video: id.
        number: of the caption file: 0 is the training set's, the others are the annotators' of the validation set.
        entry: what the file says.
        config: names the files.
    """
    annotator, source = max(number, 1), [config.captions_train, *config.captions_val][number]
    for index, segment in enumerate(entry.segments):
        start, end = segment.start, segment.end
        if start > end:
            if config.reversed_segments == "fail":
                raise PipelineError(
                    f"{source}: video {video}, event {index}: starts at {start} s after it ends at {end} s; "
                    "mend the file, or config: build_corpus.reversed_segments: swap"
                )
            start, end = end, start
            gathered.counts["swapped_segment"] += 1
        start, end = _clip(gathered, start, end, entry.duration)
        sentence = " ".join(segment.text.split())
        if end <= start:
            gathered.reject(video, source, "empty_segment", f"event {index}: {segment.start} to {segment.end} s")
        elif not sentence:
            gathered.reject(video, source, "empty_sentence", f"event {index}")
        else:
            gathered.captions.append(
                {"video": video, "annotator": annotator, "start": start, "end": end, "sentence": sentence}
            )


def _clip(gathered: Gathered, start: float, end: float, duration: float | None) -> tuple[float, float]:
    """Times inside the video; each segment that sticks out is counted."""
    inside = max(start, 0.0), end if duration is None else min(end, duration)
    gathered.counts["clipped_segment"] += inside != (start, end)
    return inside
