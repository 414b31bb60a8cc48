"""Features that a proposer cannot compute with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.caption_corpus import write_small

from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.localization.learner import Clips
from pipeline.features.cache import ClipCache


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (torch.zeros(8, 5), "features of video v_train0 have 5 channels, those of others 6"),
        (torch.full((8, 6), torch.nan), "features of video v_train0 hold NaN or infinity"),
        (torch.full((8, 6), torch.inf), "features of video v_train0 hold NaN or infinity"),
    ],
)
def test_features_that_do_not_fit_are_told_by_their_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: torch.Tensor, complaint: str
) -> None:
    clips = Clips(ClipCache(write_small(tmp_path, {"train": 1}).open_features(), 1.0))
    monkeypatch.setattr(Features, "read", lambda *_: found.numpy())
    with pytest.raises(PipelineError, match=complaint):
        clips.read("v_train0")


def test_clips_have_their_times(tmp_path: Path) -> None:
    clips = Clips(ClipCache(write_small(tmp_path, {"train": 1}).open_features(), 1.0))
    assert clips.read("v_train0").shape == (8, clips.dim)
    assert clips.duration("v_train0") == 8.0
    np.testing.assert_allclose(clips.centres("v_train0"), np.arange(8) + 0.5)
