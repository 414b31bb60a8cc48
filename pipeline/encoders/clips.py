"""Which clips are looked at: drawn anew for every epoch of training, fixed for validation (TSP's sampling).

All randomness of the data is here: where clips lie, in which order they come, how they are flipped and
cropped. Readers of clips draw nothing, so their number does not change what is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.concept_labels import ConceptLabels
from pipeline.encoders.geometry import central_crop
from pipeline.encoders.segments import Segment


@dataclass(frozen=True)
class Sample:
    """One clip and its labels.

    Attributes:
        video: id.
        first: its first frame, counted at the clip's frame rate.
        action: class, or NO_ACTION.
        concepts: numbers of the concepts it shows; None where no sentence covers its centre.
        top: first row of the crop, in the resized frame, pixels.
        left: first column of the crop.
        flip: whether the clip is mirrored.
    """

    video: str
    first: int
    action: int
    concepts: tuple[int, ...] | None
    top: int
    left: int
    flip: bool


class Sampler:
    """Draws clips from segments.

    Args:
        clip: what a clip is.
        lengths: frames of each video at the clip's frame rate.
        sizes: height and width of each video's frames once they are resized, pixels.
        concepts: labels of the clips.
    """

    def __init__(
        self, clip: Clip, lengths: Mapping[str, int], sizes: Mapping[str, tuple[int, int]], concepts: ConceptLabels
    ) -> None:
        self.clip, self.lengths, self.sizes, self.concepts = clip, lengths, sizes, concepts

    def training(
        self,
        foreground: list[Segment],
        background: list[Segment],
        per_segment: int,
        rng: np.random.Generator,
        *,
        balance: bool = True,
    ) -> list[Sample]:
        """An epoch's clips in their order.

        Balanced, there are as many clips of the background as of the foreground (TSP, section 3.3): background
        segments are gone through as often as that takes, none more than once more than another. Clips of the
        foreground do not depend on what background there is.

        Args:
            foreground: segments of at least a clip's length.
            background: likewise; may be empty.
            per_segment: clips of each segment.
            rng: of the epoch.
            balance: false gives each background segment as many clips as a foreground segment, as TSP's code does.
        """
        of_foreground, of_background, of_order = rng.spawn(3)
        wanted = len(foreground) * per_segment
        chosen = (
            [background[index] for index in _evenly(len(background), wanted, of_background)]
            if balance
            else background * per_segment
        )
        drawn = self._drawn(foreground * per_segment, of_foreground) + self._drawn(chosen, of_background)
        return [drawn[index] for index in of_order.permutation(len(drawn))]

    def _drawn(self, segments: list[Segment], rng: np.random.Generator) -> list[Sample]:
        """A clip of each segment, somewhere in it, with a random crop."""
        count = len(segments)
        ratios = rng.random(count)
        room = np.array([self.sizes[segment.video] for segment in segments]).reshape(count, 2) - self.clip.crop
        tops = rng.integers(0, room[:, 0], endpoint=True)
        lefts = rng.integers(0, room[:, 1], endpoint=True)
        flips = rng.random(count) < 0.5
        return [
            self._sample(segment, float(ratio), int(top), int(left), flip=bool(flip))
            for segment, ratio, top, left, flip in zip(segments, ratios, tops, lefts, flips, strict=True)
        ]

    def validation(self, segments: list[Segment], per_segment: int) -> list[Sample]:
        """Clips at even distances from each segment's start to its end (one: its middle), central crops."""
        ratios = np.linspace(0.0, 1.0, per_segment) if per_segment > 1 else np.array([0.5])
        return [
            self._sample(segment, float(ratio), *central_crop(self.clip, self.sizes[segment.video]), flip=False)
            for segment in segments
            for ratio in ratios
        ]

    def _sample(self, segment: Segment, ratio: float, top: int, left: int, *, flip: bool) -> Sample:
        room = max(0.0, segment.end - segment.start - self.clip.seconds)
        wanted = round((segment.start + ratio * room) * self.clip.fps)
        # Rounding and vague annotations may reach past the end: the clip is shifted inside the video.
        first = max(0, min(wanted, self.lengths[segment.video] - self.clip.frames))
        centre = (first + self.clip.frames / 2) / self.clip.fps
        concepts = self.concepts.at(segment.video, centre)
        return Sample(segment.video, first, segment.action, concepts, top, left, flip)


def _evenly(choices: int, draws: int, rng: np.random.Generator) -> Int64[np.ndarray, "draws"]:
    """Indices below `choices`, in random order, none more than once more than another; none of no choices."""
    if choices == 0:
        return np.zeros(0, dtype=np.int64)
    rounds = [rng.permutation(choices) for _ in range(-(-draws // choices))]
    return np.concatenate([*rounds, np.zeros(0, dtype=np.int64)])[:draws]
