"""What a learned proposer is to the loop that trains it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.localization.proposals import Proposal
from pipeline.features.cache import ClipCache, Standardise

Times = Sequence[tuple[float, float]]
"""Start and end of events, seconds."""


class Clips:
    """Clip features of videos, fit to compute with.

    Args:
        cache: where they come from.
    """

    def __init__(self, cache: ClipCache) -> None:
        self._cache = cache
        self.dim = cache.features.dim

    def read(self, video: str) -> Float[Tensor, "clips dim"]:
        """Features of a video.

        Raises:
            PipelineError: they are of another dimension than those of the other videos, or not all numbers.
        """
        clips = self._cache.read(video)
        if clips.shape[1] != self.dim:
            raise PipelineError(
                f"features of video {video} have {clips.shape[1]} channels, those of others {self.dim}; extract all "
                "shards again with the same encoder"
            )
        if not torch.isfinite(clips).all():
            raise PipelineError(f"features of video {video} hold NaN or infinity; extract its shard again")
        return clips

    def centres(self, video: str) -> Float[np.ndarray, " clips"]:
        """Middles of a video's clips, seconds."""
        features = self._cache.features
        return features.grid.centres(features.clips(video))

    def duration(self, video: str) -> float:
        """Of a video, seconds."""
        return self._cache.features.videos[video]


class Learner(Protocol):
    """A network and how it learns and proposes.

    Attributes:
        clips: what it sees.
    """

    clips: Clips

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    @property
    def standardise(self) -> Standardise:
        """The network's scale of features, to be measured before training."""

    def losses(self, events: Mapping[str, Times]) -> dict[str, Float[Tensor, ""]]:
        """Losses of a batch of videos with these events: `loss`, which is minimised, and its parts if it has any."""

    def propose(self, videos: list[str]) -> list[list[Proposal]]:
        """Proposals of a batch of videos, at least one each, in time order."""
