"""Concepts, vocabulary and IDF come from training sentences and from nothing else."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.mine_concepts import main

LEXICON = '{"tagger": "lexicon", "size": 5, "min_count": 2}'


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    sentences = [
        "A red ball is bouncing quickly.",
        "Two red balls bounce while a man watches.",
        "The man's red ball bounces; the man is happy.",
    ]
    path = tmp_path / "train.json"
    times = [[0, 1]] * len(sentences)
    path.write_text(json.dumps({"v_a": {"duration": 9, "timestamps": times, "sentences": sentences}}))
    return path


def mine(tmp_path: Path, captions: Path, config: str = LEXICON) -> tuple[Any, Any, Any]:
    names = [tmp_path / f"{name}.json" for name in ("concepts", "vocabulary", "idf")]
    words = ["--concepts", str(names[0]), "--vocabulary", str(names[1]), "--idf", str(names[2])]
    assert main(["--captions", str(captions), "--config", config, *words]) == 0
    return tuple(json.loads(name.read_text()) for name in names)  # type: ignore[return-value]


def test_most_frequent_content_words_are_concepts_under_their_lemma(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(tmp_path, captions)
    assert [concept["word"] for concept in concepts] == ["ball", "bounce", "man", "red", "happy"]
    assert [concept["count"] for concept in concepts] == [3, 3, 3, 3, 1]
    assert [concept["pos"] for concept in concepts] == ["NOUN", "VERB", "NOUN", "ADJ", "ADJ"]
    assert concepts[1]["forms"] == ["bounce", "bounces", "bouncing"]
    assert concepts[2]["forms"] == ["man", "man's"]
    assert concepts[2]["idf"] == pytest.approx(math.log(3 / 2))


def test_parts_of_speech_are_a_choice(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(
        tmp_path,
        captions,
        '{"tagger": "lexicon", "parts_of_speech": ["ADV"]}'.replace("}", ', "min_count": 1}'),
    )
    assert [concept["word"] for concept in concepts] == ["quickly"]


def test_vocabulary_counts_and_orders_words(tmp_path: Path, captions: Path) -> None:
    _, vocabulary, _ = mine(tmp_path, captions)
    assert vocabulary == {"min_count": 2, "words": ["red", "a", "ball", "is", "man", "the"]}


def test_idf_is_over_sentences(tmp_path: Path, captions: Path) -> None:
    _, _, idf = mine(tmp_path, captions)
    assert idf["sentences"] == 3
    assert idf["idf"]["red"] == 0
    assert idf["idf"]["two"] == pytest.approx(math.log(3))


def test_a_word_nobody_repeats_leaves_no_vocabulary(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--concepts", str(tmp_path / "c.json"), "--vocabulary", str(tmp_path / "v.json")]
    assert main(["--captions", str(captions), "--config", '{"tagger": "lexicon", "min_count": 9}', *target]) == 2
    assert "no word occurs 9 times in 3 training sentences" in capsys.readouterr().err


def test_an_absent_model_says_how_to_get_it(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, **_: Any) -> None:
        raise OSError(name)

    monkeypatch.setattr("pipeline.concepts.tagger.spacy.load", absent)
    assert main(["--captions", str(captions), "--concepts", str(tmp_path / "c.json")]) == 2
    error = capsys.readouterr().err
    assert "python -m spacy download en_core_web_sm" in error
    assert "tagger: lexicon" in error


def test_real_sentences_give_a_thousand_content_words(shared: Path, tmp_path: Path) -> None:
    train = shared / "data" / "activitynet_captions" / "train.json"
    concepts, _, _ = mine(tmp_path, train, '{"tagger": "lexicon"}')
    found = [concept["word"] for concept in concepts]
    assert len(found) == 1000
    assert {"man", "woman", "play", "dog", "red", "young"} <= set(found[:200])
    assert not {"is", "the", "then", "there", "be", "a"} & set(found)
    forms = [form for concept in concepts for form in concept["forms"]]
    assert len(forms) == len(set(forms))
    assert all(concept["forms"] for concept in concepts)
