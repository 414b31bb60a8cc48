"""How varied captions are, whatever they are compared with, and how many break off.

Share of distinct and of novel captions and the size of the vocabulary as in Yang et al., "CLIP Meets Video
Captioning: Concept-Aware Representation Learning Does Matter", PRCV 2022; a bad ending, in the spirit of
self-critical.pytorch, is what captions that were rewarded for n-grams alone are known for.
"""

from collections.abc import Collection, Mapping, Sequence

BAD_ENDINGS = frozenset(
    {"a", "an", "the", "every", "my", "your", "its", "our", "their"}
    | {"of", "with", "at", "from", "for", "to", "into", "onto", "upon", "toward", "towards", "against", "among"}
    | {"during", "beside", "via", "per", "except", "despite"}
    | {"and", "or", "nor", "but", "as", "than", "if", "because", "although", "unless", "until", "whether"}
    | {"am", "is", "are", "was", "were"}
)
"""Words that ask for more: determiners, prepositions that need an object, conjunctions, forms of "to be". Left out
is what may also be an adverb, a noun or a pronoun, and then ends a sentence by right: "he walks in" (on, up, off,
down, by, around, through, ...), "for a while", "this is his" (her, that, another), "as he should" (can, does, has).
Of ActivityNet's training captions, 1 in 1,000 ends with one of these ("what he is looking for", "where they are")."""


def diversity(captions: Mapping[str, Sequence[str]], known: Collection[str] | None) -> dict[str, int | float]:
    """Measure how varied captions are.

    Args:
        captions: those of each video, tokenized, joined by single spaces.
        known: all captions that the captioner was trained with, tokenized in the same way; None leaves `novel` out.

    Returns:
        n_captions; unique, the number of distinct captions, and novel, the number of distinct captions that are
        not `known`, both divided by n_captions; vocabulary, the number of distinct words; mean_length, words;
        bad_endings, the share of captions that are empty or end with one of `BAD_ENDINGS`. All 0 without captions.
    """
    said = [caption for several in captions.values() for caption in several]
    words = [[word for word in caption.split(" ") if word] for caption in said]
    distinct, count = set(said), max(1, len(said))
    return {
        "n_captions": len(said),
        "unique": len(distinct) / count,
        **({} if known is None else {"novel": len(distinct.difference(known)) / count}),
        "vocabulary": len(set().union(*words)),
        "mean_length": sum(map(len, words)) / count,
        "bad_endings": sum(not sentence or sentence[-1] in BAD_ENDINGS for sentence in words) / count,
    }
