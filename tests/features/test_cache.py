"""Cached and normalised features."""

from pathlib import Path

import numpy as np
import torch
from helpers.caption_corpus import write_caption_corpus

from pipeline.features.cache import FeatureCache, FeatureNorm, batches


def test_batches_keep_the_order_and_all_items() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


def test_feature_cache_keeps_what_fits_into_the_limit(tmp_path: Path) -> None:
    features = write_caption_corpus(tmp_path, {"train": 2}).open_features()
    one_video = features.read("v_train0").nbytes * 1e-9
    cache = FeatureCache(features, 1.5 * one_video)
    first, second = cache.read("v_train0"), cache.read("v_train1")
    np.testing.assert_array_equal(first.numpy(), features.read("v_train0"))
    assert cache.read("v_train0") is first
    assert cache.read("v_train1") is not second
    assert torch.equal(cache.read("v_train1"), second)


def test_feature_norm_gives_mean_0_and_deviation_1() -> None:
    draw = torch.Generator().manual_seed(0)
    videos = [torch.randn(length, 3, generator=draw) * torch.tensor([1e-3, 1.0, 1e3]) + 5 for length in (4, 9)]
    norm = FeatureNorm(3)
    norm.fit(iter(videos))
    normalised = norm(torch.cat(videos))
    torch.testing.assert_close(normalised.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(normalised.std(0, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)


def test_feature_norm_keeps_constant_channels_at_0() -> None:
    norm = FeatureNorm(2)
    norm.fit([torch.tensor([[7.0, 1.0], [7.0, 2.0]])])
    assert norm(torch.tensor([[7.0, 1.5]])).tolist() == [[0.0, 0.0]]


def test_feature_norm_is_saved_with_the_weights() -> None:
    norm, copy = FeatureNorm(2), FeatureNorm(2)
    norm.fit([torch.tensor([[0.0, 1.0], [4.0, 2.0]])])
    copy.load_state_dict(norm.state_dict())
    assert torch.equal(copy(torch.ones(1, 2)), norm(torch.ones(1, 2)))
