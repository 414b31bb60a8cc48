"""G-TAD as a localizer of whole videos, and what it shares with the form for windows.

The features of a video are normalised and rescaled to the positions of the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.localizers import GtadNetworkSettings, GtadSettings
from pipeline.features.cache import FeatureNorm
from pipeline.localization.gtad.decoding import score_segments, suppress
from pipeline.localization.gtad.network import GtadNetwork, GtadOutput, GtadSizes
from pipeline.localization.gtad.targets import (
    GtadTargets,
    LossWeights,
    gtad_losses,
    stack_targets,
    video_targets,
)
from pipeline.localization.localizer import Detections, LabelledSegment, LocalizerInputs, ScoreArrays
from pipeline.localization.proposer import ProposerLosses
from pipeline.localization.rescaling import rescale_features


class GtadModel:
    """The network of G-TAD with its optimizer and its losses.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: GtadNetworkSettings, dim: int) -> None:
        self.lr, self.weight_decay = config.lr, config.weight_decay
        self.positions, self.max_duration = config.temporal_scale, config.max_duration
        self.sigma, self.max_detections = config.soft_nms_sigma, config.max_detections
        self.loss_weights = LossWeights(config.reg_weight, config.cls_weight, config.added_count)
        sizes = {field.name: getattr(config, field.name) for field in fields(GtadSizes) if field.name != "positions"}
        self.network = GtadNetwork(dim, GtadSizes(positions=config.temporal_scale, **sizes))

    @property
    def feature_norm(self) -> FeatureNorm:
        """The normalisation of the features."""
        return self.network.feature_norm

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build the optimizer of the network."""
        return torch.optim.Adam(self.network.parameters(), lr=self.lr, weight_decay=self.weight_decay)

    def normalise(self, features: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """Normalise the features of a video, on the device of the network."""
        normalised: Tensor = self.feature_norm(features.to(self.feature_norm.mean.device))
        return normalised

    def compare(
        self, sequences: Sequence[Float[Tensor, "positions dim"]], targets: Sequence[GtadTargets]
    ) -> ProposerLosses:
        """Compute the losses of a batch of sequences; draws from torch's generator."""
        pred = self.network(torch.stack(list(sequences)))
        of_batch = stack_targets(targets)
        draws = torch.rand(2, *of_batch.iou.shape)  # on the CPU: the same numbers on every device
        device = pred.start.device
        losses = gtad_losses(pred, of_batch.to(device), draws.to(device), self.loss_weights.added_count)
        parts = {"boundaries": losses.boundaries, "iou_reg": losses.iou_reg, "iou_cls": losses.iou_cls}
        return ProposerLosses(losses.total(self.loss_weights), parts)

    def predict(self, sequences: Sequence[Float[Tensor, "positions dim"]]) -> dict[str, Float[np.ndarray, "..."]]:
        """Compute the scores of a batch of sequences, each array with a leading axis of the batch."""
        output: GtadOutput = self.network(torch.stack(list(sequences)))
        return {field.name: getattr(output, field.name).double().cpu().numpy() for field in fields(output)}


class GtadLocalizer(GtadModel):
    """G-TAD on whole videos, see `Localizer`. It leaves the classes to a classifier.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: GtadSettings, dim: int, _num_classes: int) -> None:
        super().__init__(config, dim)

    def training_items(
        self, _inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], /
    ) -> list[Any]:
        """Return the videos."""
        return sorted(segments)

    def compute_losses(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], items: Sequence[Any], /
    ) -> ProposerLosses:
        """Compute the losses of a batch of videos."""
        return self.compare(
            [self._sequence(inputs, video) for video in items],
            [self.targets(segments[video], inputs.duration(video)) for video in items],
        )

    @torch.no_grad()
    def score(self, inputs: LocalizerInputs, videos: Sequence[str], /) -> list[ScoreArrays]:
        """Compute the maps of a batch of videos."""
        scores = self.predict([self._sequence(inputs, video) for video in videos])
        return [{name: array[index] for name, array in scores.items()} for index in range(len(videos))]

    def detect(self, inputs: LocalizerInputs, video: str, scores: ScoreArrays, /) -> Detections:
        """Select segments between boundaries by soft-NMS."""
        return self.select(scores, inputs.duration(video))

    def select(self, scores: ScoreArrays, duration: float) -> Detections:
        """Select segments of a video of a duration [s] between boundaries, by soft-NMS."""
        candidates = score_segments(scores["iou_reg"], scores["iou_cls"], scores["start"], scores["end"])
        selected = suppress(candidates, self.sigma, self.max_detections)
        return Detections(selected.segments / self.positions * duration, selected.scores)

    def _sequence(self, inputs: LocalizerInputs, video: str) -> Float[Tensor, "positions dim"]:
        features = self.normalise(inputs.features(video))
        return rescale_features(features, inputs.centres(video), inputs.duration(video), self.positions)

    def targets(self, segments: Sequence[LabelledSegment], duration: float) -> GtadTargets:
        """Compute the targets of a video of a duration [s]."""
        times = np.array([[segment.start, segment.end] for segment in segments], np.float64)
        return video_targets(times / duration * self.positions, self.positions, self.max_duration)
