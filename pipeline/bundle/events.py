"""The captioned events of a video, and which proposals become events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.localization.proposals import Proposal


@dataclass(frozen=True, order=True)
class EventCaption:
    """One event of a video and its caption; ordered by time.

    Attributes:
        start: seconds.
        end: seconds.
        sentence: the caption.
        score: score of the proposal; higher for more likely events.
        log_prob: log-probability of the caption's words and its end.
        captioner: name of the captioner whose caption was selected.
    """

    start: float
    end: float
    sentence: str
    score: float
    log_prob: float
    captioner: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any], captioners: Sequence[str]) -> "EventCaption":
        """Return the event of a row of a caption file.

        Args:
            row: the row, with what the selection added.
            captioners: names of the captioners, in the order of the ensemble.
        """
        start, end = row["timestamp"]
        name = captioners[row["selected"]["member"]]
        return cls(start, end, row["sentence"], row["proposal_score"], row["log_prob"], name)


@dataclass(frozen=True)
class EventLimits:
    """Which proposals are captioned.

    Attributes:
        top: at most this many of a video, those with the highest scores; None: as the model says.
        min_score: only proposals of at least this score; None: all.
    """

    top: int | None = None
    min_score: float | None = None

    def select(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals that are captioned, in time order; maybe none."""
        selected = [proposal for proposal in proposals if self.min_score is None or proposal.score >= self.min_score]
        best = sorted(selected, key=lambda proposal: (-proposal.score, proposal))
        return sorted(best[: self.top])


NO_LIMITS = EventLimits()
