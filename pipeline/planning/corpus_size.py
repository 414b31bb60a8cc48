"""The size of a dataset, from which the work of its jobs follows."""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.build_corpus import ValidationSplitFractions
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError

SUBSETS = {"train": 10_024, "validation": 4_926, "submission": 5_044}
"""Videos of ActivityNet's official subsets. A size that is stated on the command line is divided like them."""
EVENTS_PER_VIDEO = 3.68
"""Events that one annotator of ActivityNet Captions describes in a video (54,926 in 14,926 videos)."""
SEGMENTS_PER_VIDEO = 1.54
"""Action segments of a video of ActivityNet (23,064 in 14,950 videos)."""


@dataclass(frozen=True)
class CorpusSize:
    """The size of a dataset.

    Attributes:
        videos: split -> number of its videos.
        seconds: duration of all videos [s].
        events_per_video: events of a captioned video, as one annotator describes them.
        segments_per_video: action segments of a video of the training set.
    """

    videos: Mapping[str, float]
    seconds: float
    events_per_video: float
    segments_per_video: float

    @property
    def num_videos(self) -> float:
        """Number of videos of all splits."""
        return sum(self.videos.values())

    def count(self, *splits: str) -> float:
        """Return the number of videos of some splits."""
        return sum(self.videos.get(split, 0.0) for split in splits)

    def __str__(self) -> str:
        return (
            f"{self.num_videos:,.0f} videos of {self.seconds / 3600:,.1f} h in all, {self.events_per_video:.2f} "
            f"captioned events and {self.segments_per_video:.2f} action segments in a video"
        )


def assume_size(videos: int, hours: float, fractions: ValidationSplitFractions) -> CorpusSize:
    """Return the size of a dataset that is divided and annotated like ActivityNet.

    Args:
        videos: number of its videos.
        hours: duration of all of them [h].
        fractions: division of the official validation set.

    Raises:
        PipelineError: a number that is not positive.
    """
    if videos < 1 or not hours > 0:
        raise PipelineError(f"--videos {videos} --hours {hours:g}: expected at least one video, and more than 0 hours")
    subset = {name: videos * count / sum(SUBSETS.values()) for name, count in SUBSETS.items()}
    split = {name: fraction * subset["validation"] for name, fraction in fractions.model_dump().items()}
    split["train"] += subset["train"]
    split["submission"] = subset["submission"]
    return CorpusSize(split, hours * 3600, EVENTS_PER_VIDEO, SEGMENTS_PER_VIDEO)


def measure_size(manifest: Path) -> CorpusSize:
    """Return the size of an existing corpus; a video without an annotated duration counts as the mean.

    Args:
        manifest: the manifest of the corpus.

    Raises:
        PipelineError: no such corpus, or one without any duration.
    """
    if not manifest.is_file():
        raise PipelineError(
            f"{manifest}: does not exist yet, so the size of the dataset is unknown: give --videos and --hours"
        )
    corpus = Corpus.open(manifest)
    videos = [video for video in corpus.videos if video.path is not None]
    durations = [video.duration for video in videos if video.duration is not None]
    if not durations:
        raise PipelineError(f"{manifest}: the annotations state no duration of a video: give --videos and --hours")
    events = [event.video for event in corpus.captions if event.annotator == 1]
    training = {video.video for video in videos if video.split == "train"}
    segments = [segment for segment in corpus.segments if segment.label is not None and segment.video in training]
    return CorpusSize(
        videos=dict(Counter(video.split for video in videos)),
        seconds=statistics.fmean(durations) * len(videos),
        events_per_video=len(events) / max(1, len(set(events))),
        segments_per_video=len(segments) / max(1, len(training)),
    )
