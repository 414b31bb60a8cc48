"""From files of captioned clips to the rows of the corpus: a clip is a video with one event as long as itself.

Caption i of a clip is that of annotator i. A category is the action class of the whole clip. Official subsets become
the splits `train`, `val` and `test`; clips without one are divided by a hash of their id, as validation videos are.
"""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pipeline.config.build_corpus import BuildCorpus
from pipeline.datasets.annotations import ActionVideo, AnnotatedSegment, CaptionedClip, CaptionedVideo, read_clips
from pipeline.datasets.assemble import (
    CorpusTables,
    add_events_as_actions,
    assemble_corpus,
    check_missing,
    read_label_map,
    used_videos,
)
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent, CorpusVideo
from pipeline.datasets.durations import complete_durations
from pipeline.datasets.splits import shard_of, validation_split
from pipeline.datasets.video_files import list_folder
from pipeline.errors import PipelineError

SPLIT_OF_SUBSET = {"training": "train", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class ClipSource:
    """A clip and the file that it was read from.

    Attributes:
        clip: as annotated.
        file: the annotation file.
    """

    clip: CaptionedClip
    file: str


def assemble_dataset(config: BuildCorpus) -> CorpusTables:
    """Read all annotations of a dataset, of clips or of videos with events, and join them with the video files.

    Raises:
        PipelineError: see `assemble_clips` and `assemble_corpus`.
    """
    return assemble_clips(config) if config.clips else assemble_corpus(config)


def assemble_clips(config: BuildCorpus) -> CorpusTables:
    """Read all clips of a dataset and join them with the video files.

    A clip of the official test set without captions is in the split `submission`; any other clip without captions is a
    reject and left out, because nothing can be learnt from it. A clip without a file is a video without a path; its
    captions stay, if its duration is known.

    Raises:
        PipelineError: malformed annotations, a clip in two files, a category that is not in the label map, no clips at
            all, or missing clips if the config does not allow them.
    """
    sources = _read_sources(config)
    listing = list_folder(Path(config.videos))
    listing.log_passed_over()
    files = listing.by_stem()
    stated = {clip: CaptionedVideo(source.clip.duration, ()) for clip, source in sources.items()}
    [measured], unmeasured = complete_durations([stated], {}, files)
    durations = {clip: entry.duration for clip, entry in measured.items()}
    tables = CorpusTables()
    splits = _assign_splits(config, sources, tables)
    actions = {clip: _category_segment(sources[clip].clip, durations[clip]) for clip in splits}
    tables.labels = read_label_map(config, actions)
    used = used_videos(config, splits, files)
    for clip, split in sorted(splits.items()):
        path = files.get(clip) if clip in used else None
        shard = shard_of(clip, config.shards)
        tables.videos.append(CorpusVideo(clip, split, shard, path.as_posix() if path else None, durations[clip]))
        if clip not in files:
            tables.reject(clip, "videos", "missing", f"no file {clip}.* in {config.videos}")
        elif path is None:
            tables.reject(clip, "videos", "over_limit", f"build_corpus.limit_videos is {config.limit_videos}")
        if clip in unmeasured:
            tables.reject(clip, "videos", "unmeasured", unmeasured[clip])
        tables.segments += [ActionSegment(clip, one.start, one.end, one.text) for one in actions[clip].segments]
        _add_captions(tables, clip, sources[clip], durations[clip])
    if not tables.segments:
        add_events_as_actions(tables)
    tables.references = _references(sources, durations)
    check_missing(tables, config)
    return tables


def _read_sources(config: BuildCorpus) -> dict[str, ClipSource]:
    sources: dict[str, ClipSource] = {}
    for file in config.clips:
        subset = config.subsets.get(file)
        for clip, entry in read_clips(Path(file), config.readers.get(file)).items():
            if clip in sources:
                raise PipelineError(f"{file}: clip {clip} is in {sources[clip].file} too; keep one of the two")
            if subset:
                entry = CaptionedClip(entry.captions, entry.duration, subset, entry.category)
            sources[clip] = ClipSource(entry, file)
    return sources


def _assign_splits(config: BuildCorpus, sources: dict[str, ClipSource], tables: CorpusTables) -> dict[str, str]:
    """Assign every clip that is used to a split; record those without captions."""
    unknown_pins = sorted(config.pins.keys() - sources.keys())
    if unknown_pins:
        raise PipelineError(f"config: build_corpus.pins names {unknown_pins[0]!r}, which no file of clips captions")
    splits: dict[str, str] = {}
    for clip, source in sources.items():
        subset = source.clip.subset
        official = SPLIT_OF_SUBSET[subset] if subset else validation_split(clip, config.fractions)
        split = config.pins.get(clip, official)
        if not any(caption.split() for caption in source.clip.captions):
            tables.reject(clip, source.file, "uncaptioned", "no caption with a word")
            split = "submission" if split == "test" else None
        if split is not None:
            splits[clip] = split
    if "train" not in splits.values() and splits and {"val", "test"} & set(splits.values()):
        raise PipelineError(
            f"{', '.join(config.clips)}: no clip is in the split train; state the subset of a file in config: "
            "build_corpus.subsets, or give build_corpus.fractions.train a part"
        )
    return splits


def _category_segment(clip: CaptionedClip, duration: float | None) -> ActionVideo:
    """Return the category of a clip as an action of its whole length."""
    if clip.category is None or duration is None:
        return ActionVideo(duration, ())
    return ActionVideo(duration, (AnnotatedSegment(0.0, duration, clip.category),))


def _add_captions(tables: CorpusTables, clip: str, source: ClipSource, duration: float | None) -> None:
    """Add the captions of a clip, one for each annotator; without a duration their event has no end."""
    for annotator, text in enumerate(source.clip.captions, start=1):
        sentence = " ".join(text.split())
        if not sentence:
            tables.reject(clip, source.file, "empty_sentence", f"caption {annotator - 1}")
        elif duration is not None:
            tables.captions.append(CaptionedEvent(clip, annotator, 0.0, duration, sentence))
        else:
            tables.counts["captions_without_duration"] += 1


def _references(sources: dict[str, ClipSource], durations: dict[str, float | None]) -> list[dict[str, CaptionedVideo]]:
    """Return the captions of all clips by annotator, as written, without empty ones."""
    return [
        {
            # An unreadable clip has no end; it is scored, and only its captions count.
            clip: CaptionedVideo(durations[clip], (AnnotatedSegment(0.0, durations[clip] or 0.0, text),))
            for clip, text in zip(sources, texts, strict=True)
            if text is not None and text.split()
        }
        for texts in zip_longest(*(source.clip.captions for source in sources.values()))
    ]
