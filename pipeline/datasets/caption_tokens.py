"""Tokens of template captions: capital letters only, rare words unknown, a fixed length (Mahdisoltani et al., 2018).

The rules are those of the authors' code (package ptcap): the text in capitals, without any character but A to Z and
white space, split at spaces. So digits vanish ("Stacking 4 coins" is "STACKING COINS"), and letters with accents too.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import PipelineError

GO, END, UNKNOWN = 0, 1, 2
"""Ids of the token before the first word, of the end and of the padding after it, and of rare words."""
SPECIAL = ("<GO>", "<END>", "<UNK>")
RARE_WORD = "SOMETHING"
"""What a caption has in the place of an unknown token (the paper: "replaced by [Something]")."""


def split_tokens(caption: str) -> list[str]:
    """Return the tokens of a caption."""
    return [token for token in re.sub(r"[^A-Z\s]", "", caption.upper()).split(" ") if token]


@dataclass(frozen=True)
class CaptionTokens:
    """A vocabulary of tokens, and the length of all token lists.

    Attributes:
        words: in the order of their ids, after the special ones.
        length: tokens of every encoded caption, the last of which is END.
    """

    words: tuple[str, ...]
    length: int

    @classmethod
    def build(cls, captions: Sequence[str], cutoff: int, max_length: int | None) -> "CaptionTokens":
        """Collect the words that occur more than `cutoff` times, sorted.

        Args:
            captions: all texts that count.
            cutoff: a word that occurs this often or less is unknown.
            max_length: longest token list; None: that of the longest caption and END.

        Raises:
            PipelineError: no caption.
        """
        if not captions:
            raise PipelineError("there are no captions to collect words from; check the split train")
        counts = Counter(token for caption in captions for token in split_tokens(caption))
        words = tuple(sorted(word for word, count in counts.items() if count > cutoff))
        longest = max(len(caption.split()) for caption in captions) + 1
        return cls(words, longest if max_length is None else min(max_length, longest))

    @property
    def size(self) -> int:
        """Number of ids, the special ones included."""
        return len(SPECIAL) + len(self.words)

    def encoder(self) -> "CaptionEncoder":
        """Return the encoder of captions, which holds the index of the words."""
        return CaptionEncoder(self)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens before the first END, unknown ones as `<UNK>`."""
        names = [*SPECIAL, *self.words]
        tokens = []
        for token_id in ids:
            if token_id == END:
                break
            tokens.append(names[token_id])
        return tokens

    def caption(self, ids: Iterable[int]) -> str:
        """Return the caption of token ids in small letters; an unknown word is "something"."""
        tokens = [RARE_WORD if token == SPECIAL[UNKNOWN] else token for token in self.decode(ids)]
        return " ".join(tokens).lower()


class CaptionEncoder:
    """Turns captions into token ids.

    Args:
        tokens: the vocabulary.
    """

    def __init__(self, tokens: CaptionTokens) -> None:
        self._length = tokens.length
        self._ids = {word: number for number, word in enumerate([*SPECIAL, *tokens.words])}

    def encode(self, caption: str) -> list[int]:
        """Return the ids of the first `length - 1` tokens, filled with END up to `length`."""
        ids = [self._ids.get(token, UNKNOWN) for token in split_tokens(caption)[: self._length - 1]]
        return ids + [END] * (self._length - len(ids))
