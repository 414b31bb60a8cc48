"""Section `mine_concepts`: semantic concepts, caption vocabulary and IDF, from training sentences alone."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

PartOfSpeech = Literal["NOUN", "VERB", "ADJ", "ADV"]


class MineConcepts(Section):
    """What is mined from the sentences of the split `train`; of the others, the vocabulary alone, and if it is to."""

    size: int = Field(1000, ge=1, description="number of concepts N (section 1.4)")
    parts_of_speech: list[PartOfSpeech] = Field(
        ["NOUN", "VERB", "ADJ", "ADV"],
        min_length=1,
        description="kinds of words that are concepts (section 1.1)",
    )
    tagger: Literal["en_core_web_sm", "lexicon"] = Field(
        "en_core_web_sm",
        description="spaCy's small English model (to be installed), or lemminflect's lexicon",
    )
    lemmatise: bool = Field(True, description="one concept for all spellings of a word; false: one for each spelling")
    min_count: int = Field(4, ge=1, description="words of the caption vocabulary occur at least this often ...")
    vocabulary_splits: list[Literal["train", "enlarged", "val", "test"]] = Field(
        ["train"],
        min_length=1,
        description="... in the sentences of these splits; [train, enlarged] where captioners learn from both",
    )
