"""The contract of a localizer: a network that finds actions in untrimmed videos.

A localizer is trained on annotated action segments with their classes. In a video it scores segments. What it scores is
raw arrays at first, so that two localizers with equal arrays can be fused: RGB and flow of P-GCN (Zeng et al., 2019,
section 4.2). Then the first of them turns the arrays into detections. A localizer without classes (G-TAD, BMN) leaves
the classes to a classifier of whole videos, see `pipeline.localization.class_fusion`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn

from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache, FeatureNorm
from pipeline.localization.proposals import Proposal
from pipeline.localization.proposer import ProposerInputs, ProposerLosses

ScoreArrays = Mapping[str, Float[np.ndarray, "..."]]
"""Raw scores of one video by name, as the network gives them."""


class LabelledSegment(NamedTuple):
    """An annotated action.

    Attributes:
        start: seconds.
        end: seconds, after `start`, not after the end of the video.
        label: index of the class.
    """

    start: float
    end: float
    label: int


@dataclass(frozen=True)
class Detections:
    """Scored segments of one video, best first.

    Attributes:
        segments: start and end, seconds, in the video.
        scores: of the segments.
        labels: index of the class of each segment; None if the localizer has no classes.
    """

    segments: Float[np.ndarray, "detections 2"]
    scores: Float[np.ndarray, " detections"]
    labels: Int64[np.ndarray, " detections"] | None = None


class LocalizerInputs(ProposerInputs):
    """What a localizer reads: features of videos and the times of their rows, and for some localizers proposals.

    Args:
        cache: the features.
        proposals: proposals by video; None for localizers that read none.
    """

    def __init__(self, cache: FeatureCache, proposals: Mapping[str, Sequence[Proposal]] | None = None) -> None:
        super().__init__(cache)
        self._proposals = proposals

    def proposals(self, video: str) -> Sequence[Proposal]:
        """Return the proposals of a video, in time order.

        Raises:
            PipelineError: the video has none.
        """
        proposals = (self._proposals or {}).get(video)
        if not proposals:
            raise PipelineError(f"video {video} has no proposals, but the localizer classifies proposals; propose some")
        return proposals


@runtime_checkable
class Localizer(Protocol):
    """A network with its targets, its losses and its detections. The registry of localizers names the implementations.

    An implementation is built with its settings, the number of channels of the features and the number of classes, on
    the CPU. All its random numbers come from torch's global generator, which is seeded in each epoch.
    """

    @property
    def network(self) -> nn.Module:
        """The module that is trained and saved."""

    @property
    def feature_norm(self) -> FeatureNorm | None:
        """The normalisation of the features; it is fitted before training and saved with the network. None: none."""

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the network.

        A group of parameters with a key `lr_factor` gets the learning rate of the epoch times this number.
        """

    def training_items(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], /
    ) -> list[Any]:
        """Return what an epoch goes through once, in shuffled batches: videos, windows of videos, or repeated videos.

        Args:
            inputs: features of the videos.
            segments: the annotated actions of each video, at least one.
        """

    def compute_losses(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], items: Sequence[Any], /
    ) -> ProposerLosses:
        """Compute the losses of a batch.

        Args:
            inputs: features of the videos.
            segments: the annotated actions of all videos.
            items: the batch, some of `training_items`.
        """

    def score(self, inputs: LocalizerInputs, videos: Sequence[str], /) -> list[ScoreArrays]:
        """Compute the raw scores of a batch of videos, without dropout."""

    def detect(self, inputs: LocalizerInputs, video: str, scores: ScoreArrays, /) -> Detections:
        """Turn the raw scores of a video into detections, at most as many as the settings say."""


def fuse_scores(of_localizers: Sequence[ScoreArrays], weights: Sequence[float], video: str) -> ScoreArrays:
    """Compute the weighted mean of the raw scores of several localizers.

    Args:
        of_localizers: raw scores of one video, one for each localizer.
        weights: of the localizers.
        video: id, for the error.

    Raises:
        PipelineError: the localizers score other things: they differ in the names or the shapes of their arrays.
    """
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in of_localizers]
    different = next((shape for shape in shapes if shape != shapes[0]), None)
    if different is not None:
        raise PipelineError(
            f"video {video}: localizers with scores {shapes[0]} and {different} cannot be fused; fuse localizers of "
            "one kind with equal sizes and equal proposals"
        )
    return {
        name: np.average([arrays[name] for arrays in of_localizers], axis=0, weights=weights)
        for name in of_localizers[0]
    }
