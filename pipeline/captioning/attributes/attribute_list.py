"""The attributes: the most frequent words of the training captions that are no stop words (Yang et al., 2022, 4.1).

The paper's list of stop words is SMART (570 words); this project uses spaCy's (326 words), which it has already. The
two agree on articles, pronouns, prepositions and auxiliary verbs; SMART has numbers up to three and words such as
"old" and "right" too.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json


@dataclass(frozen=True)
class AttributeList:
    """The attributes of a captioner, in the order of its predictions.

    Attributes:
        words: the words, the most frequent first.
        counts: how often each occurs in the training captions.
    """

    words: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> "AttributeList":
        """Read the file that `write` wrote.

        Raises:
            PipelineError: the file is absent or malformed.
        """
        data = read_json(path, "attributes")
        rows = data.get("attributes") if isinstance(data, dict) else None
        try:
            pairs = [(str(row["word"]), int(row["count"])) for row in rows or ()]
        except (KeyError, TypeError, ValueError):
            pairs = []
        if not pairs:
            raise PipelineError(
                f'{path}: expected {{"attributes": [{{"word": ..., "count": ...}}]}}; train the captioner again'
            )
        return cls(tuple(word for word, _ in pairs), tuple(count for _, count in pairs))

    def write(self, path: Path) -> None:
        """Write the attributes."""
        pairs = zip(self.words, self.counts, strict=True)
        write_json(path, {"attributes": [{"word": word, "count": count} for word, count in pairs]})

    def positive_ids(self, captions: Iterable[Iterable[str]]) -> list[int]:
        """Return the indices of the attributes that any caption (its words) has."""
        words = {word for caption in captions for word in caption}
        return [index for index, word in enumerate(self.words) if word in words]


def find_attributes(sentences: Sequence[str], vocabulary: Vocabulary, count: int) -> AttributeList:
    """Find the attributes of a corpus; words outside the vocabulary and stop words are none.

    Args:
        sentences: the training captions, each once.
        vocabulary: the vocabulary; it decides how sentences are split.
        count: number of attributes (K). If there are fewer words, all of them are attributes; the log says so.

    Returns:
        the attributes by decreasing count, then alphabetically.

    Raises:
        PipelineError: every word of the captions is a stop word or outside the vocabulary.
    """
    from pipeline.datasets.tagger import is_stop  # spaCy takes a second to import; most captioners have no attributes

    content_words = {word for word in vocabulary.words if not is_stop(word)}
    counts = Counter(word for sentence in sentences for word in vocabulary.split(sentence) if word in content_words)
    if not counts:
        raise PipelineError(
            f"attributes: none of the {len(sentences)} training captions has a word of the vocabulary that is no stop "
            "word; train without attributes (attributes: null), or lower mine_concepts.min_count"
        )
    if len(counts) < count:
        logging.info("attributes: the training captions have %d words that can be one, not %d", len(counts), count)
    words = sorted(counts, key=lambda word: (-counts[word], word))[:count]
    return AttributeList(tuple(words), tuple(counts[word] for word in words))
