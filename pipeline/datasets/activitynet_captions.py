"""ActivityNet Captions: `{video: {"duration", "timestamps": [[start, end], ...], "sentences": [...]}}`."""

from pathlib import Path

from pipeline.datasets.annotations import Annotated, Segment, check_duration, check_times
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


def read_captions(path: Path) -> dict[str, Annotated]:
    """Videos by id (with `v_`) with their events and sentences.

    Raises:
        PipelineError: malformed; names the file, the video and the event.
    """
    data = read_json(path, "captions")
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected an object of videos, as ActivityNet Captions has it")
    return {check_id(video, path): _video(path, video, entry) for video, entry in data.items()}


def _video(path: Path, video: str, entry: object) -> Annotated:
    if not isinstance(entry, dict):
        raise PipelineError(f"{path}: video {video}: expected duration, timestamps and sentences")
    times, sentences = entry.get("timestamps"), entry.get("sentences")
    if not isinstance(times, list) or not isinstance(sentences, list) or len(times) != len(sentences):
        raise PipelineError(f"{path}: video {video}: expected as many timestamps as sentences")
    segments = []
    for index, (pair, sentence) in enumerate(zip(times, sentences, strict=True)):
        start, end = check_times(pair, path, video, index)
        if not isinstance(sentence, str):
            raise PipelineError(f"{path}: video {video}, event {index}: sentence {sentence!r} is not text")
        segments.append(Segment(start, end, sentence))
    return Annotated(check_duration(entry.get("duration"), path, video), tuple(segments))
