"""Paragraphs: joined by the protocol, and scored as the official scorers score a corpus."""

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from pipeline.config.evaluate import Evaluate
from pipeline.errors import PipelineError
from pipeline.evaluation.matching import VideoEvents
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.paragraphs import join_paragraph, score_paragraphs

FIRST = {
    "v_a": VideoEvents.from_rows([(5.0, 9.0, "The dog can't swim!"), (0.0, 5.0, "A man rides 2 horses.")]),
    "v_b": VideoEvents.from_rows([(0.0, 5.0, "Two dogs play in the snow")]),
    "v_c": VideoEvents.from_rows([(0.0, 5.0, "A woman swims.")]),
}
SECOND = {
    "v_a": VideoEvents.from_rows([(0.0, 9.0, "Someone is riding with a dog.")]),
    "v_b": VideoEvents.from_rows([(0.0, 1.0, "Dogs.")]),
}
CAPTIONS = {
    "v_a": VideoEvents.from_rows([(0.0, 5.0, "A man is riding."), (5.0, 9.0, "The dog swims.")]),
    "v_b": VideoEvents.from_rows([(0.0, 5.0, "Two dogs play in snow.")]),
    "v_unknown": VideoEvents.from_rows([(0.0, 5.0, "Nobody knows.")]),
}


def test_join_paragraph_joins_in_time_order_and_keeps_only_letters() -> None:
    assert join_paragraph(FIRST["v_a"]).split() == ["a", "man", "rides", "horses", "the", "dog", "can", "t", "swim"]
    assert join_paragraph(VideoEvents.from_rows([])) == ""


def test_score_paragraphs_equals_the_official_scorers(meteor: Meteor) -> None:
    got = score_paragraphs(CAPTIONS, [FIRST, SECOND], meteor, Evaluate())
    captions = {
        video: [" ".join(join_paragraph(CAPTIONS.get(video, VideoEvents.from_rows([]))).split())] for video in FIRST
    }
    references = {
        video: [" ".join(join_paragraph(side[video]).split()) for side in (FIRST, SECOND) if video in side]
        for video in FIRST
    }
    bleu, _ = Bleu(4).compute_score(references, captions, verbose=0)
    assert [got[f"Bleu_{order}"] for order in range(1, 5)] == pytest.approx(bleu, rel=1e-12)
    assert got["ROUGE_L"] == pytest.approx(Rouge().compute_score(references, captions)[0], rel=1e-12)
    assert got["CIDEr"] == pytest.approx(Cider().compute_score(references, captions)[0], rel=1e-12)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_missing_videos"]) == (3, 2, 1)
    assert (got["n_unknown_videos"], got["n_ignored_captions"]) == (1, 0)


def test_score_paragraphs_counts_and_ignores_captions_beyond_max_proposals(meteor: Meteor) -> None:
    first = {video: events.truncate(1) for video, events in CAPTIONS.items()}
    cut = score_paragraphs(CAPTIONS, [FIRST], meteor, Evaluate(max_proposals=1))
    assert cut.pop("n_ignored_captions") == 1
    assert cut.items() <= score_paragraphs(first, [FIRST], meteor, Evaluate()).items()


def test_score_paragraphs_refuses_empty_references(meteor: Meteor) -> None:
    with pytest.raises(PipelineError, match="no reference videos"):
        score_paragraphs(CAPTIONS, [{}], meteor, Evaluate())
    with pytest.raises(PipelineError, match="video v_a has no events"):
        score_paragraphs(CAPTIONS, [{"v_a": VideoEvents.from_rows([])}], meteor, Evaluate())


def test_score_paragraphs_of_an_annotator_is_1(meteor: Meteor) -> None:
    got = score_paragraphs(FIRST, [SECOND, FIRST], meteor, Evaluate())
    assert got["METEOR"] == 1
    np.testing.assert_allclose([got["Bleu_1"], got["ROUGE_L"]], 1, atol=1e-6)


def test_score_paragraphs_has_scores_per_video(meteor: Meteor) -> None:
    got = score_paragraphs(CAPTIONS, [FIRST, SECOND], meteor, Evaluate())
    table = got["per_video"]
    assert table["video"] == ["v_a", "v_b", "v_c"]
    assert table["n_captions"] == [2, 1, 0]
    for metric in ("CIDEr", "ROUGE_L"):
        assert np.mean(table[metric]) == pytest.approx(got[metric], abs=1e-12)
    assert table["METEOR"][2] == table["ROUGE_L"][2] == 0
    alone = score_paragraphs(
        {"v_a": CAPTIONS["v_a"]}, [{"v_a": FIRST["v_a"]}, {"v_a": SECOND["v_a"]}], meteor, Evaluate()
    )
    for metric in ("METEOR", "Bleu_1", "Bleu_4"):
        assert table[metric][0] == pytest.approx(alone[metric], abs=1e-12)


@pytest.mark.parametrize(("videos", "num_notes"), [(["v_a"], 1), (["v_a", "v_b"], 0)])
def test_a_note_says_that_cider_of_a_single_video_is_0(meteor: Meteor, videos: list[str], num_notes: int) -> None:
    reference = {video: FIRST[video] for video in videos}
    got = score_paragraphs(reference, [reference], meteor, Evaluate())
    notes = got.get("notes", [])
    assert len(notes) == num_notes
    assert (got["CIDEr"] == 0) == bool(notes)
    assert all("CIDEr is 0" in note and "single video" in note for note in notes)
