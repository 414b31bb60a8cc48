"""BMN as a localizer: the network, the targets and the losses of the proposer, on action segments."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.config.localizers import BmnLocalizerSettings
from pipeline.features.cache import FeatureNorm
from pipeline.localization.bmn.model import BmnModel, select_pairs, video_scores
from pipeline.localization.localizer import Detections, LabelledSegment, LocalizerInputs, ScoreArrays
from pipeline.localization.proposer import ProposerLosses


class BmnLocalizer(BmnModel):
    """BMN on action segments, see `Localizer`. It leaves the classes to a classifier.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: BmnLocalizerSettings, dim: int, _num_classes: int) -> None:
        super().__init__(config, dim)
        self.lr, self.weight_decay, self.max_detections = config.lr, config.weight_decay, config.max_detections

    @property
    def feature_norm(self) -> FeatureNorm:
        """The normalisation of the features."""
        return self.network.feature_norm

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the network."""
        return torch.optim.Adam(self.network.parameters(), lr=self.lr, weight_decay=self.weight_decay)

    def training_items(
        self, _inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], /
    ) -> list[str]:
        """Return the videos."""
        return sorted(segments)

    def compute_losses(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], items: Sequence[Any], /
    ) -> ProposerLosses:
        """Compute the losses of a batch of videos."""
        return self.compare(
            inputs, {video: [(segment.start, segment.end) for segment in segments[video]] for video in items}
        )

    @torch.no_grad()
    def score(self, inputs: LocalizerInputs, videos: Sequence[str], /) -> list[ScoreArrays]:
        """Compute the probabilities of a batch of videos."""
        output = self.predict(inputs, videos)
        return [video_scores(output, index) for index in range(len(videos))]

    def detect(self, inputs: LocalizerInputs, video: str, scores: ScoreArrays, /) -> Detections:
        """Select pairs of a start and an end by the published soft-NMS."""
        selected = select_pairs(scores, self.max_detections)
        return Detections(selected.segments * inputs.duration(video), selected.scores)
