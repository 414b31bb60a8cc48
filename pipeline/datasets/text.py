"""How a sentence is split into words, wherever words are counted: concepts, vocabulary, IDF, selection."""

_SEPARATORS = str.maketrans(dict.fromkeys(',:!_;-.?/"\n\\', " "))


def split_words(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence, split as in the code of Wang et al. (2020).

    Eleven punctuation marks separate words. Apostrophes, brackets and everything else stay ("man's" is one word).
    """
    return sentence.lower().translate(_SEPARATORS).split()
