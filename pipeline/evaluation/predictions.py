"""Caption files in the challenge's submission format, read with every check that the evaluator relies on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.annotations import is_seconds
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

KEYS = ("version", "results", "external_data")


@dataclass(frozen=True)
class Predictions:
    """A caption file.

    Attributes:
        path: the file.
        results: video -> its captions in the order of the file, each with at least `sentence` and `timestamp`
            ([start, end] in seconds, start <= end).
        version: `version` of the file.
        external_data: `external_data` of the file.
    """

    path: Path
    results: dict[str, list[dict[str, Any]]]
    version: Any
    external_data: Any


def read_predictions(path: Path) -> Predictions:
    """Read a caption file.

    Raises:
        PipelineError: unreadable or malformed; names the file, the video and the index of the caption.
    """
    data = read_json(path, "captions")
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected an object with the keys {', '.join(KEYS)}")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise PipelineError(
            f"{path}: lacks the key {missing[0]!r}; the submission format has {', '.join(KEYS)} "
            "(the first and the last may be empty)"
        )
    if not isinstance(data["results"], dict):
        raise PipelineError(f"{path}: results is not an object of videos")
    for video, captions in data["results"].items():
        if not isinstance(captions, list):
            raise PipelineError(f"{path}: video {video}: expected a list of captions")
        for index, caption in enumerate(captions):
            fault = _find_fault(caption)
            if fault:
                raise PipelineError(f"{path}: video {video}, caption {index}: {fault}")
    return Predictions(path, data["results"], data["version"], data["external_data"])


def _find_fault(caption: Any) -> str | None:
    """Describe what is wrong with one caption; None if nothing is."""
    if not isinstance(caption, dict):
        return f"{caption!r} is not an object with sentence and timestamp"
    if not isinstance(caption.get("sentence"), str):
        return f"sentence {caption.get('sentence')!r} is not text"
    times = caption.get("timestamp")
    if not isinstance(times, list) or len(times) != 2 or not all(is_seconds(time) for time in times):
        return f"timestamp {times!r} is not [start, end], two numbers of seconds"
    if times[0] > times[1]:
        return f"timestamp {times!r} ends before it starts"
    return None
