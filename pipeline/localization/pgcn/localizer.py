"""P-GCN as a localizer, see `pipeline.localization.localizer`.

Its times are seconds, so no length counts a last frame. The neighbours of a proposal are drawn anew in each training
item; of a video without annotations they are drawn by a generator that is seeded with the video, so that a video has
the same detections whenever and beside whatever it is localized. The authors' code draws at random there, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.config.localizers import PgcnSettings
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureNorm
from pipeline.localization.localizer import Detections, LabelledSegment, LocalizerInputs, ScoreArrays
from pipeline.localization.pgcn.detection import PgcnDetection, detect_in_video
from pipeline.localization.pgcn.graph import Candidates, neighbour_candidates, sample_all_trees
from pipeline.localization.pgcn.losses import CentreTargets, compute_pgcn_losses
from pipeline.localization.pgcn.network import PgcnNetwork, PgcnScores
from pipeline.localization.pgcn.pooling import ProposalFeatures, RowGrid, extend, pool_proposals
from pipeline.localization.pgcn.pools import (
    FOREGROUND,
    VideoPools,
    build_pools,
    draw_trees,
    label_proposals,
    target_statistics,
)
from pipeline.localization.proposer import ProposerLosses
from pipeline.training.seeds import numpy_generator

CENTRES_PER_PASS = 128
"""Proposals that are scored at once; their 21 nodes take 30 MB for features of 1,024 channels."""

_SEED_BITS = 2**62


@dataclass(frozen=True)
class _TrainingVideo:
    """The pools of a video, and the neighbours of their proposals."""

    pools: VideoPools
    candidates: Candidates


class PgcnLocalizer:
    """P-GCN, see `Localizer`. It classifies proposals.

    Args:
        config: settings.
        dim: channels of the features.
        num_classes: action classes.
    """

    def __init__(self, config: PgcnSettings, dim: int, num_classes: int) -> None:
        self._config = config
        self.network = PgcnNetwork(num_classes, dim)
        self._videos: dict[str, _TrainingVideo] = {}
        self._has_statistics = False

    @property
    def feature_norm(self) -> FeatureNorm:
        """The normalisation of the features."""
        return self.network.feature_norm

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Build SGD: biases learn twice as fast and do not decay."""
        biases = [value for name, value in self.network.named_parameters() if name.endswith("bias")]
        weights = [value for name, value in self.network.named_parameters() if not name.endswith("bias")]
        groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "lr_factor": 2.0, "weight_decay": 0.0}]
        config = self._config
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)

    def training_items(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], /
    ) -> list[Any]:
        """Return each video as often as the settings say; the first call fits the statistics of the targets.

        Raises:
            PipelineError: a video has no proposals.
        """
        videos = sorted(segments)
        for video in videos:
            self._videos[video] = self._pool_video(inputs, video, segments[video])
        if not self._has_statistics:
            mean, std = target_statistics(self._videos[video].pools for video in videos)
            self.network.target_mean.copy_(torch.from_numpy(mean))
            self.network.target_std.copy_(torch.from_numpy(std))
            self._has_statistics = True
        return videos * self._config.repeats

    def compute_losses(
        self, inputs: LocalizerInputs, _segments: Mapping[str, Sequence[LabelledSegment]], items: Sequence[Any], /
    ) -> ProposerLosses:
        """Compute the losses of a batch of videos, eight proposals of each."""
        draws = np.random.default_rng(int(torch.randint(_SEED_BITS, ())))
        activity, completeness, kinds, labels, targets = [], [], [], [], []
        for video in items:
            pools = self._videos[video].pools
            trees = draw_trees(pools, self._videos[video].candidates, draws)
            nodes, positions = np.unique(trees, return_inverse=True)
            features = self._pool_features(inputs, video, pools.segments[nodes])
            rows = torch.from_numpy(positions.reshape(trees.shape)).to(features.activity.device)
            activity.append(features.activity[rows])
            completeness.append(features.completeness[rows])
            centres = trees[:, 0]
            kinds.append(pools.kinds[centres])
            labels.append(pools.labels[centres])
            targets.append(pools.targets[centres])
        scores = self.network(torch.cat(activity), torch.cat(completeness))
        losses = compute_pgcn_losses(scores, self._targets(kinds, labels, targets))
        return ProposerLosses(losses.total, losses._asdict())

    @torch.no_grad()
    def score(self, inputs: LocalizerInputs, videos: Sequence[str], /) -> list[ScoreArrays]:
        """Score the proposals of each video: logits, completeness, and regression that is not standardised."""
        return [self._score_video(inputs, video) for video in videos]

    def detect(self, inputs: LocalizerInputs, video: str, scores: ScoreArrays, /) -> Detections:
        """Select pairs of a proposal and a class by non-maximum suppression, and move their boundaries."""
        return detect_in_video(
            proposal_segments(inputs, video),
            scores["activity"],
            scores["completeness"],
            scores["regression"],
            inputs.duration(video),
            PgcnDetection(self._config.max_pairs, self._config.nms_tiou),
        )

    def _pool_video(self, inputs: LocalizerInputs, video: str, actions: Sequence[LabelledSegment]) -> _TrainingVideo:
        labelled = label_proposals(proposal_segments(inputs, video), actions)
        pools = build_pools(labelled, actions, inputs.duration(video), self._config.pools)
        return _TrainingVideo(pools, neighbour_candidates(pools.segments))

    def _score_video(self, inputs: LocalizerInputs, video: str) -> ScoreArrays:
        segments = proposal_segments(inputs, video)
        draws = numpy_generator("pgcn", self._config.seed, video)
        trees = torch.from_numpy(sample_all_trees(neighbour_candidates(segments), draws))
        features = self._pool_features(inputs, video, segments)
        parts = [
            self.network(features.activity[nodes], features.completeness[nodes])
            for nodes in trees.to(features.activity.device).split(CENTRES_PER_PASS)
        ]
        scores = PgcnScores(*(torch.cat(part) for part in zip(*parts, strict=True)))
        regression = scores.regression * self.network.target_std + self.network.target_mean
        return {
            name: array.double().cpu().numpy()
            for name, array in scores._replace(regression=regression)._asdict().items()
        }

    def _pool_features(
        self, inputs: LocalizerInputs, video: str, segments: Float[np.ndarray, "proposals 2"]
    ) -> ProposalFeatures:
        device = self.feature_norm.mean.device
        rows: Tensor = self.feature_norm(inputs.features(video).to(device))
        return pool_proposals(rows, segments, extend(segments, inputs.duration(video)), row_grid(inputs, video))

    def _targets(
        self,
        kinds: Sequence[Int64[np.ndarray, " centres"]],
        labels: Sequence[Int64[np.ndarray, " centres"]],
        targets: Sequence[Float[np.ndarray, "centres 2"]],
    ) -> CentreTargets:
        device = self.network.target_mean.device
        all_kinds = torch.from_numpy(np.stack(kinds)).to(device)
        raw = torch.from_numpy(np.stack(targets)).float().to(device)
        standardised = (raw - self.network.target_mean) / self.network.target_std
        return CentreTargets(
            kinds=all_kinds,
            labels=torch.from_numpy(np.stack(labels)).to(device),
            regression=torch.where((all_kinds == FOREGROUND)[..., None], standardised, 0.0),
        )


def proposal_segments(inputs: LocalizerInputs, video: str) -> Float[np.ndarray, "proposals 2"]:
    """Return start and end of the proposals of a video, without those of no length [s].

    Raises:
        PipelineError: the video has no proposal with a length.
    """
    segments = np.array([[proposal.start, proposal.end] for proposal in inputs.proposals(video)], np.float64)
    segments = segments[segments[:, 0] < segments[:, 1]]
    if not len(segments):
        raise PipelineError(f"video {video}: all its proposals have zero length; there is nothing to classify")
    return segments


def row_grid(inputs: LocalizerInputs, video: str) -> RowGrid:
    """Return where the rows of a video lie [s]; the clip of the first row starts at 0."""
    centres = inputs.centres(video)
    clip = 2 * float(centres[0])
    return RowGrid(stride=float(centres[1] - centres[0]) if len(centres) > 1 else clip, clip=clip)
