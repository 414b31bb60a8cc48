"""Tests of segments, concept labels and the sampler: clips lie inside their videos, are balanced and reproducible."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.concepts import Concept, read_concepts
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent
from pipeline.encoders.sampling import (
    NO_ACTION,
    ClipSample,
    ClipSampler,
    ConceptLabels,
    RegionSegment,
    action_segments,
    annotated_background,
    background_segments,
    drop_short,
)
from pipeline.errors import PipelineError

CLIP = ClipGeometry()
NUM_FRAMES = {"a": 150, "b": 300}
FOREGROUND = [RegionSegment("a", 1.0, 4.0, 3), RegionSegment("a", 6.0, 8.0, 1), RegionSegment("b", 0.0, 20.0, 0)]
BACKGROUND = [RegionSegment("a", 4.0, 6.0, NO_ACTION), RegionSegment("a", 8.0, 10.0, NO_ACTION)]


def build_sampler(clip: ClipGeometry = CLIP) -> ClipSampler:
    captions = [CaptionedEvent("a", 1, 0.0, 5.0, "A dog runs.")]
    sizes = dict.fromkeys(NUM_FRAMES, (clip.height, clip.width))
    return ClipSampler(clip, NUM_FRAMES, sizes, ConceptLabels(captions, [Concept("dog", ("dog",), "NOUN")]))


def draw_epoch(seed: int = 0, background: list[RegionSegment] = BACKGROUND, per_segment: int = 5) -> list[ClipSample]:
    return build_sampler().draw_training(FOREGROUND, background, per_segment, np.random.default_rng(seed))


def test_draw_training_balances_foreground_and_background() -> None:
    samples = draw_epoch()
    counts = Counter(sample.action for sample in samples)
    assert counts == {3: 5, 1: 5, 0: 5, NO_ACTION: 15}
    gaps = Counter(sample.start_frame >= 8 * 15 for sample in samples if sample.action == NO_ACTION)
    assert sorted(gaps.values()) == [7, 8], "both gaps are used about equally"


def test_draw_training_subsamples_a_large_background() -> None:
    many = [RegionSegment("b", i * 1.2, i * 1.2 + 1.1, NO_ACTION) for i in range(16)]
    samples = [sample for sample in draw_epoch(background=many, per_segment=1) if sample.action == NO_ACTION]
    assert len(samples) == 3
    assert len({sample.start_frame for sample in samples}) == 3


def test_draw_training_gives_the_same_foreground_for_any_background() -> None:
    def foreground(background: list[RegionSegment]) -> set[ClipSample]:
        return {sample for sample in draw_epoch(background=background) if sample.action != NO_ACTION}

    assert foreground(BACKGROUND) == foreground(BACKGROUND[:1]) == foreground([])


def test_draw_training_without_balance_draws_equally_from_all_segments() -> None:
    samples = build_sampler().draw_training(FOREGROUND, BACKGROUND, 5, np.random.default_rng(0), balance=False)
    assert Counter(sample.action for sample in samples) == {3: 5, 1: 5, 0: 5, NO_ACTION: 10}


def test_draw_training_without_background_draws_foreground_only() -> None:
    assert {sample.action for sample in draw_epoch(background=[])} == {0, 1, 3}


def test_draw_training_depends_on_the_seed_alone() -> None:
    assert draw_epoch(1) == draw_epoch(1)
    assert draw_epoch(1) != draw_epoch(2)


def test_draw_training_covers_each_segment() -> None:
    start_frames = [sample.start_frame for seed in range(40) for sample in draw_epoch(seed) if sample.action == 3]
    assert min(start_frames) == 15
    assert max(start_frames) == 60 - 16
    assert len(set(start_frames)) > 25


def test_draw_training_covers_all_crops_and_both_flips() -> None:
    samples = [sample for seed in range(40) for sample in draw_epoch(seed)]
    assert {sample.top for sample in samples} == set(range(128 - 112 + 1))
    assert {sample.left for sample in samples} == set(range(171 - 112 + 1))
    assert 0.45 < sum(sample.flip for sample in samples) / len(samples) < 0.55


def test_crops_lie_inside_the_resized_frame_of_each_video() -> None:
    sampler = ClipSampler(CLIP, NUM_FRAMES, {"a": (227, 128), "b": (128, 227)}, ConceptLabels([], []))
    samples = [
        sample for seed in range(40) for sample in sampler.draw_training(FOREGROUND, [], 5, np.random.default_rng(seed))
    ]
    for video, tops, lefts in (("a", 115, 16), ("b", 16, 115)):
        of_video = [sample for sample in samples if sample.video == video]
        assert max(sample.top for sample in of_video) in range(tops - 3, tops + 1)
        assert max(sample.left for sample in of_video) in range(lefts - 3, lefts + 1)
    centres = {(sample.video, sample.top, sample.left) for sample in sampler.validation_samples(FOREGROUND, 1)}
    assert centres == {("a", 58, 8), ("b", 8, 58)}


def test_samples_have_the_concepts_at_the_centre_of_the_clip() -> None:
    for sample in draw_epoch():
        centre = (sample.start_frame + 8) / 15
        assert sample.concepts == ((0,) if sample.video == "a" and centre <= 5.0 else None)


def test_validation_samples_are_evenly_spaced_with_central_crops() -> None:
    samples = build_sampler().validation_samples(FOREGROUND[:1], 3)
    assert [sample.start_frame for sample in samples] == [15, 30, 44]
    assert {(sample.top, sample.left, sample.flip) for sample in samples} == {(8, 30, False)}
    assert [sample.start_frame for sample in build_sampler().validation_samples(FOREGROUND[:1], 1)] == [30]


@given(start=st.floats(0, 9.9), length=st.floats(0.05, 30), seed=st.integers(0, 2**32))
def test_samples_lie_inside_their_video(start: float, length: float, seed: int) -> None:
    segment = RegionSegment("a", start, start + length, 0)
    samples = build_sampler().draw_training([segment], [], 3, np.random.default_rng(seed))
    for sample in samples + build_sampler().validation_samples([segment], 3):
        assert 0 <= sample.start_frame <= NUM_FRAMES["a"] - CLIP.frames


@pytest.mark.parametrize("frames", [151, 400])
def test_validation_samples_of_a_video_shorter_than_a_clip_start_at_0(frames: int) -> None:
    clip = ClipGeometry(frames=frames)
    assert [sample.start_frame for sample in build_sampler(clip).validation_samples(FOREGROUND[:1], 2)] == [0, 0]


def annotation(video: str, start: float, end: float, label: str | None = "run") -> ActionSegment:
    return ActionSegment(video, start, end, label)


def test_action_segments_are_clipped_to_the_video_and_empty_ones_left_out() -> None:
    annotations = [
        annotation("a", -1.0, 3.0),
        annotation("a", 8.0, 12.0, "jump"),
        annotation("a", 10.0, 12.0),
        annotation("a", 5.0, 5.0),
        annotation("a", 6.0, 4.0),
        annotation("x", 0.0, 9.0),
    ]
    segments = action_segments(annotations, {"a": 10.0}, ["jump", "run"])
    assert segments == [RegionSegment("a", 0.0, 3.0, 1), RegionSegment("a", 8.0, 10.0, 0)]


def test_annotated_background_takes_the_segments_without_label() -> None:
    annotations = [annotation("a", -1.0, 3.0), annotation("a", 8.0, 12.0, None), annotation("x", 0.0, 9.0, None)]
    assert annotated_background(annotations, {"a": 10.0}) == [RegionSegment("a", 8.0, 10.0, NO_ACTION)]
    assert action_segments(annotations, {"a": 10.0}, ["run"]) == [RegionSegment("a", 0.0, 3.0, 0)]


def test_background_segments_are_the_gaps_between_actions() -> None:
    actions = [
        RegionSegment("a", 6.0, 9.0, 0),
        RegionSegment("a", 2.0, 4.0, 1),
        RegionSegment("a", 3.0, 5.0, 0),
        RegionSegment("b", 0.0, 7.0, 0),
    ]
    background = background_segments(actions, {"a": 20.0, "b": 7.5, "c": 9.0}, min_gap=1.0)
    assert background == [
        RegionSegment("a", 0.0, 2.0, NO_ACTION),
        RegionSegment("a", 5.0, 6.0, NO_ACTION),
        RegionSegment("a", 9.0, 20.0, NO_ACTION),
    ]


@given(times=st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 9)), min_size=1), gap=st.floats(0.1, 5))
def test_background_segments_overlap_no_action_and_miss_no_long_gap(
    times: list[tuple[float, float]], gap: float
) -> None:
    actions = [RegionSegment("a", start, start + length, 0) for start, length in times]
    background = background_segments(actions, {"a": 40.0}, gap)
    for segment in background:
        assert segment.end - segment.start >= gap
        assert all(segment.end <= action.start or segment.start >= action.end for action in actions)
    covered = sorted([(segment.start, segment.end) for segment in actions + background])
    reached = 0.0
    for start, end in covered:
        assert start - reached < gap
        reached = max(reached, end)
    assert 40.0 - reached < gap


def test_drop_short_keeps_segments_as_long_as_a_clip() -> None:
    clip = ClipGeometry()
    exact = RegionSegment("a", 0.1, 0.1 + clip.seconds, 0)
    assert drop_short([exact, RegionSegment("a", 0.0, 1.0, 0)], clip.seconds) == [exact]


def test_segments_of_tsps_tables_have_the_published_numbers(shared: Path) -> None:
    """TSP's training table: 15,410 actions of which 179 are shorter than a clip; 15,956 background segments."""
    annotations, durations = [], {}
    table = shared / "data" / "activitynet_tsp" / "activitynet_v1-3_train_tsp_groundtruth.csv"
    with table.open(newline="") as file:
        for line in csv.DictReader(file):
            durations[line["video-name"]] = float(line["video-duration"])
            if line["temporal-region-label"] == "Action":
                annotations.append(annotation(line["video-name"], float(line["t-start"]), float(line["t-end"])))
    assert len(annotations) == 15_410
    config = EncoderEntry()
    actions = action_segments(annotations, durations, ["run"])
    assert len(drop_short(actions, config.clip.seconds)) == 15_410 - 179
    background = background_segments(actions, durations, config.background_gap)
    assert abs(len(background) - 15_956) <= 100, "TSP's rule is not published; this rule differs by at most a hundred"


CONCEPTS = [
    Concept("ball", ("ball", "balls"), "NOUN"),
    Concept("red", ("red",), "ADJ"),
    Concept("bounce", ("bounces", "bouncing"), "VERB"),
]


def caption(sentence: str, start: float, end: float, video: str = "a") -> CaptionedEvent:
    return CaptionedEvent(video, 1, start, end, sentence)


def test_concept_labels_join_the_concepts_of_all_covering_sentences() -> None:
    labels = ConceptLabels(
        [caption("Two BALLS, red.", 0, 4), caption("It bounces.", 3, 6), caption("Balled reds.", 7, 8)], CONCEPTS
    )
    assert labels.at("a", 1.0) == (0, 1)
    assert labels.at("a", 3.5) == (0, 1, 2)
    assert labels.at("a", 6.0) == (2,)
    assert labels.at("a", 7.5) == (), "a sentence without concepts means no concept"
    assert labels.at("a", 6.5) is None, "without a sentence the concepts are unknown"
    assert labels.at("b", 1.0) is None


def test_concept_labels_without_concepts_cover_nothing() -> None:
    assert ConceptLabels([caption("A ball.", 0, 4)], []).at("a", 1.0) is None


def test_read_concepts_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    entries = [{"word": c.word, "pos": c.pos, "count": 3, "idf": 1.0, "forms": list(c.forms)} for c in CONCEPTS]
    path.write_text(json.dumps(entries))
    assert read_concepts(path) == CONCEPTS


def test_read_concepts_without_forms_uses_the_word(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text('[{"word": "ball", "pos": "NOUN", "count": 3, "idf": 1.0}]')
    assert read_concepts(path) == [Concept("ball", ("ball",), "NOUN")]
    labels = ConceptLabels([caption("A ball.", 0, 4), caption("Two balls.", 5, 6)], read_concepts(path))
    assert (labels.at("a", 1.0), labels.at("a", 5.5)) == ((0,), ())


@pytest.mark.parametrize("text", ["[]", "{}", '["ball"]', '[{"word": "ball"}]', '[{"pos": "NOUN"}]', "3"])
def test_read_concepts_refuses_other_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"concepts\.json"):
        read_concepts(path)
