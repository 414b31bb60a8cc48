"""What a run would see of annotations: files, videos, splits, labels, events, and what is odd."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.readers import Content, configure_reader
from pipeline.datasets.annotations import AnnotatedSegment, list_annotation_files, read_captions
from pipeline.datasets.assemble import CorpusTables
from pipeline.datasets.assemble_clips import assemble_dataset
from pipeline.datasets.corpus import SPLITS
from pipeline.datasets.text import split_words
from pipeline.datasets.video_files import list_folder

END_TOLERANCE_S = 0.1
"""Events that end this much after their video are no oddity: players round times (seconds)."""
SHORT_S = 0.5
"""Events shorter than this are probably slips of the mouse (seconds)."""
MAX_TEXT = 40
"""Number of characters of a sentence that an example shows."""
MAX_EXAMPLES = 3
"""Number of examples of each kind of oddity."""

OUTCOMES = {
    "missing": "annotated, but there is no video file of this name",
    "unmeasured": "video file cannot be read; its events are kept as written",
    "empty_segment": "event outside its video, or without length: left out",
    "reversed_segment": "action that ends before it starts: left out",
    "duplicate_segment": "repeated action: left out",
    "empty_sentence": "event without a text: left out",
    "uncaptioned": "clip without captions: left out, unless it is of the official test set",
    "negative": "event that starts before 0 s: cut at 0 s",
    "past_end": "event that ends after its video: cut at the end of the video",
    "short": f"event shorter than {SHORT_S:g} s: kept",
    "overlap": "event that overlaps another one of the same annotator: kept, both as written",
    "unannotated": "video file without captions: not used",
    "one_annotator": "video of val or test that another annotator did not caption: scored with the captions it has",
}
"""What is odd, and what a run makes of it, in the order of the report."""


class Oddity(NamedTuple):
    """Something that may be a mistake.

    Attributes:
        kind: key of `OUTCOMES`.
        video: id.
        detail: what exactly.
    """

    kind: str
    video: str
    detail: str


@dataclass(frozen=True)
class AnnotationSummary:
    """What a run would see.

    Attributes:
        facts: lines, one for each topic.
        oddities: what may be a mistake, in the order of `OUTCOMES`.
        tables: the tables of the corpus.
    """

    facts: Sequence[str]
    oddities: Sequence[Oddity]
    tables: CorpusTables

    def lines(self) -> Iterator[str]:
        """Yield the lines of a report: the facts, then each kind of oddity with examples."""
        yield from self.facts
        counts = Counter(oddity.kind for oddity in self.oddities)
        yield f"odd: {sum(counts.values()) or 'nothing'}"
        for kind, outcome in OUTCOMES.items():
            if kind in counts:
                yield f"  {counts[kind]} x {outcome}"
                examples = [oddity for oddity in self.oddities if oddity.kind == kind]
                yield from (f"      {each.video}: {each.detail}" for each in examples[:MAX_EXAMPLES])
                if len(examples) > MAX_EXAMPLES:
                    yield f"      and {len(examples) - MAX_EXAMPLES} more"


def summarize(config: BuildCorpus) -> AnnotationSummary:
    """Read the annotations of a dataset as `build_corpus` does.

    A missing video is no error here, but an oddity.

    Raises:
        PipelineError: what `build_corpus` would report: a malformed file, two annotations of a video by one annotator.
    """
    tables = assemble_dataset(config.model_copy(update={"missing": "allow"}))
    oddities = [*_rejects(tables, config), *_odd_events(tables, config), *_odd_videos(tables, config)]
    order = list(OUTCOMES)
    facts = [*_describe_sources(config), _describe_videos(tables, config), *_describe_events(tables, config)]
    return AnnotationSummary(facts, sorted(oddities, key=lambda each: (order.index(each.kind), each.video)), tables)


def _describe_sources(config: BuildCorpus) -> Iterator[str]:
    """Yield a line for each file or folder of captions and actions: reader, number of files."""
    annotated: list[tuple[Content, str]] = [("actions", path) for path in config.actions]
    annotated += [("clips", path) for path in config.clips]
    annotated += [("captions", path) for path in config.captions]
    for content, path in annotated:
        choice = config.readers.get(path)
        files = list_annotation_files(Path(path), content, choice)
        readers = Counter(configure_reader(file.name, content, choice).spec.name for file in files)
        names = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in readers.items())
        yield f"{content}: {path} ({names})"


def _describe_videos(tables: CorpusTables, config: BuildCorpus) -> str:
    present = [row for row in tables.videos if row.path is not None]
    splits = Counter(row.split for row in present)
    parts = ", ".join(f"{split} {splits[split]}" for split in SPLITS if splits[split])
    return f"videos: {len(present)} of {config.videos} ({parts})"


def _describe_events(tables: CorpusTables, config: BuildCorpus) -> Iterator[str]:
    if tables.captions:
        lengths = [event.end - event.start for event in tables.captions]
        words = [word for event in tables.captions for word in split_words(event.sentence)]
        per_annotator = Counter(event.annotator for event in tables.captions)
        annotators = ", ".join(f"annotator {name}: {count}" for name, count in sorted(per_annotator.items()))
        yield f"events: {len(lengths)} ({annotators})"
        yield (
            f"length of an event: {min(lengths):.1f} to {max(lengths):.1f} s, median {statistics.median(lengths):.1f} s"
        )
        yield f"words: {len(words)}, {len(set(words))} different"
    if config.actions or config.clips:
        labels = Counter(segment.label for segment in tables.segments if segment.label is not None)
        common = ", ".join(f"{label} {count}" for label, count in labels.most_common(MAX_EXAMPLES))
        yield f"labels: {len(labels)} ({common}{', ...' if len(labels) > MAX_EXAMPLES else ''})"
    else:
        yield f"labels: none, so each of {len(tables.segments)} captioned events has the label 'event'"


def _rejects(tables: CorpusTables, config: BuildCorpus) -> Iterator[Oddity]:
    """Yield what the corpus leaves out; a missing video whose name is nearly that of a file gets a hint."""
    names = list_folder(Path(config.videos)).by_stem()
    folded = {name.casefold(): name for name in names}
    for reject in tables.rejects:
        if reject.reason in OUTCOMES:
            detail = reject.detail
            near = folded.get(reject.video.casefold()) or folded.get(reject.video.rpartition(".")[0].casefold())
            if reject.reason == "missing" and near:
                detail += f"; there is {names[near].name}: the annotation must have the name {near}"
            yield Oddity(reject.reason, reject.video, detail)


def _odd_events(tables: CorpusTables, config: BuildCorpus) -> Iterator[Oddity]:
    """Yield events whose times are odd, as annotated."""
    durations = {row.video: row.duration for row in tables.videos}
    for path in config.captions:
        for video, entry in read_captions(Path(path), config.readers.get(path)).items():
            last: AnnotatedSegment | None = None
            for event in sorted(entry.events, key=lambda event: (event.start, event.end)):
                text = " ".join(event.text.split())
                if not text:
                    continue  # the corpus leaves it out
                where = f"{path}: {event.start:g} to {event.end:g} s, {text[:MAX_TEXT]!r}"
                duration = durations.get(video)
                if event.start < 0:
                    yield Oddity("negative", video, where)
                if duration is not None and event.start < duration < event.end - END_TOLERANCE_S:
                    yield Oddity("past_end", video, f"{where}; the video has {duration:.1f} s")
                if 0 < event.end - event.start < SHORT_S:
                    yield Oddity("short", video, where)
                if last is not None and event.start < last.end:
                    yield Oddity("overlap", video, f"{where}; the one before ends at {last.end:g} s")
                if last is None or event.end > last.end:
                    last = event


def _odd_videos(tables: CorpusTables, config: BuildCorpus) -> Iterator[Oddity]:
    """Yield videos without annotations, and scored ones that lack an annotator."""
    in_corpus = {row.video for row in tables.videos}
    for name, path in list_folder(Path(config.videos)).by_stem().items():
        if name not in in_corpus:
            yield Oddity("unannotated", name, path.name)
    annotators: dict[str, set[int]] = defaultdict(set)
    for event in tables.captions:
        annotators[event.video].add(event.annotator)
    count = len(config.captions_val)
    for row in tables.videos:
        if row.split in ("val", "test") and len(annotators[row.video]) < count:
            yield Oddity("one_annotator", row.video, f"{len(annotators[row.video])} of {count} annotators")
