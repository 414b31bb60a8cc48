"""VATEX's JSON: clips of ten seconds with ten English captions (Wang et al., ICCV 2019); the id holds the times.

Each official file is one subset: name it in the configuration (`build_corpus.subsets`).
"""

import re
from pathlib import Path
from typing import Any

from pipeline.config.readers import VatexSettings
from pipeline.datasets.annotations import CaptionedClip
from pipeline.datasets.clip_text import clean_vatex
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

CLIP_ID = re.compile(r"(?P<video>.+)_(?P<start>\d{6})_(?P<end>\d{6})")
"""A video of YouTube, whose id may hold `_` and `-`, and start and end in seconds."""


def read_vatex(path: Path, settings: VatexSettings) -> dict[str, CaptionedClip]:
    """Read the clips by id (`<YouTube id>_<start>_<end>`) with their English captions.

    A clip without `enCap`, as in files of private tests, is kept, without captions.

    Raises:
        PipelineError: the file is malformed, or a clip is listed twice; names the file and the clip.
    """
    entries = read_json(path, "captions of clips")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "videoID" in entry for entry in entries):
        raise PipelineError(f"{path}: expected VATEX's JSON: a list of objects with `videoID` and `enCap`")
    clips: dict[str, CaptionedClip] = {}
    for entry in entries:
        clip = check_id(entry["videoID"], path)
        if clip in clips:
            raise PipelineError(f"{path}: clip {clip} is listed twice; keep one")
        captions = _check_captions(path, clip, entry.get("enCap", []))
        cleaned = tuple(map(clean_vatex, captions)) if settings.clean else tuple(captions)
        clips[clip] = CaptionedClip(cleaned, _parse_duration(path, clip))
    return clips


def _check_captions(path: Path, clip: str, captions: Any) -> list[str]:
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise PipelineError(f"{path}: clip {clip}: enCap is not a list of texts")
    return captions


def _parse_duration(path: Path, clip: str) -> float:
    """Return the duration that the id states, in seconds."""
    match = CLIP_ID.fullmatch(clip)
    duration = float(match["end"]) - float(match["start"]) if match else 0.0
    if duration <= 0:
        raise PipelineError(f"{path}: {clip!r} is no id of VATEX: <YouTube id>_<start>_<end>, times of six digits [s]")
    return duration
