"""Plain files of clips and captions: JSON in the forms that captioning code writes, and tables.

JSON:

- `{"clip": "caption"}` or `{"clip": ["caption", "caption"]}`;
- `{"clip": [{"image_id": "clip", "caption": "caption"}]}`, as reference files of captioning code;
- `[{"image_id": "clip", "caption": "caption"}]`, as COCO's results; the id may also be called `video_id`, `videoID`,
  `video`, `clip` or `id`, and a whole number is an id too;
- `{"annotations": [{"image_id": "clip", "caption": "caption"}]}`, as COCO's references.

A table (CSV or TSV, also Excel's) has a row for each caption: the columns `clip` and `caption`, and perhaps `split`,
`category` and `duration`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.datasets.annotations import CaptionedClip, check_duration
from pipeline.datasets.caption_table import COLUMNS as EVENT_COLUMNS
from pipeline.datasets.caption_table import parse_seconds, read_rows
from pipeline.datasets.video_ids import check_id, strip_video_suffix
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

ID_KEYS = ("image_id", "video_id", "videoID", "video", "clip", "id")
"""Keys of a clip's id in an object of a clip and its caption, the first one first."""
COLUMNS = {
    "clip": ("clip", "clip_id", "image_id", *EVENT_COLUMNS["video"]),
    "caption": EVENT_COLUMNS["caption"],
    "split": ("split", "subset"),
    "category": ("category", "class"),
    "duration": EVENT_COLUMNS["duration"],
}
"""Names that a column may have in the header of a table, the first one first."""
OPTIONAL = {"split", "category", "duration"}
SUBSETS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "validate", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "testing"),
}
"""Subset by the word of a table."""


def read_clip_json(path: Path) -> dict[str, CaptionedClip]:
    """Read the clips of a JSON file by id with their captions, in the order of the file.

    Raises:
        PipelineError: the file is absent or malformed; names the file and the clip or the entry.
    """
    data = read_json(path, "captions of clips")
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        data = data["annotations"]
    captions: dict[str, list[str]] = {}
    for clip, caption in _iter_captions(path, data):
        if clip not in captions:
            captions[check_id(clip, path)] = []
        captions[clip].append(caption)
    if not captions:
        raise PipelineError(f"{path}: has no captions")
    return {clip: CaptionedClip(tuple(of_clip)) for clip, of_clip in captions.items()}


def _iter_captions(path: Path, data: Any) -> Iterator[tuple[str, str]]:
    """Yield each clip with each of its captions."""
    if isinstance(data, list):
        for index, entry in enumerate(data):
            yield _parse_entry(path, f"entry {index}", entry)
    elif isinstance(data, dict) and not ("videos" in data and "sentences" in data):
        for clip, entry in data.items():
            for caption in entry if isinstance(entry, list) else [entry]:
                yield clip, caption if isinstance(caption, str) else _parse_entry(path, f"clip {clip}", caption)[1]
    else:
        raise PipelineError(f"{path}: expected clips and captions; name the reader of another format: msrvtt, vatex")


def _parse_entry(path: Path, where: str, entry: Any) -> tuple[str, str]:
    """Return clip and caption of an object."""
    if isinstance(entry, Mapping) and isinstance(entry.get("caption"), str):
        clip = next((entry[key] for key in ID_KEYS if key in entry), None)
        if isinstance(clip, str) or (isinstance(clip, int) and not isinstance(clip, bool)):
            return str(clip), entry["caption"]
    hint = (
        "; is this a file of VATEX? name the reader: vatex" if isinstance(entry, Mapping) and "enCap" in entry else ""
    )
    raise PipelineError(f"{path}: {where}: expected a text, or an object with `image_id` and a text `caption`{hint}")


def read_clip_table(path: Path) -> dict[str, CaptionedClip]:
    """Read the clips of a table by id with their captions, in the order of the rows.

    Raises:
        PipelineError: the file is absent, not UTF-8, lacks a column, or has a malformed row, or rows of one clip differ
            in split, category or duration (names the line).
    """
    clips: dict[str, CaptionedClip] = {}
    for line, row in read_rows(path, COLUMNS, OPTIONAL):
        clip = check_id(strip_video_suffix(row["clip"].strip()), path)
        entry = _parse_row(path, line, clip, row)
        earlier = clips.get(clip)
        if earlier is not None and (earlier.duration, earlier.subset, earlier.category) != (
            entry.duration,
            entry.subset,
            entry.category,
        ):
            raise PipelineError(f"{path}: line {line}: clip {clip} has another split, category or duration before")
        captions = (*(earlier.captions if earlier else ()), row["caption"])
        clips[clip] = CaptionedClip(captions, entry.duration, entry.subset, entry.category)
    if not clips:
        raise PipelineError(f"{path}: has no row below its header")
    return clips


def _parse_row(path: Path, line: int, clip: str, row: Mapping[str, str]) -> CaptionedClip:
    """Return what a row states of its clip, without the caption."""
    split, seconds = row.get("split", "").strip().lower(), row.get("duration", "").strip()
    if split and split not in SUBSETS:
        raise PipelineError(f"{path}: line {line}: split {split!r} is none of {', '.join(SUBSETS)}")
    duration = check_duration(parse_seconds(path, f"line {line}", seconds), path, clip) if seconds else None
    return CaptionedClip((), duration, SUBSETS.get(split), row.get("category", "").strip() or None)
