"""English tokens of a sentence, as the captioner of Iashin and Rahtu (2020) counts words: spaCy's tokenizer.

Punctuation is a token, and so are the parts of "can't" (ca, n't) and "man's" (man, 's).
"""

import re
from functools import cache

import spacy
from spacy.language import Language

_FULL_STOP = re.compile(r"\.(?!\d)")


def clean(sentence: str) -> str:
    """Clean a sentence as published: straight quotes, no full stops but in numbers, single spaces."""
    return " ".join(_FULL_STOP.sub("", sentence.replace("\u2019", "'")).split())


def tokenize(sentence: str) -> list[str]:
    """Return the tokens of a sentence, in lower case. The case counts while they are divided, as published."""
    return [token.text.lower() for token in _english().make_doc(sentence) if not token.is_space]


@cache
def _english() -> Language:
    return spacy.blank("en")
