"""The network as the training loop sees it, and its proposals."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.propose_events import Bmn
from pipeline.localization.bmn.losses import losses
from pipeline.localization.bmn.network import BoundaryMatchingNetwork, Said, Widths
from pipeline.localization.bmn.targets import labels, rescale, stack
from pipeline.localization.learner import Clips, Times
from pipeline.localization.nms import Segments, likely_events, proposals, soft_nms
from pipeline.localization.proposals import Proposal
from pipeline.features.cache import Standardise

SIGMA, ABOVE = 0.4, (0.5, 0.9)
"""Of the published soft-NMS."""


class BmnLearner:
    """The boundary-matching network.

    Args:
        config: settings.
        clips: features.
    """

    def __init__(self, config: Bmn, clips: Clips) -> None:
        self.config, self.clips = config, clips
        widths = Widths(config.temporal, config.samples, config.combined, config.confidence)
        self.network = BoundaryMatchingNetwork(clips.dim, config.positions, widths)

    @property
    def standardise(self) -> Standardise:
        """The network's scale of features."""
        return self.network.standardise

    def losses(self, events: Mapping[str, Times]) -> dict[str, Float[Tensor, ""]]:
        """Losses of a batch of videos with these events."""
        said = self.network(self._shown(list(events)))
        device, positions = said.start.device, self.config.positions
        wanted = stack([labels(given, self.clips.duration(video), positions) for video, given in events.items()])
        draws = torch.rand(2, *wanted.overlap.shape)  # on the CPU: the same whatever computes
        found = losses(said, wanted.to(device), draws.to(device))
        return {
            "loss": found.total,
            "loss_boundaries": found.boundaries,
            "loss_overlap": found.overlap,
            "loss_good": found.good,
        }

    @torch.no_grad()
    def propose(self, videos: list[str]) -> list[list[Proposal]]:
        """Proposals of a batch of videos, at least one each, in time order."""
        training = self.network.training
        self.network.eval()
        said = self.network(self._shown(videos))
        self.network.train(training)
        return [self._chosen(*pairs(said, row), self.clips.duration(video)) for row, video in enumerate(videos)]

    def _chosen(self, segments: Segments, scores: Float[np.ndarray, " segments"], duration: float) -> list[Proposal]:
        chosen, kept = soft_nms(segments, scores, sigma=SIGMA, keep=self.config.candidates, above=ABOVE)
        candidates = segments[chosen] * duration
        if self.config.all_candidates:
            return proposals(candidates, kept)
        return likely_events(
            candidates,
            kept,
            sigma=self.config.soft_nms_sigma,
            keep=self.config.max_proposals,
            min_score=self.config.min_score,
        )

    def _shown(self, videos: list[str]) -> Float[Tensor, "videos positions dim"]:
        clips, positions = self.clips, self.config.positions
        shown = [rescale(clips.read(one), clips.centres(one), clips.duration(one), positions) for one in videos]
        return torch.stack(shown).to(next(self.network.parameters()).device)


def pairs(said: Said, row: int) -> tuple[Segments, Float[np.ndarray, " segments"]]:
    """All pairs of a start and a later end of one video, in [0, 1], and their scores.

    A score is the product of the probabilities of start and end and of both confidences. As published, an end is the
    beginning of a position, so that the end of the video is none: the last is one position before it.
    """
    start, end, overlap, good = (
        getattr(said, name)[row].cpu().double().numpy() for name in ("start", "end", "overlap", "good")
    )
    positions = len(start)
    first, last = np.triu_indices(positions - 1)
    scores = start[first] * end[last + 1] * good[first, last] * overlap[first, last]
    return np.stack([first, last + 1], 1) / positions, scores
