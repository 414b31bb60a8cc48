"""How a sentence is cut into words, wherever words are counted: concepts, vocabulary, IDF, selection."""

_SEPARATORS = str.maketrans(dict.fromkeys(',:!_;-.?/"\n\\', " "))


def words(sentence: str) -> list[str]:
    """Lower-case words of a sentence, cut where the captioner of the paper's reference [9] cuts.

    Eleven punctuation marks separate; apostrophes, brackets and everything else stay ("man's" is one word).
    """
    return sentence.lower().translate(_SEPARATORS).split()
