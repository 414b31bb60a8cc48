"""MSR-VTT's `videodatainfo.json`: clips with categories, about 20 captions each (Xu et al., CVPR 2016).

The official files of 2016 are train_val_videodatainfo.json (6,513 clips `train`, 497 `validate`) and
test_videodatainfo.json (2,990 `test`); users also have one merged file. Those of the challenge of 2017 are
videodatainfo_2017.json (the 10,000 clips of 2016) and test_videodatainfo_2017.json (3,000 further clips).
"""

from pathlib import Path
from typing import Any

from pipeline.config.readers import MsrvttSettings
from pipeline.datasets.annotations import CaptionedClip, check_duration, check_times
from pipeline.datasets.clip_text import clean_msrvtt
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

SUBSETS = {"train": "training", "validate": "validation", "test": "testing"}
CATEGORIES = (
    "music",
    "people",
    "gaming",
    "sports/actions",
    "news/events/politics",
    "education",
    "tv shows",
    "movie/comedy",
    "animation",
    "vehicles/autos",
    "how-to",
    "travel",
    "science/technology",
    "animals/pets",
    "kids/family",
    "documentary",
    "food/drink",
    "cooking",
    "beauty/fashion",
    "advertisement",
)
"""Names of MSR-VTT's categories by their number in the files."""


def read_msrvtt(path: Path, settings: MsrvttSettings) -> dict[str, CaptionedClip]:
    """Read the clips by id with their captions, sorted by `sen_id`.

    A clip without captions is kept, without captions.

    Raises:
        PipelineError: the file is malformed, a clip is listed twice, a caption is of a clip that is not listed, or a
            category or split is unknown; names the file and the clip or the sentence.
    """
    data = read_json(path, "captions of clips")
    if not isinstance(data, dict) or not isinstance(data.get("videos"), list):
        raise PipelineError(f"{path}: expected MSR-VTT's JSON with the lists `videos` and `sentences`")
    sentences = data.get("sentences", [])
    if not isinstance(sentences, list):
        raise PipelineError(f"{path}: `sentences` is not a list")
    clips: dict[str, CaptionedClip] = {}
    for index, video in enumerate(data["videos"]):
        clip = _check_clip_id(path, f"videos[{index}]", video)
        if clip in clips:
            raise PipelineError(f"{path}: clip {clip} is listed twice in `videos`; keep one")
        clips[clip] = _parse_clip(path, clip, video)
    captions = _group_captions(path, sentences, clips, clean=settings.clean)
    return {
        clip: CaptionedClip(tuple(captions[clip]), entry.duration, entry.subset, entry.category)
        for clip, entry in clips.items()
    }


def _check_clip_id(path: Path, where: str, entry: Any) -> str:
    if not isinstance(entry, dict) or "video_id" not in entry:
        raise PipelineError(f"{path}: {where} has no `video_id`")
    return check_id(entry["video_id"], path)


def _parse_clip(path: Path, clip: str, entry: dict[str, Any]) -> CaptionedClip:
    """Return a clip without its captions."""
    split = entry.get("split")
    if split is not None and split not in SUBSETS:
        raise PipelineError(f"{path}: video {clip}: split {split!r} is none of {', '.join(SUBSETS)}")
    duration = None
    if "start time" in entry or "end time" in entry:
        start, end = check_times([entry.get("start time"), entry.get("end time")], path, clip, 0)
        duration = check_duration(end - start, path, clip)
    subset = None if split is None else SUBSETS[split]
    return CaptionedClip((), duration, subset, _parse_category(path, clip, entry.get("category")))


def _parse_category(path: Path, clip: str, category: Any) -> str | None:
    """Return the name of a category, which files give by its number; other data sets may give the name."""
    if category is None or (isinstance(category, str) and category):
        return category
    if isinstance(category, bool) or not isinstance(category, int) or not 0 <= category < len(CATEGORIES):
        raise PipelineError(
            f"{path}: video {clip}: category {category!r} is neither a number from 0 to {len(CATEGORIES) - 1} "
            "nor a name"
        )
    return CATEGORIES[category]


def _group_captions(
    path: Path, sentences: list[Any], clips: dict[str, CaptionedClip], *, clean: bool
) -> dict[str, list[str]]:
    """Return the captions of each clip, in the order of their `sen_id`."""
    captions: dict[str, list[str]] = {clip: [] for clip in clips}
    rows: list[tuple[int, str, str]] = []
    for index, sentence in enumerate(sentences):
        clip = _check_clip_id(path, f"sentences[{index}]", sentence)
        if clip not in captions:
            raise PipelineError(f"{path}: sentences[{index}] is of clip {clip}, which `videos` does not list")
        text, number = sentence.get("caption"), sentence.get("sen_id", index)
        if not isinstance(text, str) or not isinstance(number, int):
            raise PipelineError(
                f"{path}: sentences[{index}] of clip {clip}: expected a text `caption`, a number `sen_id`"
            )
        rows.append((number, clip, text))
    for _, clip, text in sorted(rows, key=lambda row: row[0]):
        captions[clip].append(clean_msrvtt(text) if clean else text)
    return captions
