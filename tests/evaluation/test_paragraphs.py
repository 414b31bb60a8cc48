"""Paragraphs: joined as the protocol says, and scored as the official scorers score a corpus."""

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from pipeline.config.evaluate import Evaluate
from pipeline.errors import PipelineError
from pipeline.evaluation.events import Events
from pipeline.evaluation.meteor import JarMeteor, Meteor
from pipeline.evaluation.paragraphs import paragraph, score_paragraphs

ONE = {
    "v_a": Events.of([(5.0, 9.0, "The dog can't swim!"), (0.0, 5.0, "A man rides 2 horses.")]),
    "v_b": Events.of([(0.0, 5.0, "Two dogs play in the snow")]),
    "v_c": Events.of([(0.0, 5.0, "A woman swims.")]),
}
OTHER = {"v_a": Events.of([(0.0, 9.0, "Someone is riding with a dog.")]), "v_b": Events.of([(0.0, 1.0, "Dogs.")])}
SAID = {
    "v_a": Events.of([(0.0, 5.0, "A man is riding."), (5.0, 9.0, "The dog swims.")]),
    "v_b": Events.of([(0.0, 5.0, "Two dogs play in snow.")]),
    "v_stranger": Events.of([(0.0, 5.0, "Nobody knows.")]),
}


def test_sentences_are_joined_in_time_and_only_letters_stay() -> None:
    assert paragraph(ONE["v_a"]).split() == ["a", "man", "rides", "horses", "the", "dog", "can", "t", "swim"]
    assert paragraph(Events.of([])) == ""


def test_the_official_scorers_give_the_same(meteor: Meteor, jar: JarMeteor) -> None:
    got = score_paragraphs(SAID, [ONE, OTHER], meteor, Evaluate())
    captions = {video: [" ".join(paragraph(SAID.get(video, Events.of([]))).split())] for video in ONE}
    known = {
        video: [" ".join(paragraph(side[video]).split()) for side in (ONE, OTHER) if video in side] for video in ONE
    }
    bleu, _ = Bleu(4).compute_score(known, captions, verbose=0)
    assert [got[f"Bleu_{order}"] for order in range(1, 5)] == pytest.approx(bleu, rel=1e-12)
    assert got["ROUGE_L"] == pytest.approx(Rouge().compute_score(known, captions)[0], rel=1e-12)
    assert got["CIDEr"] == pytest.approx(Cider().compute_score(known, captions)[0], rel=1e-12)
    # METEOR's jar takes several references in one line, and keeps the statistics of the best.
    lines = [f"SCORE ||| {' ||| '.join(known[video])} ||| {captions[video][0]}\n".encode() for video in sorted(known)]
    jar.statistics([("a", "a")])
    assert jar._jar is not None
    statistics = [answer.decode() for answer in jar._jar.ask(lines, 60.0)]
    (*_, whole) = jar._jar.ask([f"EVAL ||| {' ||| '.join(statistics)}\n".encode(), *[b""] * len(known)], 60.0)
    assert got["METEOR"] == pytest.approx(float(whole), abs=1e-12)
    assert (got["n_videos"], got["n_predicted_videos"], got["n_missing_videos"]) == (3, 2, 1)
    assert (got["n_unknown_videos"], got["n_ignored_captions"]) == (1, 0)


def test_captions_beyond_the_limit_are_counted_and_nothing_else(meteor: Meteor) -> None:
    first = {video: events.first(1) for video, events in SAID.items()}
    cut = score_paragraphs(SAID, [ONE], meteor, Evaluate(max_proposals=1))
    assert cut.pop("n_ignored_captions") == 1
    assert cut.items() <= score_paragraphs(first, [ONE], meteor, Evaluate()).items()


def test_references_are_needed_and_hold_events(meteor: Meteor) -> None:
    with pytest.raises(PipelineError, match="no reference videos"):
        score_paragraphs(SAID, [{}], meteor, Evaluate())
    with pytest.raises(PipelineError, match="video v_a has no events"):
        score_paragraphs(SAID, [{"v_a": Events.of([])}], meteor, Evaluate())


def test_what_an_annotator_says_is_perfect(meteor: Meteor) -> None:
    got = score_paragraphs(ONE, [OTHER, ONE], meteor, Evaluate())
    assert got["METEOR"] == 1
    np.testing.assert_allclose([got["Bleu_1"], got["ROUGE_L"]], 1, atol=1e-6)
