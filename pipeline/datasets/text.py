"""How a sentence is split into words, wherever words are counted: concepts, vocabulary, IDF, selection."""

from collections.abc import Callable

from pipeline.config.mine_concepts import WordSplit

_SEPARATORS = str.maketrans(dict.fromkeys(',:!_;-.?/"\n\\', " "))


def split_words(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence, split as in the code of Wang et al. (2020).

    Eleven punctuation marks separate words. Apostrophes, brackets and everything else stay ("man's" is one word).
    """
    return sentence.lower().translate(_SEPARATORS).split()


def split_at_spaces(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence that is tokenized already; punctuation stays in its word ("10:30")."""
    return sentence.lower().split()


def split_english(sentence: str) -> list[str]:
    """Return the lower-case English tokens of a sentence, as Iashin and Rahtu (2020) count words."""
    from pipeline.datasets.english_tokens import clean, tokenize  # spaCy takes a second to import

    return tokenize(clean(sentence))


SPLITTERS: dict[WordSplit, Callable[[str], list[str]]] = {
    "punctuation": split_words,
    "spaces": split_at_spaces,
    "english": split_english,
}
"""The function of each `WordSplit`."""


def is_single_word(text: str, word_split: WordSplit) -> bool:
    """Return whether a text can be a word of a vocabulary. Of English tokens only spaces and case are checked."""
    splitter = split_at_spaces if word_split == "english" else SPLITTERS[word_split]
    return splitter(text) == [text]
