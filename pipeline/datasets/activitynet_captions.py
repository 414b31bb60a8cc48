"""ActivityNet Captions' JSON: `{video: {"duration", "timestamps": [[start, end], ...], "sentences": [...]}}`.

Files that people make by hand often lack the duration; it may be absent or null.
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo, check_duration, check_times
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json


def read_activitynet_captions(path: Path) -> dict[str, CaptionedVideo]:
    """Read the videos by id (with `v_`) with their events.

    Raises:
        PipelineError: the file is malformed; names the file, the video and the event.
    """
    data = read_json(path, "captions")
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected an object of videos, as in ActivityNet Captions")
    return {check_id(video, path): _parse_video(path, video, entry) for video, entry in data.items()}


def write_activitynet_captions(path: Path, videos: Mapping[str, CaptionedVideo]) -> None:
    """Write captioned videos in this format."""
    write_json(
        path,
        {
            video: {
                "duration": entry.duration,
                "timestamps": [[event.start, event.end] for event in entry.events],
                "sentences": [event.text for event in entry.events],
            }
            for video, entry in videos.items()
        },
    )


def _parse_video(path: Path, video: str, entry: object) -> CaptionedVideo:
    if not isinstance(entry, dict):
        raise PipelineError(f"{path}: video {video}: expected duration, timestamps and sentences")
    timestamps, sentences = entry.get("timestamps"), entry.get("sentences")
    if not isinstance(timestamps, list) or not isinstance(sentences, list) or len(timestamps) != len(sentences):
        raise PipelineError(f"{path}: video {video}: expected as many timestamps as sentences")
    events = []
    for index, (times, sentence) in enumerate(zip(timestamps, sentences, strict=True)):
        start, end = check_times(times, path, video, index)
        if not isinstance(sentence, str):
            raise PipelineError(f"{path}: video {video}, event {index}: sentence {sentence!r} is not text")
        events.append(AnnotatedSegment(start, end, sentence))
    duration = entry.get("duration")
    return CaptionedVideo(None if duration is None else check_duration(duration, path, video), tuple(events))
