"""The PTB tokenizer answers as the official evaluator's does."""

import json
import random
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation import tokenizer
from pipeline.evaluation.tokenizer import tokenize, tokenize_documents


def test_tokenize_equals_the_golden_sentences(shared: Path) -> None:
    lines = (shared / "golden/metrics/ptb_golden.jsonl").read_text(encoding="utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    assert len(golden) == 70991
    got = tokenize([sentence for sentence, _ in golden])
    wrong = [
        (sentence, tokens, result) for (sentence, tokens), result in zip(golden, got, strict=True) if tokens != result
    ]
    assert wrong == []


def test_tokenize_drops_punctuation_and_replaces_other_characters() -> None:
    assert tokenize(
        [
            "A man, who's 5'2\" tall; walks -- slowly...",
            "He shouts \u201cHey\u201d, na\u00efvely (twice).",
            "one\ntwo\r\nthree\x0bfour\x0cfive\u2028six\tseven\x00eight",
            "",
            " .\n",
            "50% of A&B @ #1 $3",
        ]
    ) == [
        "a man who 's 5 2 tall walks slowly",
        "he shouts hey na vely -lrb- twice -rrb-",
        "one two three four five six seven eight",
        "",
        "",
        "50 % of a&b @ # 1 $ 3",
    ]


def test_tokenize_keeps_repeated_sentences_and_needs_no_java_for_none(fake_java) -> None:
    assert tokenize(["No!", "Yes.", "No!"]) == ["no", "yes", "no"]
    fake_java("sys.exit(1)")
    assert tokenize([]) == []
    assert tokenize_documents([[], []]) == [[], []]


def test_tokenize_documents_separates_documents_but_not_sentences() -> None:
    final, starter = "It begins with a capital T.", "The end."
    alone = tokenize([final])[0]
    together = tokenize([final, starter])[0]
    assert (alone, together) == ("it begins with a capital t.", "it begins with a capital t")  # as the official lexer
    assert tokenize_documents([[final], [starter]])[0] == [alone]
    assert tokenize_documents([[final, starter], [final]]) == [[together, "the end"], [alone]]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_words_one_by_one_have_the_tokens_that_they_have_in_their_sentence(monkeypatch, ascii_only: bool) -> None:
    draw = random.Random(0)
    words = [
        "No.",
        "no.",
        "Mr.",
        "mr.",
        "etc.",
        "Inc.",
        "U.S.",
        "T.",
        "Jan.",
        "St.",
        "vs.",
        "gonna",
        "cannot",
        "wanna",
        "gimme",
        "Cannot,",
        "o'clock",
        "O'Neil's",
        "isn't",
        "ma'am",
        "(in",
        "kitchen)",
        "kitchen).",
        "-",
        ",",
        ";",
        "!",
        "?",
        "2",
        "10",
        "1st",
        "1/4",
        "555",
        "café",
        "naïve",
        "Straße",
        "(c)",
        "(a)",
        "yahoo!",
        "well-known",
        "man.",
        "men.",
        "The",
        "the",
        "A",
        "a",
        "Fig.",
        "fig.",
        "p.",
        "Art.",
        "Nos.",
        "Co.",
        "Corp.",
        "colour",
        "grey",
        "theatre.",
        "may.",
        "mar.",
        "mass.",
        "sun.",
        "About",
        "IN",
        "word:",
        "dogs'",
        "<",
        "&",
        ":)",
        "XD",
    ]
    sentences = [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(3000)]
    by_word = tokenize_documents([sentences], ascii_only=ascii_only)
    monkeypatch.setattr(tokenizer, "_tokenize_by_word", lambda *_: {})
    assert by_word == tokenize_documents([sentences], ascii_only=ascii_only)


def test_tokenize_refuses_another_number_of_lines(fake_java) -> None:
    fake_java("print('one line'); print('out of words', file=sys.stderr)")
    with pytest.raises(PipelineError, match=r"failed twice.*1 lines for 3.*out of words"):
        tokenize(["a", "b", "c"])


def test_tokenize_reports_a_java_that_fails(fake_java) -> None:
    fake_java("print('a\\n;'); sys.exit('no class')")
    with pytest.raises(PipelineError, match=r"status 1.*no class"):
        tokenize(["a"])


def test_tokenize_stops_a_java_that_hangs(fake_java) -> None:
    fake_java("import signal; signal.pause()")
    with pytest.raises(PipelineError, match=r"stopped after 0\.5 s"):
        tokenize(["a"], timeout_s=0.5)
