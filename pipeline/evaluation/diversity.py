"""Diversity of captions, and the share of captions that end in the middle of a phrase.

The shares of distinct and of novel captions and the size of the vocabulary are those of Yang et al., "CLIP Meets Video
Captioning: Concept-Aware Representation Learning Does Matter", PRCV 2022. Bad endings, in the spirit of
self-critical.pytorch, are typical of captioners that were rewarded for n-grams only.
"""

from collections.abc import Collection, Mapping, Sequence

BAD_ENDINGS = frozenset(
    {"a", "an", "the", "every", "my", "your", "its", "our", "their"}
    | {"of", "with", "at", "from", "for", "to", "into", "onto", "upon", "toward", "towards", "against", "among"}
    | {"during", "beside", "via", "per", "except", "despite"}
    | {"and", "or", "nor", "but", "as", "than", "if", "because", "although", "unless", "until", "whether"}
    | {"am", "is", "are", "was", "were"}
)
"""Words that cannot end a sentence: determiners, prepositions that need an object, conjunctions, forms of "to be".

The set leaves out words that may also be an adverb, a noun or a pronoun, which can end a sentence: "he walks in" (on,
up, off, down, by, around, through, ...), "for a while", "this is his" (her, that, another), "as he should" (can, does,
has). Of ActivityNet's training captions, 1 in 1,000 ends with a word of the set ("what he is looking for", "where they
are").
"""


def diversity(captions: Mapping[str, Sequence[str]], training: Collection[str] | None) -> dict[str, int | float]:
    """Measure the diversity of captions.

    Args:
        captions: captions of each video, tokenized, joined by single spaces.
        training: all captions that the captioner was trained with, tokenized in the same way; None leaves `novel` out.

    Returns:
        n_captions; unique, the number of distinct captions, and novel, the number of distinct captions that are not
        in `training`, both divided by n_captions; vocabulary, the number of distinct words; mean_length [words];
        bad_endings, the share of captions that are empty or end with one of `BAD_ENDINGS`. All are 0 without captions.
    """
    sentences = [caption for video_captions in captions.values() for caption in video_captions]
    words = [[word for word in caption.split(" ") if word] for caption in sentences]
    distinct, count = set(sentences), max(1, len(sentences))
    return {
        "n_captions": len(sentences),
        "unique": len(distinct) / count,
        **({} if training is None else {"novel": len(distinct.difference(training)) / count}),
        "vocabulary": len(set().union(*words)),
        "mean_length": sum(map(len, words)) / count,
        "bad_endings": sum(not sentence or sentence[-1] in BAD_ENDINGS for sentence in words) / count,
    }
