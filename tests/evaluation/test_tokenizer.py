"""The PTB tokenizer answers as the official evaluator's does."""

import json
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.tokenizer import tokenize, tokenize_documents


def test_all_golden_sentences_are_tokenized_alike(shared: Path) -> None:
    lines = (shared / "golden/metrics/ptb_golden.jsonl").read_text(encoding="utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    assert len(golden) == 70991
    got = tokenize([sentence for sentence, _ in golden])
    wrong = [
        (sentence, tokens, found) for (sentence, tokens), found in zip(golden, got, strict=True) if tokens != found
    ]
    assert wrong == []


def test_what_the_official_evaluator_drops_keeps_and_blanks() -> None:
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


def test_repeated_sentences_keep_their_places_and_nothing_needs_no_java(fake_java) -> None:
    assert tokenize(["No!", "Yes.", "No!"]) == ["no", "yes", "no"]
    fake_java("sys.exit(1)")
    assert tokenize([]) == []
    assert tokenize_documents([[], []]) == [[], []]


def test_a_document_does_not_see_the_next_one_but_a_sentence_does() -> None:
    final, starter = "It begins with a capital T.", "The end."
    alone = tokenize([final])[0]
    together = tokenize([final, starter])[0]
    assert (alone, together) == ("it begins with a capital t.", "it begins with a capital t")  # as the official lexer
    assert tokenize_documents([[final], [starter]])[0] == [alone]
    assert tokenize_documents([[final, starter], [final]]) == [[together, "the end"], [alone]]


def test_another_number_of_lines_is_an_error_not_a_shift(fake_java) -> None:
    fake_java("print('one line'); print('out of words', file=sys.stderr)")
    with pytest.raises(PipelineError, match=r"failed twice.*1 lines for 4.*out of words"):
        tokenize(["a", "b", "c"])


def test_a_tokenizer_that_fails_is_told(fake_java) -> None:
    fake_java("print('a\\n;'); sys.exit('no class')")
    with pytest.raises(PipelineError, match=r"status 1.*no class"):
        tokenize(["a"])


def test_a_tokenizer_that_hangs_is_stopped(fake_java) -> None:
    fake_java("import signal; signal.pause()")
    with pytest.raises(PipelineError, match=r"stopped after 0\.5 s"):
        tokenize(["a"], timeout_s=0.5)
