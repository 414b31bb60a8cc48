"""The contract of a proposer: what it reads, what it is trained on, and what it proposes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.localization import ProposalSelection
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache, batches
from pipeline.features.streams import FeatureStreams
from pipeline.features.time_grid import ClipGrid
from pipeline.io.progress import Progress
from pipeline.localization.nms import Candidates, select_proposals
from pipeline.localization.proposals import Proposal
from pipeline.provenance.manifest import Manifest

EventTimes = Sequence[tuple[float, float]]
"""Start and end of events, seconds."""


class ProposerInputs:
    """Features of videos and the times of their rows, checked.

    Args:
        cache: the features; of several streams, those of the first.
        streams: the features of each stream, for proposers that read several.

    Attributes:
        dim: channels of the features.
        streams: the inputs of each stream.
    """

    def __init__(self, cache: FeatureCache, streams: Mapping[str, FeatureCache] | None = None) -> None:
        self._cache = cache
        self.dim = cache.features.dim
        self.streams = {name: ProposerInputs(of_stream) for name, of_stream in (streams or {}).items()}

    @property
    def grid(self) -> ClipGrid:
        """The times of the rows."""
        return self._cache.features.grid

    def is_empty(self, video: str) -> bool:
        """Return whether a video has none of the features; a row of zeros stands for them."""
        return video in self._cache.features.empty_videos

    def features(self, video: str) -> Float[Tensor, "rows dim"]:
        """Return the features of a video, on the CPU.

        Raises:
            PipelineError: the features have another number of channels than those of other videos, or are not finite.
        """
        features = self._cache.read(video)
        if features.shape[1] != self.dim:
            raise PipelineError(
                f"features of video {video} have {features.shape[1]} channels, those of other videos {self.dim}; "
                "extract all shards again with the same encoder"
            )
        if not torch.isfinite(features).all():
            raise PipelineError(f"features of video {video} contain NaN or infinity; extract its shard again")
        return features

    def centres(self, video: str) -> Float[np.ndarray, " rows"]:
        """Return the middle of the clip of each feature row, seconds."""
        features = self._cache.features
        return features.grid_of(video).centres(features.num_rows(video))

    def duration(self, video: str) -> float:
        """Return the duration of a video, seconds."""
        return self._cache.features.videos[video]


def open_inputs(features: FeatureStreams, limit_gb: float) -> ProposerInputs:
    """Open the inputs of a proposer.

    Args:
        features: one stream or several.
        limit_gb: memory for cached features [GB].
    """
    caches = {name: FeatureCache(one, limit_gb / len(features.features)) for name, one in features.features.items()}
    return ProposerInputs(next(iter(caches.values())), caches if len(caches) > 1 else None)


@dataclass(frozen=True)
class ProposerLosses:
    """The losses of a batch.

    Attributes:
        total: the loss that is minimised.
        parts: its parts, if any, by name; they are logged.
    """

    total: Float[Tensor, ""]
    parts: Mapping[str, Float[Tensor, ""]]


@runtime_checkable
class TrainableProposer(Protocol):
    """A network with its targets, its losses and its candidates. The registry of proposers names the implementations.

    An implementation is built with its settings and the number of channels of the features (of each stream by name, if
    it reads several), on the CPU.
    """

    @property
    def network(self) -> nn.Module:
        """The module that is trained and saved."""

    def fit(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> None:
        """Fit what is measured on the training videos before the network is trained: the normalisation of features.

        Args:
            inputs: features of the videos.
            events: the events of each training video. What is fitted is saved with the network.
        """

    def compute_losses(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the losses of a batch of videos.

        Args:
            inputs: features of the videos.
            events: the events of each video of the batch.
        """

    def score_candidates(self, inputs: ProposerInputs, videos: Sequence[str], limit: int, /) -> list[Candidates]:
        """Score candidate segments of a batch of videos, at least one for each video, without dropout.

        Args:
            inputs: features of the videos.
            videos: the batch.
            limit: how many candidates per video a proposer keeps that prunes its candidates itself.
        """


@runtime_checkable
class EncoderBorrower(Protocol):
    """A proposer that can take over the encoder of a trained captioner."""

    def load_encoder(self, captioner: Manifest) -> None:
        """Load the encoder, and the normalisation of its features, after `fit`.

        Raises:
            PipelineError: the captioner is of another architecture or size, or reads other features.
        """


def propose(
    proposer: TrainableProposer,
    inputs: ProposerInputs,
    videos: Sequence[str],
    selection: ProposalSelection,
    batch_size: int,
) -> dict[str, list[Proposal]]:
    """Propose events in videos: at least one in each video, in time order.

    Args:
        proposer: the proposer.
        inputs: features of the videos.
        videos: ids.
        selection: how proposals are selected from the candidates.
        batch_size: videos per batch. Padding depends on the batch, so proposals depend on it in the last bits.
    """
    proposals: dict[str, list[Proposal]] = {}
    progress = Progress("videos", len(videos))
    for batch in batches(videos, batch_size):
        candidates = proposer.score_candidates(inputs, batch, selection.candidates)
        proposals |= {
            video: select_proposals(of_video, selection) for video, of_video in zip(batch, candidates, strict=True)
        }
        progress.step(len(batch))
    return proposals
