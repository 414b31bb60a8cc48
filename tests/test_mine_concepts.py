"""Concepts, vocabulary and IDF are mined from training sentences only."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import lemminflect
import pytest
import spacy
from helpers.caption_corpus import write_caption_corpus
from spacy.lang.en.stop_words import STOP_WORDS

from pipeline.datasets.annotations import read_captions
from pipeline.datasets.concepts import read_concepts
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.text import split_words
from pipeline.datasets.vocabulary import count_vocabulary
from pipeline.mine_concepts import main

ARTEFACT = Path(__file__).with_name("artefacts") / "activitynet_concepts.txt"
"""The first hundred concepts of the real sentences, and the share of each part of speech, for people to look at."""

LEXICON = '{"tagger": "lexicon", "size": 5, "min_count": 2}'


def write_captions(path: Path, sentences: list[str]) -> Path:
    times = [[0, 1]] * len(sentences)
    path.write_text(json.dumps({"v_a": {"duration": 9, "timestamps": times, "sentences": sentences}}))
    return path


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    sentences = [
        "A red ball is bouncing quickly.",
        "Two red balls bounce while a man watches.",
        "The man's red ball bounces; the man is happy.",
    ]
    return write_captions(tmp_path / "train.json", sentences)


def mine(tmp_path: Path, captions: Path, config: str = LEXICON) -> tuple[Any, Any, Any]:
    names = [tmp_path / f"{name}.json" for name in ("concepts", "vocabulary", "idf")]
    words = ["--concepts", str(names[0]), "--vocabulary", str(names[1]), "--idf", str(names[2])]
    assert main(["--captions", str(captions), "--config", config, *words]) == 0
    return tuple(json.loads(name.read_text()) for name in names)  # type: ignore[return-value]


def test_find_concepts_counts_content_words_by_lemma(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(tmp_path, captions)
    assert [concept["word"] for concept in concepts] == ["ball", "bounce", "man", "red", "happy"]
    assert [concept["count"] for concept in concepts] == [3, 3, 3, 3, 1]
    assert [concept["pos"] for concept in concepts] == ["NOUN", "VERB", "NOUN", "ADJ", "ADJ"]
    assert concepts[1]["forms"] == ["bounce", "bounces", "bouncing"]
    assert concepts[2]["forms"] == ["man", "man's"]
    assert concepts[2]["idf"] == pytest.approx(math.log(3 / 2))


def test_parts_of_speech_selects_the_concepts(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(
        tmp_path,
        captions,
        '{"tagger": "lexicon", "parts_of_speech": ["ADV"]}'.replace("}", ', "min_count": 1}'),
    )
    assert [concept["word"] for concept in concepts] == ["quickly"]


def test_count_vocabulary_orders_words_by_count(tmp_path: Path, captions: Path) -> None:
    _, vocabulary, _ = mine(tmp_path, captions)
    assert vocabulary == {"min_count": 2, "words": ["red", "a", "ball", "is", "man", "the"]}


def test_inverse_document_frequency_is_over_sentences(tmp_path: Path, captions: Path) -> None:
    _, _, idf = mine(tmp_path, captions)
    assert idf["sentences"] == 3
    assert idf["idf"]["red"] == 0
    assert idf["idf"]["two"] == pytest.approx(math.log(3))


def test_count_vocabulary_without_frequent_words_is_an_error(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--concepts", str(tmp_path / "c.json"), "--vocabulary", str(tmp_path / "v.json")]
    assert main(["--captions", str(captions), "--config", '{"tagger": "lexicon", "min_count": 9}', *target]) == 2
    assert "no word occurs 9 times in 3 training sentences" in capsys.readouterr().err


@pytest.mark.parametrize(("splits", "leaked"), [(["train"], False), (["train", "enlarged"], True)])
def test_words_of_other_splits_enter_only_by_vocabulary_splits(tmp_path: Path, splits: list[str], leaked: bool) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 1, "enlarged": 8})
    names = [tmp_path / f"{name}.json" for name in ("c", "v", "i")]
    words = ["--concepts", str(names[0]), "--vocabulary", str(names[1]), "--idf", str(names[2])]
    config = json.dumps({"tagger": "lexicon", "min_count": 1, "vocabulary_splits": splits})
    assert main(["--corpus", str(corpus.manifest), "--config", config, *words]) == 0
    events = Corpus.open(corpus.manifest).captions
    train = {word for row in events if row.video == "v_train0" for word in split_words(row.sentence)}
    every = {word for row in events for word in split_words(row.sentence)}
    assert train < every
    written = [json.loads(name.read_text()) for name in names]
    assert set(written[1]["words"]) == (every if leaked else train)
    assert set(written[2]["idf"]) == train
    assert {form for concept in written[0] for form in concept["forms"]} <= train


def test_count_vocabulary_of_the_real_sentences(shared: Path) -> None:
    files = [shared / "data" / "activitynet_captions" / f"{name}.json" for name in ("train", "val_1", "val_2")]
    sentences = [event.text for file in files for video in read_captions(file).values() for event in video.events]
    assert [len(count_vocabulary(sentences, min_count)) for min_count in (4, 2)] == [5744, 8514]


def test_a_missing_tagger_model_is_an_error_with_the_install_command(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, **_: Any) -> None:
        raise OSError(name)

    monkeypatch.setattr("pipeline.datasets.tagger.spacy.load", absent)
    assert main(["--captions", str(captions), "--concepts", str(tmp_path / "c.json")]) == 2
    error = capsys.readouterr().err
    assert "python -m spacy download en_core_web_sm" in error
    assert "tagger: lexicon" in error


def test_mine_concepts_without_a_configuration(tmp_path: Path, captions: Path) -> None:
    second = write_captions(tmp_path / "more.json", ["A ball rolls."])
    output = tmp_path / "concepts.json"
    words = ["--captions", str(captions), str(second), "--size", "2", "--tagger", "lexicon", "--output", str(output)]
    assert main(words) == 0
    concepts = json.loads(output.read_text())
    assert [(concept["word"], concept["pos"], concept["count"]) for concept in concepts] == [
        ("ball", "NOUN", 4),
        ("bounce", "VERB", 3),
    ]
    assert concepts[0].keys() == {"word", "pos", "count", "idf", "forms"}
    assert concepts[1]["idf"] == pytest.approx(math.log(4 / 3))
    assert [concept.word for concept in read_concepts(output)] == ["ball", "bounce"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "0"], "config: mine_concepts.size = 0"),
        (["--tagger", "nltk"], "config: mine_concepts.tagger = 'nltk': Input should be 'en_core_web_sm' or 'lexicon'"),
    ],
)
def test_wrong_flags_are_errors_like_wrong_settings(
    tmp_path: Path, captions: Path, words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--captions", str(captions), "--output", str(tmp_path / "c.json"), *words]) == 2
    assert expected in capsys.readouterr().err


def test_find_concepts_without_lemmas_makes_every_form_a_concept(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(tmp_path, captions, '{"tagger": "lexicon", "lemmatise": false, "min_count": 1}')
    by_word = {concept["word"]: concept for concept in concepts}
    assert {"ball", "balls", "bounce", "bounces", "bouncing"} <= set(by_word)
    assert (by_word["ball"]["count"], by_word["ball"]["forms"]) == (2, ["ball"])
    assert by_word["man"]["forms"] == ["man", "man's"]
    assert by_word["bounces"]["pos"] == by_word["bouncing"]["pos"] == "VERB"


@pytest.mark.parametrize("lemmatise", ["true", "false"])
def test_find_concepts_drops_stop_words_by_form_and_by_lemma(tmp_path: Path, lemmatise: str) -> None:
    sentences = ["A man shows a trick.", "He moves up and takes a bow.", "Then there's a show (the show)."]
    captions = write_captions(tmp_path / "train.json", sentences)
    concepts, _, _ = mine(tmp_path, captions, f'{{"tagger": "lexicon", "lemmatise": {lemmatise}, "min_count": 1}}')
    assert {concept["word"] for concept in concepts} == {"man", "trick", "bow"}


def test_find_concepts_drops_a_concept_with_a_stop_word_as_a_whole(tmp_path: Path) -> None:
    """`using` is a stop word and `use` is not; clips that show "using" must not be negatives of `use`."""
    captions = write_captions(tmp_path / "train.json", ["A man uses a tool.", "A man is using a tool."])
    concepts, _, _ = mine(tmp_path, captions, '{"tagger": "lexicon", "min_count": 1}')
    assert {concept["word"] for concept in concepts} == {"man", "tool"}


def lexicon_agreement(concepts: list[dict[str, Any]]) -> float:
    """Return the fraction of concepts that the lexicon lists with their part of speech."""
    agree = [concept["pos"] in lemminflect.getAllLemmas(concept["word"]) for concept in concepts]
    return sum(agree) / len(agree)


@pytest.mark.campaign
def test_find_concepts_of_the_real_sentences(shared: Path, tmp_path: Path) -> None:
    train = shared / "data" / "activitynet_captions" / "train.json"
    concepts, _, _ = mine(tmp_path, train, '{"tagger": "lexicon"}')
    words = [concept["word"] for concept in concepts]
    assert len(words) == len(set(words)) == 1000
    assert {"man", "woman", "play", "dog", "red", "young"} <= set(words[:200])
    assert lexicon_agreement(concepts) >= 0.97
    forms = [form for concept in concepts for form in concept["forms"]]
    assert len(forms) == len(set(forms))
    assert not (STOP_WORDS | {"then", "there"}) & {*words, *forms}
    assert all(concept["forms"] for concept in concepts)

    shares = Counter(concept["pos"] for concept in concepts)
    lines = [f"{len(concepts)} concepts of ActivityNet Captions train.json, tagger lexicon", ""]
    lines += [f"{kind:<4} {count / len(concepts):6.1%}" for kind, count in shares.most_common()]
    lines += ["", "the first 100: word, part of speech, count, idf", ""]
    lines += [f"{c['word']:<12} {c['pos']:<4} {c['count']:>6} {c['idf']:6.3f}" for c in concepts[:100]]
    text = "\n".join(lines) + "\n"
    print(text)
    assert text == ARTEFACT.read_text(encoding="utf-8"), (
        f"if the change is intended, write the printed text to {ARTEFACT}"
    )


def test_find_concepts_with_the_spacy_model(shared: Path, tmp_path: Path) -> None:
    if not spacy.util.is_package("en_core_web_sm"):
        pytest.skip("en_core_web_sm is not installed")
    train = read_captions(shared / "data" / "activitynet_captions" / "train.json")
    sentences = [event.text for video in list(train.values())[:1500] for event in video.events]
    concepts, _, _ = mine(tmp_path, write_captions(tmp_path / "part.json", sentences), '{"size": 200}')
    assert len(concepts) == 200
    assert lexicon_agreement(concepts) >= 0.97
    assert not STOP_WORDS & {concept["word"] for concept in concepts}
