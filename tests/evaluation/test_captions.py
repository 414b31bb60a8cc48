"""The evaluation of captions: the official numbers, and the properties of the definition."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.evaluate import Evaluate
from pipeline.errors import PipelineError
from pipeline.evaluation import captions as captions_module
from pipeline.evaluation.captions import GARBAGE, score_captions
from pipeline.evaluation.matching import EventMatcher, EventsByVideo, VideoEvents
from pipeline.evaluation.meteor import Meteor, Pair
from pipeline.evaluation.metric import Metric, MetricContext, PairMetric
from pipeline.evaluation.tokenizer import tokenize

EventReader = Callable[[str], EventsByVideo]

GOLDEN = [
    "small__vs_both__2018",
    "small__vs_both__2021",
    "small_first_3_proposals_2018",
    "val_2_as_prediction__vs_val_1__2021",
]
CAMPAIGN = [
    "bmt_val_1__vs_both__2018",
    "bmt_val_1__vs_val_1_no_missings__2021",
    "bmt_val_2__vs_val_2_no_missings__2021",
    "bmt_perturbed10__vs_both__2018",
    "bmt_val_1__vs_both__2021",
    "bmt_perturbed10__vs_both__2021",
    "val_2_as_prediction__vs_val_1__2018",
]
"""More captions of the same kinds, and the captions of both lists evaluated by the other variant."""


@pytest.mark.parametrize("name", [*GOLDEN, *(pytest.param(name, marks=pytest.mark.campaign) for name in CAMPAIGN)])
def test_score_captions_gives_the_official_numbers(
    name: str,
    shared: Path,
    metrics: dict[str, Metric],
    read_predicted: EventReader,
    read_references: EventReader,
) -> None:
    golden = json.loads((shared / f"golden/dense_captioning/{name}.json").read_text())
    settings = Evaluate(
        variant="2018" if "2018" in golden["evaluator"] else "2021",
        tious=golden["tious"],
        max_proposals=golden["ppv"],
        bootstrap=0,
        workers=2,
    )
    references = [read_references(path) for path, _ in golden["refs"]]
    official = {metric: metrics[metric] for metric in ("METEOR", "CIDEr", "Bleu", "ROUGE_L")}
    got = score_captions(read_predicted(golden["pred"]), references, settings, official).summary()
    for metric in golden["scores"]:
        assert list(got[metric]) == [*map(str, golden["tious"]), "mean"]
        expected = [*golden["scores"][metric], golden["avg"][metric]]
        np.testing.assert_allclose(list(got[metric].values()), expected, rtol=0, atol=1e-9)
    assert got["n_videos"] == golden["n_gt_videos"]
    assert got["n_predicted_videos"] == golden["n_pred_videos"]
    assert got["n_captions"] == golden["n_pred_captions"]


def test_every_golden_file_is_compared(shared: Path) -> None:
    files = {path.stem for path in (shared / "golden/dense_captioning").glob("*_20*.json")}
    assert files == {*GOLDEN, *CAMPAIGN}


@pytest.mark.parametrize("name", ["val2_vs_val1", "val1first2_vs_both", "val2_vs_val1_max2"])
def test_precision_and_recall_are_the_official_numbers(
    name: str, shared: Path, read_predicted: EventReader, read_references: EventReader
) -> None:
    folder = "golden/localization"
    golden = json.loads((shared / folder / "caption_events.json").read_text())[name]
    references = [read_references(f"{folder}/{path}") for path in golden["refs"]]
    settings = Evaluate(max_proposals=golden["max_proposals"])
    got = score_captions(read_predicted(f"{folder}/{golden['pred']}"), references, settings, {}).summary()
    for metric, mean in (("Precision", "avg_P"), ("Recall", "avg_R")):
        expected = [*golden[metric], golden[mean]]
        np.testing.assert_allclose(list(got[metric].values()), expected, rtol=0, atol=1e-12)
    assert got["F1"] == pytest.approx(golden["F1_of_averages"], abs=1e-12)


# Properties, with stand-ins for Java: the tokenizer only lower-cases, and the metric is the share of common words.


class CommonWords(PairMetric):
    """Dice coefficient of the words of the pairs of a document."""

    def score(self, documents: Sequence[Sequence[Pair]]) -> dict[str, np.ndarray]:
        return {"METEOR": np.array([self._dice(document) for document in documents], np.float64)}

    def _dice(self, document: Sequence[Pair]) -> float:
        sides = [(set(caption.split()), set(reference.split())) for caption, reference in document]
        return sum(2 * len(a & b) for a, b in sides) / max(1, sum(len(a) + len(b) for a, b in sides))


def score_quickly(
    predictions: Mapping[str, VideoEvents], references: Sequence[Mapping[str, VideoEvents]], **settings: Any
) -> dict[str, Any]:
    def lower_case(documents: Sequence[Sequence[str]], timeout_s: float) -> list[list[str]]:
        return [[sentence.lower() for sentence in document] for document in documents]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captions_module, "tokenize_documents", lower_case)
        section = Evaluate(bootstrap=0, **settings)
        metrics = {"METEOR": CommonWords(MetricContext(section))}
        return score_captions(predictions, references, section, metrics).summary()


def pair_up(
    captions: VideoEvents, references: Sequence[VideoEvents], threshold: float, garbage: str
) -> list[tuple[str, str]]:
    (document,) = EventMatcher([captions], [references], threshold).pair_documents(threshold, garbage)
    return list(document)


def precision_recall(captions: VideoEvents, references: Sequence[VideoEvents], threshold: float) -> tuple[float, float]:
    precision, recall = EventMatcher([captions], [references], threshold).precision_recall(threshold)
    return float(precision[0]), float(recall[0])


seconds = st.integers(0, 40).map(lambda quarter: quarter / 4)
segments = st.tuples(seconds, seconds).map(lambda pair: (min(pair), max(pair)))
sentences = st.sampled_from(["a man runs", "a man", "the dog runs home", "home", ""])
captioned = st.builds(lambda segment, sentence: (*segment, sentence), segments, sentences)
ids = st.sampled_from([f"v_{letter}" for letter in "abcd"])
predicted = st.dictionaries(ids, st.lists(captioned, max_size=4))
annotated = st.dictionaries(ids, st.lists(captioned, min_size=1, max_size=4), min_size=1)
both = st.lists(annotated, min_size=1, max_size=2)

Plain = dict[str, list[tuple[float, float, str]]]


def events(plain: Plain) -> dict[str, VideoEvents]:
    return {video: VideoEvents.from_rows(rows) for video, rows in plain.items()}


@given(predicted, both, st.randoms(use_true_random=False), st.sampled_from(["2018", "2021"]))
def test_score_captions_ignores_the_order_of_files_videos_and_events(
    predictions: Plain, references: list[Plain], random: Any, variant: str
) -> None:
    def shuffled(plain: Plain) -> Plain:
        return {
            video: random.sample(plain[video], len(plain[video])) for video in random.sample(list(plain), len(plain))
        }

    before = score_quickly(events(predictions), [events(reference) for reference in references], variant=variant)
    again = [events(shuffled(reference)) for reference in random.sample(references, len(references))]
    assert score_quickly(events(shuffled(predictions)), again, variant=variant) == before


@given(predicted, both)
def test_scores_are_fractions_that_fall_with_the_threshold(predictions: Plain, references: list[Plain]) -> None:
    got = score_quickly(events(predictions), [events(reference) for reference in references], tious=[0.1, 0.5, 0.9])
    for metric in ("METEOR", "Precision", "Recall"):
        assert all(0 <= value <= 1 for value in got[metric].values())
    assert 0 <= got["F1"] <= max(got["Precision"]["mean"], got["Recall"]["mean"]) + 1e-12
    for metric in ("Precision", "Recall"):
        assert got[metric]["0.1"] >= got[metric]["0.5"] >= got[metric]["0.9"]


@given(predicted, both)
def test_an_empty_list_is_a_video_without_captions(predictions: Plain, references: list[Plain]) -> None:
    reference_sets = [events(reference) for reference in references]
    absent = {video: rows for video, rows in predictions.items() if rows}
    empty: Plain = {video: [] for reference in references for video in reference}
    assert score_quickly(events(absent), reference_sets) == score_quickly(events(empty | absent), reference_sets)


@given(predicted, both)
def test_score_captions_counts_and_ignores_unknown_videos(predictions: Plain, references: list[Plain]) -> None:
    reference_sets = [events(reference) for reference in references]
    unknown = {"v_unknown": [(0.0, 5.0, "a man runs")]}
    before, after = (
        score_quickly(events(predictions), reference_sets),
        score_quickly(events(predictions | unknown), reference_sets),
    )
    assert after.pop("n_unknown_videos") == before.pop("n_unknown_videos") + 1
    assert after == before


@given(predicted, both, st.integers(1, 4))
def test_captions_beyond_max_proposals_are_ignored_and_counted(
    predictions: Plain, references: list[Plain], limit: int
) -> None:
    reference_sets = [events(reference) for reference in references]
    cut = {video: rows[:limit] for video, rows in predictions.items()}
    before, after = (
        score_quickly(events(predictions), reference_sets, max_proposals=limit),
        score_quickly(events(cut), reference_sets),
    )
    known_videos = set().union(*references)
    num_ignored = sum(max(0, len(rows) - limit) for video, rows in predictions.items() if video in known_videos)
    assert (before.pop("n_ignored_captions"), after.pop("n_ignored_captions")) == (num_ignored, 0)
    assert before == after


@given(st.dictionaries(ids, st.lists(sentences.filter(bool), min_size=1, max_size=4), min_size=1))
def test_captions_of_an_annotator_score_1(texts_of: dict[str, list[str]]) -> None:
    plain = {video: [(3.0 * i, 3.0 * i + 2, text) for i, text in enumerate(texts)] for video, texts in texts_of.items()}
    got = score_quickly(events(plain), [events(plain)])
    assert got["METEOR"]["mean"] == got["Precision"]["mean"] == got["Recall"]["mean"] == got["F1"] == 1


# Cases by hand.


def test_pair_documents_has_every_overlapping_reference_of_every_annotator() -> None:
    captions = VideoEvents.from_rows([(0.0, 10.0, "one"), (50.0, 60.0, "two")])
    references = [
        VideoEvents.from_rows([(0.0, 10.0, "a"), (1.0, 10.0, "b"), (30.0, 40.0, "c")]),
        VideoEvents.from_rows([(0.0, 9.0, "d")]),
    ]
    assert pair_up(captions, references, 0.5, "garbage") == [
        ("one", "a"),
        ("one", "b"),
        ("one", "d"),
        ("two", "garbage"),
    ]


def test_pair_documents_needs_the_threshold_and_precision_recall_more() -> None:
    captions, reference = (
        VideoEvents.from_rows([(0.0, 1e9, "x")]),
        VideoEvents.from_rows([(0.0, 5e8, "y")]),
    )  # so long that 1e-8 is nothing
    assert pair_up(captions, [reference], 0.5, "garbage") == [("x", "y")]
    assert precision_recall(captions, [reference], 0.5) == (0, 0)
    assert precision_recall(captions, [reference], 0.49) == (1, 1)


def test_precision_recall_takes_the_best_annotator_for_each() -> None:
    captions = VideoEvents.from_rows([(0.0, 10.0, ""), (10.0, 20.0, ""), (90.0, 99.0, "")])
    first = VideoEvents.from_rows([(0.0, 10.0, ""), (10.0, 20.0, ""), (40.0, 50.0, ""), (60.0, 70.0, "")])
    second = VideoEvents.from_rows([(0.0, 10.0, "")])
    assert precision_recall(captions, [first, second], 0.5) == (2 / 3, 1)


def test_a_video_without_captions_scores_0() -> None:
    reference = events({"v_a": [(0.0, 1.0, "a man")], "v_b": [(0.0, 1.0, "a man")]})
    got = score_quickly(events({"v_a": [(0.0, 1.0, "a man")]}), [reference])
    assert got["METEOR"]["mean"] == got["Precision"]["mean"] == got["Recall"]["mean"] == 0.5
    assert (got["n_videos"], got["n_predicted_videos"], got["n_captions"]) == (2, 1, 1)


def test_no_captions_at_all_score_0() -> None:
    got = score_quickly({}, [events({"v_a": [(0.0, 1.0, "a man")]})])
    assert got["METEOR"]["mean"] == got["F1"] == got["n_captions"] == 0


@pytest.mark.parametrize(
    ("captions", "count"),
    [
        ({"v_a": [(0.0, 1.0, "a man")]}, "4 of 4"),
        ({"v_a": [(0.0, 0.6, "a man")]}, "2 of 2"),  # paired with garbage at 0.7 and 0.9: no note is needed there
        ({"v_a": [(0.0, 1.0, "a man")], "v_b": [(0.0, 1.0, "a dog")]}, "4 of 8"),
        ({"v_b": [(0.0, 1.0, "a dog")]}, None),
        ({"v_a": [(5.0, 9.0, "a man")]}, None),
        ({}, None),
    ],
)
def test_a_note_counts_where_cider_is_0_because_a_video_has_one_pair(
    metrics: dict[str, Metric], captions: Mapping[str, list[tuple[float, float, str]]], count: str | None
) -> None:
    reference = events({"v_a": [(0.0, 1.0, "a man")], "v_b": [(0.0, 1.0, "a dog"), (0.0, 1.0, "a brown dog")]})
    settings = Evaluate(tious=[0.3, 0.5, 0.7, 0.9], bootstrap=0)
    scores = score_captions(events(captions), [reference], settings, {"CIDEr": metrics["CIDEr"]})
    notes = scores.summary().get("notes", [])
    assert [note for note in notes if "CIDEr is 0" not in note] == []
    assert len(notes) == (count is not None)
    assert all(f"{count} cases" in note for note in notes)
    if notes:
        assert scores.per_video()["CIDEr"][0] == 0


def test_no_note_on_cider_without_cider(metrics: dict[str, Metric]) -> None:
    reference = events({"v_a": [(0.0, 1.0, "a man")]})
    scores = score_captions(reference, [reference], Evaluate(bootstrap=0), {"Bleu": metrics["Bleu"]})
    assert "notes" not in scores.summary()


def test_score_captions_refuses_empty_references() -> None:
    with pytest.raises(PipelineError, match="no reference videos"):
        score_quickly({}, [{}])


def test_score_captions_refuses_a_reference_video_without_events() -> None:
    with pytest.raises(PipelineError, match="video v_a has no events"):
        score_quickly({}, [events({"v_a": [(0.0, 1.0, "x")]}), events({"v_a": []})])


def test_unknown_videos_are_counted_and_the_first_three_named(caplog: pytest.LogCaptureFixture) -> None:
    unknown = {f"v_{number}": VideoEvents.from_rows([]) for number in range(5)}
    with caplog.at_level(logging.WARNING):
        assert score_quickly(unknown, [events({"v_a": [(0.0, 1.0, "x")]})])["n_unknown_videos"] == 5
    assert "v_0, v_1, v_2, ..." in caplog.text
    assert "v_3" not in caplog.text


def test_garbage_has_four_words_or_one_and_matches_nothing(meteor: Meteor) -> None:
    old, new = tokenize([GARBAGE["2018"], GARBAGE["2021"]])
    statistics = meteor.statistics([("a man", old), ("a man", new)])
    assert statistics[:, 1].tolist() == [4, 1]
    assert statistics[:, 4:].sum() == 0
    assert 10 <= len(new) <= 20
