"""Clip features in memory."""

from pathlib import Path

import numpy as np
import torch
from helpers.caption_corpus import write_small

from pipeline.features.cache import ClipCache, Standardise, batches


def test_batches_are_in_order_and_whole() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


def test_what_fits_is_kept(tmp_path: Path) -> None:
    features = write_small(tmp_path, {"train": 2}).open_features()
    one_video = features.read("v_train0").nbytes * 1e-9
    cache = ClipCache(features, 1.5 * one_video)
    first, second = cache.read("v_train0"), cache.read("v_train1")
    np.testing.assert_array_equal(first.numpy(), features.read("v_train0"))
    assert cache.read("v_train0") is first
    assert cache.read("v_train1") is not second
    assert torch.equal(cache.read("v_train1"), second)


def test_channels_get_mean_0_and_deviation_1() -> None:
    draw = torch.Generator().manual_seed(0)
    videos = [torch.randn(length, 3, generator=draw) * torch.tensor([1e-3, 1.0, 1e3]) + 5 for length in (4, 9)]
    scale = Standardise(3)
    scale.measure(iter(videos))
    found = scale(torch.cat(videos))
    torch.testing.assert_close(found.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std(0, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)


def test_silent_channels_stay_silent() -> None:
    scale = Standardise(2)
    scale.measure([torch.tensor([[7.0, 1.0], [7.0, 2.0]])])
    assert scale(torch.tensor([[7.0, 1.5]])).tolist() == [[0.0, 0.0]]


def test_the_scale_is_saved_with_the_weights() -> None:
    scale, copy = Standardise(2), Standardise(2)
    scale.measure([torch.tensor([[0.0, 1.0], [4.0, 2.0]])])
    copy.load_state_dict(scale.state_dict())
    assert torch.equal(copy(torch.ones(1, 2)), scale(torch.ones(1, 2)))
