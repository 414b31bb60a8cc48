"""ActivityNet's JSON of actions: `{"version", "taxonomy", "database": {id: {"subset", "duration", "annotations"}}}`."""

from pathlib import Path

from pipeline.datasets.annotations import ActionVideo, AnnotatedSegment, check_duration, check_times
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

SUBSETS = ("training", "validation", "testing")


def read_activitynet(path: Path) -> dict[str, ActionVideo]:
    """Read the videos by id (without `v_`, as in the file) with their action segments.

    Raises:
        PipelineError: the file is malformed; names the file, the video and the segment.
    """
    data = read_json(path, "ActivityNet annotations")
    if not isinstance(data, dict) or not isinstance(data.get("database"), dict):
        raise PipelineError(f"{path}: expected ActivityNet's JSON with a `database` of videos")
    return {check_id(video, path): _parse_video(path, video, entry) for video, entry in data["database"].items()}


def _parse_video(path: Path, video: str, entry: object) -> ActionVideo:
    if not isinstance(entry, dict) or not isinstance(entry.get("annotations"), list):
        raise PipelineError(f"{path}: video {video}: expected an object with `annotations`")
    if entry.get("subset") not in SUBSETS:
        raise PipelineError(f"{path}: video {video}: subset {entry.get('subset')!r} is none of {', '.join(SUBSETS)}")
    segments = []
    for index, annotation in enumerate(entry["annotations"]):
        if not isinstance(annotation, dict) or not isinstance(annotation.get("label"), str):
            raise PipelineError(f"{path}: video {video}, segment {index}: expected `segment` and `label`")
        start, end = check_times(annotation.get("segment"), path, video, index)
        segments.append(AnnotatedSegment(start, end, annotation["label"]))
    return ActionVideo(check_duration(entry.get("duration"), path, video), tuple(segments), entry["subset"])
