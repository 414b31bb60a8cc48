"""G-TAD as a localizer of long videos: it scores overlapping windows of snippets, as published for THUMOS14."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.localizers import GtadWindowsSettings
from pipeline.features.cache import batches
from pipeline.localization.gtad.decoding import score_segments, suppress
from pipeline.localization.gtad.localizer import GtadModel
from pipeline.localization.gtad.targets import GtadTargets, window_targets
from pipeline.localization.gtad.windows import contained_shares, cut_window, window_starts
from pipeline.localization.localizer import Detections, LabelledSegment, LocalizerInputs, ScoreArrays
from pipeline.localization.nms import Candidates
from pipeline.localization.proposer import ProposerLosses
from pipeline.localization.rescaling import interpolate_rows

Window = tuple[str, int]
"""A video, and the first snippet of a window of it."""


class GtadWindowLocalizer(GtadModel):
    """G-TAD on windows, see `Localizer`. It leaves the classes to a classifier.

    Snippet i is at the time i * `snippet_s`. In a window, position i is from half a snippet before to half a snippet
    after it; as published, a detected segment begins and ends at the times of snippets.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: GtadWindowsSettings, dim: int, _num_classes: int) -> None:
        super().__init__(config, dim)
        self.snippet_s = config.snippet_frames / config.fps
        self.stride, self.batch_size = config.window_stride, config.batch_size
        self.min_share, self.max_seconds = config.min_share, config.max_seconds

    def training_items(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], /
    ) -> list[Window]:
        """Return the windows that hold most of an action."""
        windows = []
        for video in sorted(segments):
            for start in self.window_starts(inputs, video):
                actions = self._actions(segments[video], start)
                if contained_shares(actions, 0.0, float(self.positions)).max() > self.min_share:
                    windows.append((video, start))
        return windows

    def compute_losses(
        self, inputs: LocalizerInputs, segments: Mapping[str, Sequence[LabelledSegment]], items: Sequence[Any], /
    ) -> ProposerLosses:
        """Compute the losses of a batch of windows."""
        sequences = [cut_window(self._snippets(inputs, video), start, self.positions) for video, start in items]
        return self.compare(sequences, [self.targets(segments[video], start) for video, start in items])

    @torch.no_grad()
    def score(self, inputs: LocalizerInputs, videos: Sequence[str], /) -> list[ScoreArrays]:
        """Compute the maps of all windows of each video."""
        return [self._score_video(inputs, video) for video in videos]

    def detect(self, inputs: LocalizerInputs, video: str, scores: ScoreArrays, /) -> Detections:
        """Select segments by soft-NMS, in each window, and then of all windows; published scores decay twice, too."""
        of_windows = []
        for index, start in enumerate(self.window_starts(inputs, video)):
            candidates = score_segments(scores["iou_reg"][index], scores["iou_cls"][index])
            of_windows.append(
                self._suppress(Candidates((candidates.segments + start) * self.snippet_s, candidates.scores))
            )
        selected = self._suppress(
            Candidates(
                np.concatenate([candidates.segments for candidates in of_windows]),
                np.concatenate([candidates.scores for candidates in of_windows]),
            )
        )
        segments = np.minimum(selected.segments, inputs.duration(video))
        # Positions after the end of a video that is shorter than a window hold no segment.
        is_inside = segments[:, 0] < segments[:, 1]
        return Detections(segments[is_inside], selected.scores[is_inside])

    def _suppress(self, candidates: Candidates) -> Candidates:
        return suppress(candidates, self.sigma, self.max_detections, self.max_seconds)

    def _score_video(self, inputs: LocalizerInputs, video: str) -> ScoreArrays:
        snippets = self._snippets(inputs, video)
        windows = [cut_window(snippets, start, self.positions) for start in self.window_starts(inputs, video)]
        scores = [self.predict(batch) for batch in batches(windows, self.batch_size)]
        return {name: np.concatenate([of_batch[name] for of_batch in scores]) for name in scores[0]}

    def _num_snippets(self, inputs: LocalizerInputs, video: str) -> int:
        return max(1, int(np.ceil(inputs.duration(video) / self.snippet_s)))

    def window_starts(self, inputs: LocalizerInputs, video: str) -> list[int]:
        """Return the first snippet of each window of a video."""
        return window_starts(self._num_snippets(inputs, video), self.positions, self.stride)

    def _snippets(self, inputs: LocalizerInputs, video: str) -> Float[Tensor, "snippets dim"]:
        times = np.arange(self._num_snippets(inputs, video)) * self.snippet_s
        return interpolate_rows(self.normalise(inputs.features(video)), inputs.centres(video), times)

    def _actions(self, segments: Sequence[LabelledSegment], start: int) -> Float[np.ndarray, "actions 2"]:
        """Return actions in positions of the window that begins at a snippet."""
        times = np.array([[segment.start, segment.end] for segment in segments], np.float64)
        return times / self.snippet_s - start + 0.5

    def targets(self, segments: Sequence[LabelledSegment], start: int) -> GtadTargets:
        """Compute the targets of the window that begins at a snippet."""
        actions = self._actions(segments, start)
        overlaps = (actions[:, 1] > 0) & (actions[:, 0] < self.positions)
        return window_targets(actions[overlaps], self.positions, self.max_duration)
