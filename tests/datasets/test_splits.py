"""Splits and shards depend on the video id only."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.build_corpus import ValidationSplitFractions
from pipeline.datasets.splits import shard_of, unit_hash, validation_split

IDS = [f"v_{number:011d}" for number in range(5000)]


def test_validation_split_follows_the_fractions() -> None:
    counts = Counter(validation_split(video, ValidationSplitFractions()) for video in IDS)
    assert abs(counts["enlarged"] - 4000) < 120
    assert abs(counts["val"] - 500) < 80
    assert abs(counts["test"] - 500) < 80
    assert None not in counts


def test_validation_split_is_none_outside_the_fractions() -> None:
    counts = Counter(validation_split(video, ValidationSplitFractions(enlarged=0, val=0, test=0.1)) for video in IDS)
    assert set(counts) == {None, "test"}


def test_validation_split_keeps_enlarged_videos_with_a_larger_test_fraction() -> None:
    small, large = (
        ValidationSplitFractions(enlarged=0.5, val=0.1, test=0.1),
        ValidationSplitFractions(enlarged=0.5, val=0.1, test=0.4),
    )
    for video in IDS[:500]:
        if validation_split(video, small) == "enlarged":
            assert validation_split(video, large) == "enlarged"


def test_shard_of_is_even_and_independent_of_splits() -> None:
    counts = Counter(shard_of(video, 8) for video in IDS)
    assert min(counts.values()) > 540
    test_counts = Counter(
        shard_of(video, 8) for video in IDS if validation_split(video, ValidationSplitFractions()) == "test"
    )
    assert min(test_counts.values()) > 30


def test_shard_of_is_stable() -> None:
    # Shards must not change: re-encoded videos and features are stored by shard.
    assert [shard_of(video, 64) for video in IDS[:8]] == [48, 34, 20, 6, 2, 37, 28, 60]


@given(st.text(min_size=1), st.integers(1, 9999))
def test_shard_of_is_in_range_for_every_id(video: str, shards: int) -> None:
    assert 0 <= unit_hash(video, "shard") < 1
    assert 0 <= shard_of(video, shards) < shards
