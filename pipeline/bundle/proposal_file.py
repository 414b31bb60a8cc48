"""Proposals of a file for videos outside any corpus: events whose times the user knows."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.localization.external_proposals import FileProposal, read_proposal_file, restrict_to_videos
from pipeline.localization.proposals import Proposal

MAX_LISTED = 3
"""Number of ids that a message names."""


class ProposalFile:
    """The proposals of a file, by video.

    Args:
        path: proposals in ActivityNet's JSON or a table, see `read_proposal_file`.
        videos: ids of the videos; the file may write them with or without `v_`.

    Raises:
        PipelineError: the file is absent or malformed, or names none of the videos.
    """

    def __init__(self, path: Path, videos: Sequence[str]) -> None:
        self.path = path
        self._proposals: dict[str, list[FileProposal]] = {}
        others = set()
        ids = set(videos)
        for name, proposal in read_proposal_file(path, "score"):
            video = name if name in ids else f"v_{name}"
            if video in ids:
                self._proposals.setdefault(video, []).append((video, proposal))
            else:
                others.add(name)
        if not self._proposals:
            raise PipelineError(
                f"{path}: names none of the videos; their ids are file names without suffix ({_list(videos)}), those "
                f"of the file {_list(others)}"
            )
        if others:
            logging.warning("%s: names %d other videos: %s", path, len(others), _list(others))

    def __contains__(self, video: str) -> bool:
        return video in self._proposals

    def of_video(self, video: str, duration: float) -> list[Proposal]:
        """Return the proposals of a video in time order, clipped to it; maybe none. The log says what was changed.

        Args:
            video: id.
            duration: seconds.
        """
        proposals, rejects = restrict_to_videos(self._proposals[video], {video: duration}, self.path.name)
        for reason, count in sorted(Counter(reject.reason for reject in rejects).items()):
            logging.info("%s: video %s: %d x %s", self.path, video, count, reason)
        return proposals.get(video, [])


def _list(names: Sequence[str] | set[str]) -> str:
    more = ", ..." if len(names) > MAX_LISTED else ""
    return ", ".join(sorted(names)[:MAX_LISTED]) + more
