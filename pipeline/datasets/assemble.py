"""From annotation files to the rows of the corpus: joins ids, divides, clips, and keeps account of what it left out."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from pipeline.config.build_corpus import BuildCorpus
from pipeline.datasets.activitynet import read_activitynet
from pipeline.datasets.activitynet_captions import read_captions
from pipeline.datasets.annotations import Annotated, Segment
from pipeline.datasets.splits import shard_of, validation_split
from pipeline.datasets.tsp_csv import read_tsp
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

Row = dict[str, Any]

ADAPTERS: dict[str, Callable[[Path], dict[str, Annotated]]] = {
    ".json": read_activitynet,
    ".csv": read_tsp,
}
"""Who reads a file of action annotations, by how its name ends; the longest end counts."""


@dataclass
class Gathered:
    """The corpus in the making: rows of the four tables, and counts of what was mended or left out.

    Attributes:
        videos: rows of the table of that name, as the three that follow.
        segments: actions, and background (without label) where it is given.
        captions: events.
        rejects: what was left out.
        counts: of what was mended or left out.
        labels: of the label map; None without one.
        background_given: whether annotations state the background.
    """

    videos: list[Row] = field(default_factory=list)
    segments: list[Row] = field(default_factory=list)
    captions: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    labels: list[str] | None = None
    background_given: bool = False

    def reject(self, video: str, source: str, reason: str, detail: str) -> None:
        """Account for something that is left out."""
        self.rejects.append({"video": video, "source": source, "reason": reason, "detail": detail})
        self.counts[reason] += 1


def gather(config: BuildCorpus) -> Gathered:
    """Read all annotations of a dataset.

    A video belongs to the corpus if it has captions, is officially `testing`, or has actions and config keeps such.

    Raises:
        PipelineError: malformed annotations, a label that the label map lacks, no videos at all, or missing videos
            where config says `fail`.
    """
    captioned = [read_captions(Path(path)) for path in config.captions]
    files = find_videos(Path(config.videos))
    actions = _read_actions(config, set().union(*captioned, files))
    splits = _splits(config, captioned, actions)
    used = _used(config, splits, files)

    gathered = Gathered(labels=_label_map(config, actions), background_given=_background_given(config, actions))
    for video, split in sorted(splits.items()):
        known = [source[video] for source in [*captioned, actions] if video in source]
        duration = next((entry.duration for entry in known if entry.duration is not None), None)
        path = files.get(video) if video in used else None
        gathered.videos.append(
            {
                "video": video,
                "split": split,
                "shard": shard_of(video, config.shards),
                "path": None if path is None else path.as_posix(),
                "duration": duration,
            }
        )
        if video not in files:
            gathered.reject(video, "videos", "missing", f"no file {video}.* in {config.videos}")
        elif path is None:
            gathered.reject(video, "videos", "over_limit", f"build_corpus.limit_videos is {config.limit_videos}")
        if video in actions:
            _add_actions(gathered, video, actions[video], drop_duplicates=config.duplicates == "drop")
            if gathered.background_given:
                _add_background(gathered, video, actions[video])
        for number, source in enumerate(captioned):
            if video in source:
                _add_captions(gathered, video, number, source[video], config)
    gathered.counts["actions_of_uncaptioned_videos"] = sum(video not in splits for video in actions)
    _check_missing(gathered, config)
    return gathered


def _used(config: BuildCorpus, splits: dict[str, str], files: dict[str, Path]) -> set[str]:
    """Videos whose files are used: all that are there, or the first so many of each split."""
    there: dict[str, list[str]] = defaultdict(list)
    for video in sorted(splits.keys() & files.keys()):
        there[splits[video]].append(video)
    return {video for videos in there.values() for video in videos[: config.limit_videos]}


def _read_actions(config: BuildCorpus, known: set[str]) -> dict[str, Annotated]:
    """Action annotations under the ids of captions and files."""
    joined: dict[str, Annotated] = {}
    for path in (Path(path) for path in config.actions):
        subset = config.subsets.get(path.as_posix())
        for video, entry in _adapter(path)(path).items():
            name = _joined_name(video, known)
            if name in joined:
                raise PipelineError(f"{path}: video {video} is annotated in another file too")
            joined[name] = replace(entry, subset=subset or entry.subset)
    return joined


def _adapter(path: Path) -> Callable[[Path], dict[str, Annotated]]:
    """Who reads a file; ActivityNet's adapter where no other does."""
    ends = [end for end in ADAPTERS if path.name.endswith(end)]
    return ADAPTERS[max(ends, key=len, default=".json")]


def _joined_name(video: str, known: set[str]) -> str:
    """An id as captions and files write it: those of YouTube, eleven characters, get ActivityNet's `v_`."""
    prefixed = f"v_{video}"
    if video in known:
        return video
    return prefixed if prefixed in known or len(video) == 11 else video


def _label_map(config: BuildCorpus, actions: dict[str, Annotated]) -> list[str] | None:
    """The classes in their order; every label that is annotated must be one of them."""
    if config.label_map is None:
        return None
    labels: Any = read_json(Path(config.label_map), "label map")
    plain = isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)
    if not plain or len(set(labels)) < len(labels):
        raise PipelineError(f"{config.label_map}: expected a JSON list of action classes, each once")
    known = set(labels)
    for video, entry in actions.items():
        for segment in entry.segments:
            if segment.text not in known:
                raise PipelineError(
                    f"{config.label_map}: video {video} is labelled {segment.text!r}, which is none of the "
                    f"{len(labels)} classes of the label map; mend the annotation or the map"
                )
    return list(labels)


def _background_given(config: BuildCorpus, actions: dict[str, Annotated]) -> bool:
    """Whether the background is to be as the annotations state it; then all of them must, or none."""
    stated = {entry.background is not None for entry in actions.values()}
    if config.background == "given" and len(stated) == 2:
        raise PipelineError(
            f"{', '.join(config.actions)}: some state the background, others do not; "
            "config: build_corpus.background: gaps"
        )
    return config.background == "given" and stated == {True}


def _splits(
    config: BuildCorpus, captioned: list[dict[str, Annotated]], actions: dict[str, Annotated]
) -> dict[str, str]:
    """Split of every video of the corpus."""
    train = set(captioned[0]) if captioned else set()
    validation = set().union(*captioned[1:])
    both = sorted(train & validation)
    if both:
        raise PipelineError(f"{config.captions_train}: video {both[0]} is captioned for training and validation")
    if config.uncaptioned == "keep":
        told = train | validation
        others = {video: entry.subset for video, entry in actions.items() if video not in told}
        unknown = sorted(video for video, subset in others.items() if subset is None)
        if unknown:
            raise PipelineError(
                f"config: build_corpus.subsets must say which subset the tables of {', '.join(config.actions)} hold: "
                f"nobody captioned {unknown[0]}, so nothing else tells"
            )
        train |= {video for video, subset in others.items() if subset == "training"}
        validation |= {video for video, subset in others.items() if subset == "validation"}
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


def video_names(folder: Path) -> list[str]:
    """Names of the video files of a folder, sorted; hidden files and `SIDECARS` are passed over.

    Every plan looks here, into folders of 200,000 videos perhaps: so one look at each, and no path for each.

    Raises:
        PipelineError: no such folder.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder of videos (config: build_corpus.videos)")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    return [name for name in names if PurePath(name).suffix.lower() not in SIDECARS]


def find_videos(folder: Path) -> dict[str, Path]:
    """Video files of a folder by stem, whatever their suffix; see `video_names`.

    Raises:
        PipelineError: no such folder, or two files of one stem.
    """
    files: dict[str, Path] = {}
    for path in map(folder.joinpath, video_names(folder)):
        if path.stem in files:
            raise PipelineError(f"{path}: {files[path.stem].name} has the same name up to the suffix; keep one")
        files[path.stem] = path
    return files


def _check_missing(gathered: Gathered, config: BuildCorpus) -> None:
    missing = [row["video"] for row in gathered.rejects if row["reason"] == "missing"]
    total = len(gathered.videos)
    if not total:
        raise PipelineError(f"{', '.join(config.captions or config.actions)}: no video is annotated")
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


def _add_actions(gathered: Gathered, video: str, entry: Annotated, *, drop_duplicates: bool) -> None:
    """Action segments: clipped to the video; empty ones, and duplicates if so wanted, are left out and counted."""
    seen = set()
    for segment, start, end in _clipped(gathered, video, "actions", entry.segments, entry.duration):
        if drop_duplicates and (start, end, segment.text) in seen:
            gathered.reject(video, "actions", "duplicate_segment", f"{segment.start} to {segment.end} s")
        else:
            seen.add((start, end, segment.text))
            gathered.segments.append({"video": video, "start": start, "end": end, "label": segment.text})


def _add_background(gathered: Gathered, video: str, entry: Annotated) -> None:
    """Background as stated: clipped to the video, empty stretches left out."""
    for _, start, end in _clipped(gathered, video, "background", entry.background or (), entry.duration):
        gathered.segments.append({"video": video, "start": start, "end": end, "label": None})


def _clipped(
    gathered: Gathered, video: str, source: str, segments: Iterable[Segment], duration: float | None
) -> Iterator[tuple[Segment, float, float]]:
    """Segments with their times inside the video; reversed and empty ones are left out and counted."""
    for segment in segments:
        start, end = _clip(gathered, segment.start, segment.end, duration)
        if segment.end < segment.start:
            gathered.reject(video, source, "reversed_segment", f"{segment.start} to {segment.end} s")
        elif end <= start:
            gathered.reject(video, source, "empty_segment", f"{segment.start} to {segment.end} s")
        else:
            yield segment, start, end


def _add_captions(gathered: Gathered, video: str, number: int, entry: Annotated, config: BuildCorpus) -> None:
    """Events: clipped to the video; reversed ones are fatal or mended, as config says; empty ones are left out.

    Args:
        gathered: what they are added to.
        video: id.
        number: of the caption file: 0 is the training set's, the others are the annotators' of the validation set.
        entry: what the file says.
        config: names the files.
    """
    annotator, source = max(number, 1), config.captions[number]
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
