"""The labels of clips, short videos that are recognised as a whole: a class, perhaps its group, and captions.

They come from the templates of Something-Something, or else from the annotations of any corpus: the first action and
the first caption of a video.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets.corpus import Corpus
from pipeline.datasets.something_something import TemplateClip
from pipeline.datasets.templates import CaptionKind, class_name, fill_template
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from pipeline.io.tables import read_rows, write_rows
from pipeline.provenance.manifest import read_manifest, write_manifest

TABLE = "clip_labels.parquet"


@dataclass(frozen=True)
class LabelledClip:
    """One row of `clip_labels.parquet`.

    Attributes:
        video: id.
        label: name of the class.
        full: caption with whole placeholders; empty without a caption.
        simplified: caption with the last word of each placeholder; without a template, the full caption.
    """

    video: str
    label: str
    full: str
    simplified: str

    def caption(self, kind: CaptionKind) -> str:
        """Return the caption of a kind."""
        return self.full if kind == "full" else self.simplified


@dataclass
class ClipLabels:
    """The labels of a dataset.

    Attributes:
        clips: the labelled clips, sorted by id.
        labels: names of the classes, in the order of their ids.
        group_of: group of each class; empty without groups.
        counts: numbers of clips, classes and odd rows.
    """

    clips: list[LabelledClip]
    labels: list[str]
    group_of: dict[str, str]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def groups(self) -> list[str]:
        """Names of the groups, sorted, in the order of their ids."""
        return sorted(set(self.group_of.values()))

    def write(self, manifest: Path) -> None:
        """Write the table, and the manifest that lists it."""
        table = manifest.parent / TABLE
        write_rows(table, self.clips, LabelledClip)
        names = {"labels": self.labels, "group_of": self.group_of}
        write_manifest(manifest, [table], {**names, "counts": dict(sorted(self.counts.items()))})

    @classmethod
    def read(cls, manifest: Path) -> "ClipLabels":
        """Read what `write` wrote.

        Raises:
            PipelineError: a file is absent or damaged.
        """
        listed = read_manifest(manifest)
        names: dict[str, Any] = listed.metadata
        rows = read_rows(listed.file(TABLE), LabelledClip)
        return cls(rows, names["labels"], names["group_of"], Counter(names["counts"]))


def read_groups(path: Path) -> dict[str, str]:
    """Read groups of classes: a JSON object from class (template, with or without brackets) to group.

    Returns:
        group of each class, by the name of the class.

    Raises:
        PipelineError: the file is no such object, or has a class twice in different groups.
    """
    data = read_json(path, "groups of classes")
    is_mapping = isinstance(data, dict) and all(isinstance(group, str) and group.strip() for group in data.values())
    if not is_mapping or not data:
        raise PipelineError(f"{path}: expected a JSON object from class to group, both texts")
    groups: dict[str, str] = {}
    for template, group in data.items():
        name = class_name(template)
        if groups.setdefault(name, group) != group:
            raise PipelineError(f"{path}: class {name!r} is in the groups {groups[name]!r} and {group!r}")
    return groups


def label_template_clips(
    files: Mapping[Path, Sequence[TemplateClip]], classes: Sequence[str] | None, group_of: Mapping[str, str]
) -> ClipLabels:
    """Join templates with classes and groups, and make the captions.

    Args:
        files: clips of each file.
        classes: names of all classes in their order; None: those that occur, sorted.
        group_of: group of each class; empty without groups.

    Raises:
        PipelineError: no clip has a template, a template is none of the classes, a class has no group, or two entries
            label one clip. Names the file or the class.
    """
    counts: Counter[str] = Counter()
    rows: dict[str, LabelledClip] = {}
    allowed = None if classes is None else frozenset(classes)
    for path, clips in files.items():
        for clip in clips:
            if clip.template is None:
                counts["clips_without_label"] += 1
                continue
            if clip.video in rows:
                raise PipelineError(f"{path}: clip {clip.video} is labelled twice; keep one of its entries")
            name = class_name(clip.template)
            if allowed is not None and name not in allowed:
                raise PipelineError(
                    f"{path}: clip {clip.video}: {name!r} is none of the {len(allowed)} classes of label_clips.classes"
                )
            filled = fill_template(clip.template, clip.placeholders)
            counts.update(filled.oddities)
            rows[clip.video] = LabelledClip(clip.video, name, filled.full, filled.simplified)
    if not rows:
        raise PipelineError(f"{', '.join(map(str, files))}: no clip has a template")
    return _collect(rows.values(), classes, group_of, counts)


def label_corpus(corpus: Corpus, group_of: Mapping[str, str]) -> ClipLabels:
    """Label each video with its first action and the first caption of its first annotator.

    Args:
        corpus: the corpus.
        group_of: group of each class; empty without groups.

    Raises:
        PipelineError: no video has an action, or a class has no group.
    """
    actions: dict[str, str] = {}
    for segment in sorted(corpus.segments, key=lambda row: (row.video, row.start, row.end)):
        if segment.label is not None:
            actions.setdefault(segment.video, segment.label)
    captions: dict[str, str] = {}
    for event in sorted(corpus.captions, key=lambda row: (row.video, row.annotator, row.start, row.end)):
        captions.setdefault(event.video, event.sentence)
    rows = [
        LabelledClip(video, label, captions.get(video, ""), captions.get(video, "")) for video, label in actions.items()
    ]
    if not rows:
        raise PipelineError(f"{corpus.manifest.path}: no video has an action; label_clips needs classes")
    counts = Counter({"clips_without_label": sum(row.video not in actions for row in corpus.videos)})
    return _collect(rows, corpus.labels, group_of, counts)


def _collect(
    rows: Iterable[LabelledClip], classes: Sequence[str] | None, group_of: Mapping[str, str], counts: Counter[str]
) -> ClipLabels:
    """Sort the rows, check that every class has a group if any has, and count clips and classes."""
    clips = sorted(rows, key=lambda row: row.video)
    present = {row.label for row in clips}
    labels = list(classes) if classes is not None else sorted(present)
    ungrouped = [label for label in labels if label not in group_of] if group_of else []
    if ungrouped:
        raise PipelineError(f"label_clips.groups: class {ungrouped[0]!r} has no group")
    counts["clips"], counts["classes"] = len(clips), len(labels)
    counts["classes_without_clips"] = sum(label not in present for label in labels)
    return ClipLabels(clips, labels, {label: group_of[label] for label in labels} if group_of else {}, counts)
