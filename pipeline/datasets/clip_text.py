"""Captions of clips as the published captioners prepare them, before their words are counted.

MSR-VTT and VATEX: as CLIP-Captioner prepares both (Yang et al., 2022). A token that is a run of the punctuation below
is dropped, and all letters become small. Tokens of VATEX are those of the Penn Treebank (its tokenizer of 1995):
"don't" is "do n't", double quotes become `` and ''.
"""

import re
import string
from collections.abc import Iterable

ENDINGS = r"(?:'s|'m|'d|'ll|'re|'ve|n't)"
"""Endings that the Penn Treebank writes as tokens of their own."""
TREEBANK_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'^"|(?<=[ (\[{<])"', " `` "),
        (r"([:,])([^\d])", r" \1 \2"),
        (r"([:,])$", r" \1 "),
        (r"\.\.\.", " ... "),
        (r"[;@#$%&]", r" \g<0> "),
        (r"([^.])(\.)([\])}>\"']*)\s*$", r"\1 \2 \3 "),
        (r"[?!]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[\]\[(){}<>]", r" \g<0> "),
        (r"--", " -- "),
        (r'"', " '' "),
        (rf"(?i)(?<=\S)({ENDINGS})(?=\s|$)", r" \1 "),
        (r"(?i)\b(can)(not)\b", r" \1 \2 "),
        (r"(?i)\b(gon|wan)(na)\b", r" \1 \2 "),
        (r"(?i)\b(got)(ta)\b", r" \1 \2 "),
        (r"(?i)\b(gim|lem)(me)\b", r" \1 \2 "),
    )
)


def split_treebank(sentence: str) -> list[str]:
    """Return the tokens of one sentence by the rules of the Penn Treebank; capitals stay."""
    text = sentence.strip()
    for pattern, replacement in TREEBANK_RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def clean_msrvtt(caption: str) -> str:
    """Return a caption of MSR-VTT as small tokens, separated by spaces; attached punctuation stays ("man's")."""
    return " ".join(drop_punctuation(caption.split()))


def clean_vatex(caption: str) -> str:
    """Return a caption of VATEX as small tokens of the Penn Treebank, separated by spaces; `'s` becomes `s`."""
    tokens = drop_punctuation(split_treebank(caption))
    return " ".join("s" if word == "'s" else word for word in tokens)


def drop_punctuation(tokens: Iterable[str]) -> list[str]:
    """Return the tokens with small letters, without those that are a part of `string.punctuation` ("," and "(")."""
    return [token.lower() for token in tokens if token not in string.punctuation]
