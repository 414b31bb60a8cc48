"""Clips lie inside their videos, are balanced, and are drawn anew but reproducibly."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.clips import Sample, Sampler
from pipeline.encoders.concept_labels import Concept, ConceptLabels
from pipeline.encoders.losses import NO_ACTION
from pipeline.encoders.segments import Segment

CLIP = Clip()
LENGTHS = {"a": 150, "b": 300}
FOREGROUND = [Segment("a", 1.0, 4.0, 3), Segment("a", 6.0, 8.0, 1), Segment("b", 0.0, 20.0, 0)]
BACKGROUND = [Segment("a", 4.0, 6.0, NO_ACTION), Segment("a", 8.0, 10.0, NO_ACTION)]


def sampler(clip: Clip = CLIP) -> Sampler:
    captions = [{"video": "a", "start": 0.0, "end": 5.0, "sentence": "A dog runs."}]
    sizes = dict.fromkeys(LENGTHS, (clip.height, clip.width))
    return Sampler(clip, LENGTHS, sizes, ConceptLabels(captions, [Concept("dog", ("dog",), "NOUN")]))


def epoch(seed: int = 0, background: list[Segment] = BACKGROUND, per_segment: int = 5) -> list[Sample]:
    return sampler().training(FOREGROUND, background, per_segment, np.random.default_rng(seed))


def test_foreground_and_background_are_balanced() -> None:
    samples = epoch()
    counts = Counter(sample.action for sample in samples)
    assert counts == {3: 5, 1: 5, 0: 5, NO_ACTION: 15}
    gaps = Counter(sample.first >= 8 * 15 for sample in samples if sample.action == NO_ACTION)
    assert sorted(gaps.values()) == [7, 8], "both gaps are used alike"


def test_more_background_than_needed_is_subsampled() -> None:
    many = [Segment("b", i * 1.2, i * 1.2 + 1.1, NO_ACTION) for i in range(16)]
    samples = [sample for sample in epoch(background=many, per_segment=1) if sample.action == NO_ACTION]
    assert len(samples) == 3
    assert len({sample.first for sample in samples}) == 3


def test_foreground_clips_do_not_depend_on_the_background() -> None:
    def foreground(background: list[Segment]) -> set[Sample]:
        return {sample for sample in epoch(background=background) if sample.action != NO_ACTION}

    assert foreground(BACKGROUND) == foreground(BACKGROUND[:1]) == foreground([])


def test_unbalanced_every_segment_gives_as_many_clips() -> None:
    samples = sampler().training(FOREGROUND, BACKGROUND, 5, np.random.default_rng(0), balance=False)
    assert Counter(sample.action for sample in samples) == {3: 5, 1: 5, 0: 5, NO_ACTION: 10}


def test_without_background_there_is_foreground_only() -> None:
    assert {sample.action for sample in epoch(background=[])} == {0, 1, 3}


def test_an_epoch_follows_from_its_seed_and_differs_from_the_next() -> None:
    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)


def test_training_clips_lie_anywhere_inside_their_segment() -> None:
    firsts = [sample.first for seed in range(40) for sample in epoch(seed) if sample.action == 3]
    assert min(firsts) == 15
    assert max(firsts) == 60 - 16
    assert len(set(firsts)) > 25


def test_augmentation_covers_its_range() -> None:
    samples = [sample for seed in range(40) for sample in epoch(seed)]
    assert {sample.top for sample in samples} == set(range(128 - 112 + 1))
    assert {sample.left for sample in samples} == set(range(171 - 112 + 1))
    assert 0.45 < sum(sample.flip for sample in samples) / len(samples) < 0.55


def test_crops_lie_inside_each_videos_own_resized_frame() -> None:
    tall_and_wide = Sampler(CLIP, LENGTHS, {"a": (227, 128), "b": (128, 227)}, ConceptLabels([], []))
    drawn = [
        sample
        for seed in range(40)
        for sample in tall_and_wide.training(FOREGROUND, [], 5, np.random.default_rng(seed))
    ]
    for video, tops, lefts in (("a", 115, 16), ("b", 16, 115)):
        of_video = [sample for sample in drawn if sample.video == video]
        assert max(sample.top for sample in of_video) in range(tops - 3, tops + 1)
        assert max(sample.left for sample in of_video) in range(lefts - 3, lefts + 1)
    centres = {(sample.video, sample.top, sample.left) for sample in tall_and_wide.validation(FOREGROUND, 1)}
    assert centres == {("a", 58, 8), ("b", 8, 58)}


def test_concepts_are_those_at_the_centre() -> None:
    for sample in epoch():
        centre = (sample.first + 8) / 15
        assert sample.concepts == ((0,) if sample.video == "a" and centre <= 5.0 else None)


def test_validation_clips_are_even_and_central() -> None:
    samples = sampler().validation(FOREGROUND[:1], 3)
    assert [sample.first for sample in samples] == [15, 30, 44]
    assert {(sample.top, sample.left, sample.flip) for sample in samples} == {(8, 30, False)}
    assert [sample.first for sample in sampler().validation(FOREGROUND[:1], 1)] == [30]


@given(start=st.floats(0, 9.9), length=st.floats(0.05, 30), ratio=st.integers(0, 2**32))
def test_no_clip_reaches_past_its_video(start: float, length: float, ratio: int) -> None:
    segment = Segment("a", start, start + length, 0)
    drawn = sampler().training([segment], [], 3, np.random.default_rng(ratio))
    for sample in drawn + sampler().validation([segment], 3):
        assert 0 <= sample.first <= LENGTHS["a"] - CLIP.frames


@pytest.mark.parametrize("frames", [151, 400])
def test_a_video_shorter_than_a_clip_gives_its_beginning(frames: int) -> None:
    clip = Clip(frames=frames)
    assert [sample.first for sample in sampler(clip).validation(FOREGROUND[:1], 2)] == [0, 0]
