"""The features and times that a proposer reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.caption_corpus import write_caption_corpus

from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures
from pipeline.localization.proposer import ProposerInputs


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (torch.zeros(8, 5), "features of video v_train0 have 5 channels, those of other videos 6"),
        (torch.full((8, 6), torch.nan), "features of video v_train0 contain NaN or infinity"),
        (torch.full((8, 6), torch.inf), "features of video v_train0 contain NaN or infinity"),
    ],
)
def test_proposer_inputs_reject_features_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: torch.Tensor, expected: str
) -> None:
    inputs = ProposerInputs(FeatureCache(write_caption_corpus(tmp_path, {"train": 1}).open_features(), 1.0))
    monkeypatch.setattr(CombinedFeatures, "read", lambda *_: features.numpy())
    with pytest.raises(PipelineError, match=expected):
        inputs.features("v_train0")


def test_proposer_inputs_give_rows_and_their_times(tmp_path: Path) -> None:
    inputs = ProposerInputs(FeatureCache(write_caption_corpus(tmp_path, {"train": 1}).open_features(), 1.0))
    assert inputs.features("v_train0").shape == (8, inputs.dim)
    assert inputs.duration("v_train0") == 8.0
    np.testing.assert_allclose(inputs.centres("v_train0"), np.arange(8) + 0.5)
