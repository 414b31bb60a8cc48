"""Whether proposals lie within their videos: what is captioned, or learned from, is there to be seen."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.localization.proposals import Proposal

TOLERANCE_S = 1.0
"""A proposal may end this much after its video: annotators and players round."""


def check_inside(proposals: Mapping[str, Sequence[Proposal]], corpus: Corpus, features: Features, path: Path) -> None:
    """See that proposals lie within their videos, as long as those are measured or annotated to be.

    Annotators saw some videos longer than they are now; their events are captioned from what is left.

    Args:
        proposals: by video, at least one each.
        corpus: says how long videos are, and when events are.
        features: say how long videos are.
        path: where the proposals come from.

    Raises:
        PipelineError: one does not; names the file and the video.
    """
    longest = defaultdict(float, features.videos)
    ends = [(row["video"], row["duration"]) for row in corpus.videos if row["duration"] is not None]
    for video, end in ends + [(row["video"], row["end"]) for row in corpus.captions]:
        longest[video] = max(longest[video], end)
    for video, found in proposals.items():
        last = max(proposal.end for proposal in found)
        if last > longest[video] + TOLERANCE_S:
            raise PipelineError(
                f"{path}: video {video}: a proposal ends at {last:.2f} s, the video at {longest[video]:.2f} "
                "s; are its times in seconds, and of this video?"
            )
