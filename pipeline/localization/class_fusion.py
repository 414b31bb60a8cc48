"""Class scores of whole videos, and their fusion with segments that have no class.

G-TAD and BMN (Xu et al., 2020, section 4.1; Lin et al., 2019, section 4.2) find segments without a class. A video-level
classifier names the classes: each of the best classes of a video gets all segments of the video, and the score of a
detection is the score of the segment times the score of the class. Published: the two best classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


@dataclass(frozen=True)
class ClassScores:
    """Class scores of whole videos.

    Attributes:
        path: the file, for errors.
        classes: names of the classes.
        by_video: scores of the classes, by video; any finite numbers, higher for more likely classes.
    """

    path: Path
    classes: tuple[str, ...]
    by_video: Mapping[str, Float[np.ndarray, " classes"]]

    def of_video(self, video: str) -> Float[np.ndarray, " classes"]:
        """Return the scores of a video.

        Raises:
            PipelineError: the file has no scores of this video.
        """
        if video not in self.by_video:
            raise PipelineError(f"{self.path}: has no class scores of video {video}; classify the video, too")
        return self.by_video[video]


@dataclass(frozen=True)
class ClassifiedSegments:
    """Segments of one video with classes, best class first, then in the order of the segments before fusion.

    Attributes:
        segments: start and end, in the unit of the segments before fusion.
        scores: of the segments.
        classes: index of the class of each segment.
    """

    segments: Float[np.ndarray, "detections 2"]
    scores: Float[np.ndarray, " detections"]
    classes: Int64[np.ndarray, " detections"]


def fuse_class_scores(
    segments: Float[np.ndarray, "segments 2"],
    scores: Float[np.ndarray, " segments"],
    class_scores: Float[np.ndarray, " classes"],
    top_classes: int,
) -> ClassifiedSegments:
    """Give all segments of a video to each of its best classes.

    Args:
        segments: start and end.
        scores: of the segments.
        class_scores: of the video.
        top_classes: number of classes that get the segments; all if there are fewer. Equal scores go by class index.

    Returns:
        `top_classes` times as many segments; a score is the product of both scores.
    """
    best = np.argsort(-class_scores, kind="stable")[:top_classes].astype(np.int64)
    return ClassifiedSegments(
        segments=np.tile(segments, (len(best), 1)),
        scores=np.outer(class_scores[best], scores).ravel(),
        classes=np.repeat(best, len(segments)),
    )


def read_class_scores(path: Path) -> ClassScores:
    """Read the class scores that the stage `classify_videos` writes.

    Raises:
        PipelineError: the file is absent or malformed, or scores are not finite; names the video.
    """
    data = read_json(path, "class scores")
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("classes"), list)
        or not isinstance(data.get("scores"), dict)
    ):
        raise PipelineError(f'{path}: expected {{"classes": [...], "scores": {{video: [...]}}}}')
    classes = tuple(map(str, data["classes"]))
    return ClassScores(path, classes, parse_scores(path, data["scores"], len(classes)))


def parse_scores(path: Path, scores: Mapping[str, Any], num_classes: int) -> dict[str, Float[np.ndarray, " classes"]]:
    """Return the scores of each video as an array.

    Args:
        path: the file, for errors.
        scores: a list of numbers by video.
        num_classes: how many numbers a video must have.

    Raises:
        PipelineError: a video has another number of scores, or one that is not a finite number; names the video.
    """
    arrays: dict[str, Float[np.ndarray, " classes"]] = {}
    for video, values in scores.items():
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError):
            raise PipelineError(f"{path}: video {video}: the class scores are not numbers") from None
        if array.shape != (num_classes,):
            raise PipelineError(f"{path}: video {video}: expected {num_classes} class scores, not shape {array.shape}")
        if not np.isfinite(array).all():
            raise PipelineError(f"{path}: video {video}: class score {int(np.isfinite(array).argmin())} is not finite")
        arrays[video] = array
    return arrays
