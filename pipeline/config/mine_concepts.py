"""Section `mine_concepts`: semantic concepts, caption vocabulary and IDF, from training sentences only."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

PartOfSpeech = Literal["NOUN", "VERB", "ADJ", "ADV"]
WordSplit = Literal["punctuation", "spaces", "english"]
"""How sentences become the words of a vocabulary."""


class MineConcepts(Section):
    """What is mined from the sentences of the split `train`; the vocabulary can include other splits."""

    size: int = Field(1000, ge=1, description="number of concepts N (section 1.4)")
    parts_of_speech: list[PartOfSpeech] = Field(
        ["NOUN", "VERB", "ADJ", "ADV"],
        min_length=1,
        description="parts of speech of the concepts (section 1.1)",
    )
    tagger: Literal["en_core_web_sm", "lexicon"] = Field(
        "en_core_web_sm",
        description="en_core_web_sm: spaCy's small English model (must be installed); lexicon: lemminflect's lexicon",
    )
    lemmatise: bool = Field(True, description="one concept for all forms of a lemma; false: one for each form")
    min_count: int = Field(4, ge=1, description="minimum number of occurrences of a word of the caption vocabulary")
    word_split: WordSplit = Field(
        "punctuation",
        description="words of the caption vocabulary: punctuation: separated by spaces and punctuation; spaces: by "
        "spaces only, for captions that are tokenized already; english: tokens of spaCy, punctuation among them",
    )
    vocabulary_splits: list[Literal["train", "enlarged", "val", "test"]] = Field(
        ["train"],
        min_length=1,
        description="splits whose sentences the vocabulary counts; [train, enlarged] if captioners train on both",
    )
