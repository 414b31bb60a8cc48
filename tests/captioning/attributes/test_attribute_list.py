"""The list of attributes, and the labels of events."""

import logging
from pathlib import Path

import pytest

from pipeline.captioning.attributes.attribute_list import AttributeList, find_attributes
from pipeline.captioning.event_sequences import encode_sentences
from pipeline.captioning.streams import EventSequence
from pipeline.captioning.targets import TargetEncoder
from pipeline.datasets.vocabulary import EOS, NUM_SPECIAL, UNK, Vocabulary
from pipeline.errors import PipelineError
from tests.helpers.clip_golden import read_golden

SENTENCES = ["A red ball rolls", "the red dog and the ball", "a ball"]
WORDS = ["a", "the", "ball", "red", "rolls", "and"]


def test_attributes_are_the_frequent_words_of_the_vocabulary_that_are_no_stop_words() -> None:
    attributes = find_attributes(SENTENCES, Vocabulary(WORDS), 2)
    assert (attributes.words, attributes.counts) == (("ball", "red"), (3, 2))


def test_with_fewer_words_than_asked_for_all_are_attributes_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert find_attributes(SENTENCES, Vocabulary(WORDS), 500).words == ("ball", "red", "rolls")
    assert "3" in caplog.text
    assert "500" in caplog.text


def test_captions_of_stop_words_alone_have_no_attributes_and_that_is_an_error() -> None:
    with pytest.raises(PipelineError, match="attributes: null"):
        find_attributes(["the and", "of dog"], Vocabulary(["the", "and", "of"]), 5)


def test_the_file_of_attributes_is_read_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "attributes.json"
    attributes = AttributeList(("ball", "red"), (3, 2))
    attributes.write(path)
    assert AttributeList.read(path) == attributes
    for damaged in ("{}", '{"attributes": []}', '{"attributes": [{"word": "ball"}]}', '{"attributes": [3]}'):
        path.write_text(damaged)
        with pytest.raises(PipelineError, match=r"attributes\.json"):
            AttributeList.read(path)


def test_labels_of_the_clips_are_the_published_ones(shared: Path) -> None:
    golden = read_golden(shared, "clip_corpus")
    of_threshold = golden["thr=1 sorted attribute_first"]
    published = [word for number, word in of_threshold["itow"].items() if int(number) >= 6]
    stop_words = {"a", "the", "is", "in", "with"}
    tokens = {video: [" ".join(words) for words in captions] for video, captions in golden["tokens"].items()}
    training = [sentence for video in ("video0", "video1", "video2") for sentence in tokens[video]]
    attributes = find_attributes(training, Vocabulary(published, "spaces"), 500)
    assert set(attributes.words) == set(published) - stop_words
    assert attributes.words[0] == "dogs"
    for video, ids in of_threshold["attribute_label_positive_ids"].items():
        ours = {attributes.words[index] for index in attributes.positive_ids(map(str.split, tokens[video]))}
        assert ours == {published[index] for index in ids} - stop_words, video


def clip(sentence: str, video: str = "v", times: tuple[float, float] = (0.0, 5.0)) -> EventSequence:
    return EventSequence(video, (times,), (sentence,))


def test_all_captions_of_an_event_decide_its_labels_and_lengths() -> None:
    sequences = [clip("a red ball"), clip("a ball rolls and rolls"), clip("the", "w"), clip("a", times=(0.0, 2.0))]
    vocabulary = Vocabulary(WORDS)
    attributes = find_attributes([sequence.sentences[0] for sequence in sequences], vocabulary, 10)
    targets = TargetEncoder(sequences, vocabulary, 4, attributes).encode(sequences)
    assert attributes.words == ("ball", "rolls", "red")
    assert targets.attributes.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert targets.lengths.tolist() == [[0, 0, 0, 0.5, 0.5]] * 2 + [[0, 1, 0, 0, 0]] * 2
    assert targets.words[1] == ["a", "ball", "rolls", "and"]


def test_ids_of_the_captions_are_the_published_ones_without_their_special_words(shared: Path) -> None:
    golden = read_golden(shared, "clip_corpus")
    published = golden["thr=1 sorted attribute_first"]
    shift = 6 - NUM_SPECIAL
    vocabulary = Vocabulary([word for number, word in published["itow"].items() if int(number) >= 6], "spaces")
    ours_of = {1: UNK, 3: EOS} | {index: index - shift for index in range(6, 20)}
    for video, captions in golden["tokens"].items():
        ids = encode_sentences([" ".join(words) for words in captions], vocabulary, 30).tolist()
        for row, expected in zip(ids, published["caption_ids"][video], strict=True):
            end = len(expected) - 1  # BOS stands first in the published ids
            assert row[:end] == [ours_of[index] for index in expected[1:]]
    for row in golden["padding max_len=8"]:
        *words, _ = row["ids"][1:]
        names = [vocabulary.words[index - 6] for index in words]
        (ids,) = encode_sentences([" ".join(names)], vocabulary, 6).tolist()
        assert ids == [ours_of[index] for index in row["result"]["dec_target"] if index]
    for row in golden["to_sentence"]:
        end = next((place for place, index in enumerate(row["ids"]) if index in (0, 3)), len(row["ids"]))
        if all(index >= 6 for index in row["ids"][:end]):  # we generate no special words
            assert vocabulary.decode([index - shift for index in row["ids"][:end]] + [EOS, 2]) == row["text"]


def test_lengths_follow_the_published_histogram(shared: Path) -> None:
    golden = read_golden(shared, "clip_corpus")
    for video, captions in golden["tokens"].items():
        sequences = [clip(" ".join(words), video) for words in captions]
        words = sorted({word for caption in captions for word in caption})
        lengths = TargetEncoder(sequences, Vocabulary(words, "spaces"), 11).encode(sequences[:1]).lengths[0]
        histogram = golden["thr=1 sorted attribute_first"]["length_info (first 12 of 50)"][video]
        assert (lengths * len(captions)).tolist() == pytest.approx(histogram)
