"""BMN (Lin et al., 2019) as a proposer of events."""

from collections.abc import Mapping, Sequence

import torch

from pipeline.config.proposers import BmnSettings
from pipeline.localization.bmn.model import BmnModel, select_pairs, video_scores
from pipeline.localization.nms import Candidates
from pipeline.localization.proposer import EventTimes, ProposerInputs, ProposerLosses


class BmnProposer(BmnModel):
    """BMN as a proposer, see `TrainableProposer`.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: BmnSettings, dim: int) -> None:
        super().__init__(config, dim)

    def compute_losses(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the losses of a batch of videos."""
        return self.compare(inputs, events)

    @torch.no_grad()
    def score_candidates(self, inputs: ProposerInputs, videos: Sequence[str], limit: int, /) -> list[Candidates]:
        """Score all pairs of each video and keep `limit` of them by the published soft-NMS."""
        training = self.network.training
        self.network.eval()
        output = self.predict(inputs, videos)
        self.network.train(training)
        candidates = []
        for index, video in enumerate(videos):
            selected = select_pairs(video_scores(output, index), limit)
            candidates.append(Candidates(selected.segments * inputs.duration(video), selected.scores))
        return candidates
