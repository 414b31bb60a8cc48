"""From annotation files to the rows of the corpus: join ids, split, clip, and record what is left out."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.config.build_corpus import BuildCorpus
from pipeline.datasets.annotations import ActionVideo, AnnotatedSegment, CaptionedVideo, read_actions, read_captions
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo, RejectedVideo
from pipeline.datasets.durations import complete_durations
from pipeline.datasets.splits import shard_of, validation_split
from pipeline.datasets.video_files import list_folder
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

EVENT_LABEL = "event"
"""Class of every captioned event of a dataset without action annotations."""


@dataclass
class CorpusTables:
    """The corpus while it is assembled.

    Attributes:
        videos: rows of `videos.parquet`.
        segments: rows of `segments.parquet`.
        captions: rows of `captions.parquet`.
        rejects: rows of `rejects.parquet`.
        counts: how many annotations were changed or left out, by reason.
        labels: the classes of the label map; None without one.
        has_annotated_background: whether the annotations state the background.
        references: captioned videos of each validation file, as annotated.
    """

    videos: list[CorpusVideo] = field(default_factory=list)
    segments: list[ActionSegment] = field(default_factory=list)
    captions: list[CaptionedEvent] = field(default_factory=list)
    rejects: list[RejectedVideo] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    labels: list[str] | None = None
    has_annotated_background: bool = False
    references: list[dict[str, CaptionedVideo]] = field(default_factory=list)

    def reject(self, video: str, source: str, reason: str, detail: str) -> None:
        """Record what is left out, and why."""
        self.rejects.append(RejectedVideo(video, source, reason, detail))
        self.counts[reason] += 1


def assemble_corpus(config: BuildCorpus) -> CorpusTables:
    """Read all annotations of a dataset and join them with the video files.

    The corpus holds each video that has captions, is officially `testing`, or has actions if the config keeps those.

    Raises:
        PipelineError: malformed annotations, a label that is not in the label map, no videos at all, or missing videos
            if the config does not allow them.
    """
    sources = [config.captions_train, *config.captions_val]
    read = [read_captions(Path(path), config.readers.get(path)) if path else {} for path in sources]
    listing = list_folder(Path(config.videos))
    listing.log_passed_over()
    files = listing.by_stem()
    actions = _read_actions(config, set().union(*read, files))
    captioned, unmeasured = complete_durations(read, actions, files)
    splits = _assign_splits(config, captioned, actions)
    used = used_videos(config, splits, files)

    tables = CorpusTables(
        labels=read_label_map(config, actions),
        has_annotated_background=_has_annotated_background(config, actions),
        references=captioned[1:],
    )
    for video, split in sorted(splits.items()):
        durations: list[float | None] = [source[video].duration for source in captioned if video in source]
        durations += [actions[video].duration] if video in actions else []
        duration = next((seconds for seconds in durations if seconds is not None), None)
        path = files.get(video) if video in used else None
        shard = shard_of(video, config.shards)
        tables.videos.append(CorpusVideo(video, split, shard, None if path is None else path.as_posix(), duration))
        if video not in files:
            tables.reject(video, "videos", "missing", f"no file {video}.* in {config.videos}")
        elif path is None:
            tables.reject(video, "videos", "over_limit", f"build_corpus.limit_videos is {config.limit_videos}")
        if video in unmeasured:
            tables.reject(video, "videos", "unmeasured", unmeasured[video])
        if video in actions:
            _add_actions(tables, video, actions[video], drop_duplicates=config.duplicates == "drop")
            if tables.has_annotated_background:
                _add_background(tables, video, actions[video])
        for number, (path_of_source, source) in enumerate(zip(sources, captioned, strict=True)):
            if video in source:
                _add_captions(tables, video, max(number, 1), source[video], str(path_of_source), config)
    if not config.actions:
        add_events_as_actions(tables)
    tables.counts["actions_of_uncaptioned_videos"] = sum(video not in splits for video in actions)
    check_missing(tables, config)
    return tables


def used_videos(config: BuildCorpus, splits: dict[str, str], files: dict[str, Path]) -> set[str]:
    """Return the videos whose files are used: all with a file, or the first `limit_videos` of each split.

    Args:
        config: the limit.
        splits: split of each video.
        files: video files by id.
    """
    by_split: dict[str, list[str]] = defaultdict(list)
    for video in sorted(splits.keys() & files.keys()):
        by_split[splits[video]].append(video)
    return {video for videos in by_split.values() for video in videos[: config.limit_videos]}


def _read_actions(config: BuildCorpus, known_ids: set[str]) -> dict[str, ActionVideo]:
    """Read action annotations and give the videos the ids that captions and files use."""
    actions: dict[str, ActionVideo] = {}
    for path in config.actions:
        subset = config.subsets.get(path)
        for video, entry in read_actions(Path(path), config.readers.get(path)).items():
            joined_id = _join_id(video, known_ids)
            if joined_id in actions:
                raise PipelineError(f"{path}: video {video} is annotated in another file too")
            actions[joined_id] = replace(entry, subset=subset or entry.subset)
    return actions


def _join_id(video: str, known_ids: set[str]) -> str:
    """Return an id as captions and files write it: ids of YouTube (eleven characters) get ActivityNet's `v_`."""
    prefixed = f"v_{video}"
    if video in known_ids:
        return video
    return prefixed if prefixed in known_ids or len(video) == 11 else video


def read_label_map(config: BuildCorpus, actions: dict[str, ActionVideo]) -> list[str] | None:
    """Read the classes in their order, and check that every annotated label is one of them.

    Raises:
        PipelineError: the label map is malformed, or lacks a label.
    """
    if config.label_map is None:
        return None
    labels: Any = read_json(Path(config.label_map), "label map")
    is_label_list = isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)
    if not is_label_list or len(set(labels)) < len(labels):
        raise PipelineError(f"{config.label_map}: expected a JSON list of action classes, each once")
    known_labels = set(labels)
    for video, entry in actions.items():
        for segment in entry.segments:
            if segment.text not in known_labels:
                raise PipelineError(
                    f"{config.label_map}: video {video} has label {segment.text!r}, which is none of the "
                    f"{len(labels)} classes of the label map; correct the annotation or the map"
                )
    return list(labels)


def _has_annotated_background(config: BuildCorpus, actions: dict[str, ActionVideo]) -> bool:
    """Return whether the annotations' own background is used; then all videos must state it, or none."""
    stated = {entry.background is not None for entry in actions.values()}
    if config.background == "given" and len(stated) == 2:
        raise PipelineError(
            f"{', '.join(config.actions)}: some files state the background, others do not; "
            "config: build_corpus.background: gaps"
        )
    return config.background == "given" and stated == {True}


def _assign_splits(
    config: BuildCorpus, captioned: list[dict[str, CaptionedVideo]], actions: dict[str, ActionVideo]
) -> dict[str, str]:
    """Assign every video of the corpus to a split."""
    train, validation = set(captioned[0]), set().union(*captioned[1:])
    both = sorted(train & validation)
    if both:
        raise PipelineError(f"{config.captions_train}: video {both[0]} is captioned for training and validation")
    if config.uncaptioned == "keep":
        with_captions = train | validation
        subsets = {video: entry.subset for video, entry in actions.items() if video not in with_captions}
        unknown = sorted(video for video, subset in subsets.items() if subset is None)
        if unknown:
            raise PipelineError(
                f"config: build_corpus.subsets must state the subset of the tables {', '.join(config.actions)}: "
                f"video {unknown[0]} has no captions, and its table states no subset"
            )
        train |= {video for video, subset in subsets.items() if subset == "training"}
        validation |= {video for video, subset in subsets.items() if subset == "validation"}
    unknown_pins = sorted(config.pins.keys() - validation)
    if unknown_pins:
        raise PipelineError(f"config: build_corpus.pins names {unknown_pins[0]!r}, which no validation file captions")
    splits = dict.fromkeys(train, "train")
    for video in validation:
        split = config.pins.get(video) or validation_split(video, config.fractions)
        if split is not None:
            splits[video] = split
    testing = {video for video, entry in actions.items() if entry.subset == "testing"}
    return splits | dict.fromkeys(testing - splits.keys(), "submission")


def check_missing(tables: CorpusTables, config: BuildCorpus) -> None:
    """Check that there are videos, and that none is missing unless the configuration allows it.

    Raises:
        PipelineError: no video is annotated, none or too few have a file, or the test split has none.
    """
    missing = [reject.video for reject in tables.rejects if reject.reason == "missing"]
    total = len(tables.videos)
    if not total:
        raise PipelineError(f"{', '.join(config.captions or config.clips or config.actions)}: no video is annotated")
    if len(missing) == total:
        raise PipelineError(
            f"{config.videos}: holds none of the {total} annotated videos; name the files <id>.<suffix>"
            + (f", for example {missing[0]}.mp4" if missing else "")
        )
    if not config.clips:  # clips have official splits
        _check_test_split(tables, config)
    if missing and config.missing == "fail":
        raise PipelineError(
            f"{config.videos}: {len(missing)} of {total} annotated videos are missing ({', '.join(missing[:3])}, ...); "
            "add them, or leave them out with config: build_corpus.missing: allow"
        )


def _check_test_split(tables: CorpusTables, config: BuildCorpus) -> None:
    """Check that the test split has a video, before hours of training."""
    used_splits = [row.split for row in tables.videos if row.path is not None]
    validation = [split for split in used_splits if split in ("enlarged", "val", "test")]
    if validation and config.fractions.test > 0 and "test" not in validation:
        raise PipelineError(
            f"none of the {len(validation)} validation videos is in the split test, by the hash of its id; "
            "config: increase build_corpus.fractions.test, or name videos in build_corpus.pins"
        )


def _add_actions(tables: CorpusTables, video: str, entry: ActionVideo, *, drop_duplicates: bool) -> None:
    """Add the action segments of a video: clipped, without empty ones, and without duplicates if those are dropped."""
    seen = set()
    for segment, start, end in _clip_segments(tables, video, "actions", entry.segments, entry.duration):
        if drop_duplicates and (start, end, segment.text) in seen:
            tables.reject(video, "actions", "duplicate_segment", f"{segment.start} to {segment.end} s")
        else:
            seen.add((start, end, segment.text))
            tables.segments.append(ActionSegment(video, start, end, segment.text))


def _add_background(tables: CorpusTables, video: str, entry: ActionVideo) -> None:
    """Add the stated background segments of a video: clipped, without empty ones."""
    for _, start, end in _clip_segments(tables, video, "background", entry.background or (), entry.duration):
        tables.segments.append(ActionSegment(video, start, end, None))


def _clip_segments(
    tables: CorpusTables, video: str, source: str, segments: Iterable[AnnotatedSegment], duration: float | None
) -> Iterator[tuple[AnnotatedSegment, float, float]]:
    """Yield segments with their times clipped to the video; reversed and empty ones are rejected."""
    for segment in segments:
        start, end = _clip(tables, segment.start, segment.end, duration)
        if segment.end < segment.start:
            tables.reject(video, source, "reversed_segment", f"{segment.start} to {segment.end} s")
        elif end <= start:
            tables.reject(video, source, "empty_segment", f"{segment.start} to {segment.end} s")
        else:
            yield segment, start, end


def _add_captions(
    tables: CorpusTables, video: str, annotator: int, entry: CaptionedVideo, source: str, config: BuildCorpus
) -> None:
    """Add the events of a video: clipped; reversed ones are swapped or fatal, empty ones are rejected.

    Args:
        tables: the tables to extend.
        video: id.
        annotator: number of the annotator, from 1.
        entry: the video as that annotator captioned it.
        source: file or folder of the captions.
        config: says what to do with reversed events.
    """
    for index, event in enumerate(entry.events):
        start, end = event.start, event.end
        if start > end:
            if config.reversed_segments == "fail":
                raise PipelineError(
                    f"{source}: video {video}, event {index}: starts at {start} s after it ends at {end} s; "
                    "correct the file, or config: build_corpus.reversed_segments: swap"
                )
            start, end = end, start
            tables.counts["swapped_segment"] += 1
        start, end = _clip(tables, start, end, entry.duration)
        sentence = " ".join(event.text.split())
        if end <= start:
            tables.reject(video, source, "empty_segment", f"event {index}: {event.start} to {event.end} s")
        elif not sentence:
            tables.reject(video, source, "empty_sentence", f"event {index}")
        else:
            tables.captions.append(CaptionedEvent(video, annotator, start, end, sentence))


def add_events_as_actions(tables: CorpusTables) -> None:
    """Make every captioned event of a video's first annotator an action segment of the one class `EVENT_LABEL`."""
    first: dict[str, int] = {}
    for event in tables.captions:
        first[event.video] = min(first.get(event.video, event.annotator), event.annotator)
    events = [event for event in tables.captions if event.annotator == first[event.video]]
    times = dict.fromkeys((event.video, event.start, event.end) for event in events)
    tables.segments += [ActionSegment(*of_event, EVENT_LABEL) for of_event in times]
    tables.counts["events_as_actions"] = len(times)
    logging.info(
        "no action annotations (build_corpus.actions: []): %d captioned events are segments of the one class %r",
        len(times),
        EVENT_LABEL,
    )


def _clip(tables: CorpusTables, start: float, end: float, duration: float | None) -> tuple[float, float]:
    """Clip times to the video, and count the segments that this changes."""
    clipped = max(start, 0.0), end if duration is None else min(end, duration)
    tables.counts["clipped_segment"] += clipped != (start, end)
    return clipped
