"""METEOR and its own jar agree on any text. The jar takes seconds to start: all comparisons share one process."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation_files import write_captions, write_references
from helpers.hard_captions import hard_captions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.evaluate import Evaluate
from pipeline.evaluate import main
from pipeline.evaluation.matching import VideoEvents
from pipeline.evaluation.meteor import JarMeteor, Meteor, Pair, metric
from pipeline.evaluation.paragraphs import score_paragraphs


@pytest.fixture(scope="module")
def jar() -> Iterator[JarMeteor]:
    with JarMeteor(timeout_s=300.0) as running:
        yield running


ODD_TEXTS = ["a ||| man", "a\nman", "a\r\nman", "a\x00man", "a\x0b\x1c man", "a | man", "|||", "a \udcff man"]
ODD_TEXTS += [f"a{sign}man" for sign in "\x01\x1f\x7f\x85\u00a0\u1680\u2003\u2028\u2029\u200b\u3000"]


def test_sanitize_protects_the_line_protocol_and_other_pairs(meteor: Meteor, jar: JarMeteor) -> None:
    pairs = [pair for text in ODD_TEXTS for pair in ((text, "a man"), ("a man", text), ("a man", "a man"))]
    scores_of_pairs = meteor.score(pairs)
    assert scores_of_pairs[2::3] == [1] * len(ODD_TEXTS)
    assert scores_of_pairs[0:15:3] == [1] * 5
    assert jar.score(pairs) == scores_of_pairs


pairs_of_hard_captions = st.lists(st.tuples(hard_captions, hard_captions), min_size=1, max_size=120)


@settings(max_examples=20)
@given(pairs_of_hard_captions)
def test_meteor_statistics_equal_the_jars(meteor: Meteor, jar: JarMeteor, pairs: list[Pair]) -> None:
    np.testing.assert_array_equal(meteor.statistics(pairs), jar.statistics(pairs))


@pytest.mark.parametrize("step", [100, pytest.param(10, marks=pytest.mark.campaign)])
def test_meteor_statistics_equal_the_jars_on_real_sentences(
    meteor: Meteor, jar: JarMeteor, shared: Path, step: int
) -> None:
    lines = (shared / "golden/metrics/ptb_golden.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)[1] for line in lines[::step]]
    # Each with its neighbour, itself, itself backwards, and a paragraph: more words than a machine word has bits.
    pairs = list(zip(sentences, sentences[1:] + sentences[:1], strict=True))
    pairs += [(one, " ".join(reversed(one.split()))) for one in sentences[::4]]
    pairs += [(one, one) for one in sentences[::40]]
    paragraphs = [" ".join(sentences[start : start + 12]) for start in range(0, 240, 12)]
    pairs += list(zip(paragraphs, paragraphs[1:] + paragraphs[:1], strict=True))
    np.testing.assert_array_equal(meteor.statistics(pairs), jar.statistics(pairs))


REFRAIN, SENTENCE = "the man runs and the dog leaps ", "a man is running in front of the dog"


def test_meteor_statistics_equal_the_jars_on_long_captions(meteor: Meteor, jar: JarMeteor) -> None:
    pairs = [(REFRAIN * 40, SENTENCE), (SENTENCE, REFRAIN * 40)]
    np.testing.assert_array_equal(meteor.statistics(pairs), jar.statistics(pairs))


def test_meteor_score_of_several_references_equals_the_jars(meteor: Meteor, jar: JarMeteor) -> None:
    """METEOR's jar takes several references in one line, and keeps the statistics of the best."""
    captions = {"v_a": "a man is riding the dog swims", "v_b": "two dogs play in snow", "v_c": "a child jumps"}
    references = {
        "v_a": ["a man rides horses the dog can t swim", "someone is riding with a dog"],
        "v_b": ["two dogs play in the snow", "dogs"],
        "v_c": ["a woman swims", "children jump up"],
    }
    sides = [{video: sentences[side] for video, sentences in references.items()} for side in (0, 1)]
    events = [
        {video: VideoEvents.from_rows([(0.0, 5.0, sentence)]) for video, sentence in side.items()}
        for side in (captions, *sides)
    ]
    got = score_paragraphs(events[0], events[1:], meteor, Evaluate())
    lines = [
        f"SCORE ||| {' ||| '.join(references[video])} ||| {captions[video]}\n".encode() for video in sorted(references)
    ]
    jar.statistics([("a", "a")])
    assert jar._jar is not None
    statistics = [answer.decode() for answer in jar._jar.exchange(lines, 60.0)]
    (*_, whole) = jar._jar.exchange([f"EVAL ||| {' ||| '.join(statistics)}\n".encode(), *[b""] * len(references)], 60.0)
    assert got["METEOR"] == pytest.approx(float(whole), abs=1e-12)


def test_meteor_backends_give_the_same_scores(tmp_path: Path, jar: JarMeteor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric, "JarMeteor", lambda timeout_s: jar)
    monkeypatch.setattr(jar, "close", lambda: None)  # it stays open for other tests
    annotated = {"v_a": [(0.0, 10.0, "A man rides a horse."), (10.0, 20.0, "It jumps.")], "v_b": [(0.0, 9.0, "Snow.")]}
    captions = {
        "v_a": [(0.0, 10.0, "A woman swims."), (10.0, 20.0, "Two dogs jump.")],
        "v_b": [(0.0, 9.0, "He rides.")],
    }
    references = write_references(tmp_path / "r.json", annotated)
    predictions = write_captions(tmp_path / "p.json", captions)
    inputs = ["captions", "--predictions", str(predictions), "--references", str(references)]
    results = {}
    for backend in ("own", "jar"):
        output = ["--metric-settings.METEOR.backend", backend, "--output", str(tmp_path / f"{backend}.json")]
        assert main([*inputs, *output]) == 0
        results[backend] = json.loads((tmp_path / f"{backend}.json").read_text())
    builtin, by_jar = results["own"], results["jar"]
    changed = {"meteor": "jar", "metric_settings": {"METEOR": {"backend": "jar"}}}
    assert builtin.pop("evaluator") | changed == by_jar.pop("evaluator")
    assert builtin == by_jar
    assert builtin["METEOR"]["mean"] > 0


@pytest.mark.campaign
def test_a_locale_with_decimal_commas_changes_no_score_of_the_jar(
    jar: JarMeteor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("a man runs", "the man is running"), ("two dogs", "a hound")]
    expected = jar.score(pairs)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE -Dfile.encoding=ISO-8859-1")
    with JarMeteor(600.0) as german:
        assert german.score(pairs) == expected


@pytest.mark.campaign
def test_a_killed_jar_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with JarMeteor(timeout_s=300.0) as running, caplog.at_level(logging.WARNING):
        assert running._jar is not None
        running._jar.process.kill()
        assert running.score([("a man runs", "a man runs")]) == [1]
    assert "started once more" in caplog.text
