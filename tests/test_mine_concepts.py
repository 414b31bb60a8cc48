"""Concepts, vocabulary and IDF come from training sentences and from nothing else."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import lemminflect
import pytest
import spacy
from helpers.caption_corpus import write_small
from spacy.lang.en.stop_words import STOP_WORDS

from pipeline.datasets.activitynet_captions import read_captions
from pipeline.datasets.concepts import vocabulary
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.text import words as split_words
from pipeline.encoders.concept_labels import read_concepts
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


@pytest.mark.parametrize(("splits", "leaked"), [(["train"], False), (["train", "enlarged"], True)])
def test_words_of_other_splits_stay_outside_unless_asked_in(tmp_path: Path, splits: list[str], leaked: bool) -> None:
    small = write_small(tmp_path, {"train": 1, "enlarged": 8})
    names = [tmp_path / f"{name}.json" for name in ("c", "v", "i")]
    words = ["--concepts", str(names[0]), "--vocabulary", str(names[1]), "--idf", str(names[2])]
    config = json.dumps({"tagger": "lexicon", "min_count": 1, "vocabulary_splits": splits})
    assert main(["--corpus", str(small.corpus), "--config", config, *words]) == 0
    opened = Corpus.open(small.corpus)
    train = {word for row in opened.captions if row["video"] == "v_train0" for word in split_words(row["sentence"])}
    every = {word for row in opened.captions for word in split_words(row["sentence"])}
    assert train < every, "or the test shows nothing"
    found = [json.loads(name.read_text()) for name in names]
    assert set(found[1]["words"]) == (every if leaked else train)
    assert set(found[2]["idf"]) == train
    assert {form for concept in found[0] for form in concept["forms"]} <= train


def test_the_known_vocabularies_of_the_real_sentences(shared: Path) -> None:
    files = [shared / "data" / "activitynet_captions" / f"{name}.json" for name in ("train", "val_1", "val_2")]
    sentences = [one.text for file in files for video in read_captions(file).values() for one in video.segments]
    assert [len(vocabulary(sentences, min_count)) for min_count in (4, 2)] == [5744, 8514]


def test_an_absent_model_says_how_to_get_it(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, **_: Any) -> None:
        raise OSError(name)

    monkeypatch.setattr("pipeline.datasets.tagger.spacy.load", absent)
    assert main(["--captions", str(captions), "--concepts", str(tmp_path / "c.json")]) == 2
    error = capsys.readouterr().err
    assert "python -m spacy download en_core_web_sm" in error
    assert "tagger: lexicon" in error


def test_the_command_without_a_configuration(tmp_path: Path, captions: Path) -> None:
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
    ("words", "said"),
    [
        (["--size", "0"], "config: mine_concepts.size = 0"),
        (["--tagger", "nltk"], "config: mine_concepts.tagger = 'nltk': Input should be 'en_core_web_sm' or 'lexicon'"),
    ],
)
def test_wrong_flags_are_told_like_wrong_settings(
    tmp_path: Path, captions: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--captions", str(captions), "--output", str(tmp_path / "c.json"), *words]) == 2
    assert said in capsys.readouterr().err


def test_without_lemmas_every_spelling_is_a_concept(tmp_path: Path, captions: Path) -> None:
    concepts, _, _ = mine(tmp_path, captions, '{"tagger": "lexicon", "lemmatise": false, "min_count": 1}')
    found = {concept["word"]: concept for concept in concepts}
    assert {"ball", "balls", "bounce", "bounces", "bouncing"} <= set(found)
    assert (found["ball"]["count"], found["ball"]["forms"]) == (2, ["ball"])
    assert found["man"]["forms"] == ["man", "man's"], "a possessive is no other word"
    assert found["bounces"]["pos"] == found["bouncing"]["pos"] == "VERB"


@pytest.mark.parametrize("lemmatise", ["true", "false"])
def test_stop_words_are_left_out_by_spelling_and_by_lemma(tmp_path: Path, lemmatise: str) -> None:
    sentences = ["A man shows a trick.", "He moves up and takes a bow.", "Then there's a show (the show)."]
    captions = write_captions(tmp_path / "train.json", sentences)
    concepts, _, _ = mine(tmp_path, captions, f'{{"tagger": "lexicon", "lemmatise": {lemmatise}, "min_count": 1}}')
    assert {concept["word"] for concept in concepts} == {"man", "trick", "bow"}


def test_a_concept_never_misses_some_of_its_spellings(tmp_path: Path) -> None:
    """`using` is a stop word, `use` is none: half a concept would call clips of its other half negative."""
    captions = write_captions(tmp_path / "train.json", ["A man uses a tool.", "A man is using a tool."])
    concepts, _, _ = mine(tmp_path, captions, '{"tagger": "lexicon", "min_count": 1}')
    assert {concept["word"] for concept in concepts} == {"man", "tool"}


def agreed(concepts: list[dict[str, Any]]) -> float:
    """Share of concepts that the lexicon knows as the part of speech that they are given as."""
    known = [concept["pos"] in lemminflect.getAllLemmas(concept["word"]) for concept in concepts]
    return sum(known) / len(known)


def test_real_sentences_give_a_thousand_content_words(shared: Path, tmp_path: Path) -> None:
    train = shared / "data" / "activitynet_captions" / "train.json"
    concepts, _, _ = mine(tmp_path, train, '{"tagger": "lexicon"}')
    found = [concept["word"] for concept in concepts]
    assert len(found) == len(set(found)) == 1000
    assert {"man", "woman", "play", "dog", "red", "young"} <= set(found[:200])
    assert agreed(concepts) >= 0.97
    forms = [form for concept in concepts for form in concept["forms"]]
    assert len(forms) == len(set(forms))
    assert not (STOP_WORDS | {"then", "there"}) & {*found, *forms}
    assert all(concept["forms"] for concept in concepts)

    shares = Counter(concept["pos"] for concept in concepts)
    lines = [f"{len(concepts)} concepts of ActivityNet Captions train.json, tagger lexicon", ""]
    lines += [f"{kind:<4} {count / len(concepts):6.1%}" for kind, count in shares.most_common()]
    lines += ["", "the first 100: word, part of speech, count, idf", ""]
    lines += [f"{c['word']:<12} {c['pos']:<4} {c['count']:>6} {c['idf']:6.3f}" for c in concepts[:100]]
    text = "\n".join(lines) + "\n"
    print(text)
    assert text == ARTEFACT.read_text(encoding="utf-8"), (
        f"write what is printed to {ARTEFACT}, if it is as it should be"
    )


def test_spacys_model_gives_content_words_too(shared: Path, tmp_path: Path) -> None:
    if not spacy.util.is_package("en_core_web_sm"):
        pytest.skip("en_core_web_sm is not installed")
    train = read_captions(shared / "data" / "activitynet_captions" / "train.json")
    sentences = [segment.text for video in list(train.values())[:1500] for segment in video.segments]
    concepts, _, _ = mine(tmp_path, write_captions(tmp_path / "part.json", sentences), '{"size": 200}')
    assert len(concepts) == 200
    assert agreed(concepts) >= 0.97
    assert not STOP_WORDS & {concept["word"] for concept in concepts}
