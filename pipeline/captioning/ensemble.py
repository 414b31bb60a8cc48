"""The ensemble: one caption per proposal, selected from those of several captioners (section 1.3 of the paper).

The paper names two criteria, the number of unique semantic concepts and the largest IDF of all unigrams, and does not
say how they work together. Here the first criterion decides, and the second decides between captions that are equal in
the first, as the paper's order suggests; the settings may swap them or leave one out. Captions that are equal in all
criteria go to the earlier member. A caption without words loses against every caption with words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline.datasets.concepts import concept_of_forms, read_concepts
from pipeline.datasets.text import split_words
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import Predictions
from pipeline.io.atomic import read_json

CRITERIA = ("concepts", "idf")

SELECTION_KEYS = ("selected", "explained")
"""Keys that the selection adds to a caption; a member that is an ensemble itself may have them already."""


@dataclass(frozen=True)
class CaptionScore:
    """What the criteria compare.

    Attributes:
        concepts: distinct concepts of the caption, sorted.
        word: the rarest word, of equally rare ones the first in the alphabet; None for a caption without words.
        idf: IDF of that word; 0 without one.
    """

    concepts: tuple[str, ...]
    word: str | None
    idf: float

    @property
    def is_empty(self) -> bool:
        """Whether the caption has no word."""
        return self.word is None

    def key(self, criteria: Sequence[str]) -> tuple[float, ...]:
        """Return the values to compare, in order; the larger tuple wins."""
        values = {"concepts": float(len(self.concepts)), "idf": self.idf}
        return (float(not self.is_empty), *(values[name] for name in criteria))


@dataclass(frozen=True)
class ConceptLexicon:
    """Concepts and rarity of words.

    Attributes:
        concept_of: word -> the concept that it is a form of.
        idf: word -> inverse document frequency over the training sentences. The IDF of any other word is 0: a caption
            must not win by a word that no training sentence has.
    """

    concept_of: Mapping[str, str]
    idf: Mapping[str, float]

    @classmethod
    def read(cls, concepts: Path, idf: Path) -> "ConceptLexicon":
        """Read the two files that `mine_concepts` wrote.

        Raises:
            PipelineError: a file is absent or malformed.
        """
        return cls(concept_of_forms(read_concepts(concepts, allow_empty=True), concepts), read_idf(idf))

    def score(self, sentence: str) -> CaptionScore:
        """Score a caption."""
        caption_words = split_words(sentence)
        concepts = {self.concept_of[word] for word in caption_words if word in self.concept_of}
        rarest = min(caption_words, key=lambda word: (-self.idf.get(word, 0.0), word), default=None)
        return CaptionScore(tuple(sorted(concepts)), rarest, 0.0 if rarest is None else self.idf.get(rarest, 0.0))


@dataclass(frozen=True)
class Selection:
    """The selected caption of one proposal.

    Attributes:
        member: index of the member whose caption was selected.
        scores: score of every member's caption.
        decided_by: the first criterion in which it is above the best other caption: `words` (no other has any),
            `concepts` or `idf`; `order` if only its place decided.
    """

    member: int
    scores: tuple[CaptionScore, ...]
    decided_by: str

    @property
    def empty_members(self) -> list[int]:
        """Indices of the members whose caption has no word."""
        return [member for member, score in enumerate(self.scores) if score.is_empty]

    def summary(self) -> dict[str, Any]:
        """Return what is written with every caption: member, number of concepts, IDF; `empty` if a caption is empty."""
        score = self.scores[self.member]
        summary: dict[str, Any] = {"member": self.member, "concepts": len(score.concepts), "idf": score.idf}
        return {**summary, "empty": self.empty_members} if self.empty_members else summary

    def explanation(self, names: Sequence[str], sentences: Sequence[str]) -> dict[str, Any]:
        """Return everything that was compared.

        Args:
            names: names of the members.
            sentences: their captions.

        Returns:
            name (of the selected member), by, concepts, word and its idf; and losers: name, sentence, number of
            concepts, word and idf of every other member.
        """
        selected = self.scores[self.member]
        losers = [
            {
                "name": names[member],
                "sentence": sentences[member],
                "concepts": len(score.concepts),
                "word": score.word,
                "idf": score.idf,
            }
            for member, score in enumerate(self.scores)
            if member != self.member
        ]
        return {
            "name": names[self.member],
            "by": self.decided_by,
            "concepts": list(selected.concepts),
            "word": selected.word,
            "idf": selected.idf,
            "losers": losers,
        }


@dataclass(frozen=True)
class Ensemble:
    """The selected captions of all proposals.

    Attributes:
        submission: the captions in submission format, each with its `selected`.
        num_selected: number of captions selected from each member.
        num_empty: number of captions without words of each member.
        all_empty: proposals for which every member's caption is empty, as video and position in its list.
    """

    submission: dict[str, Any]
    num_selected: list[int]
    num_empty: list[int]
    all_empty: list[tuple[str, int]]


def select_caption(sentences: Sequence[str], lexicon: ConceptLexicon, criteria: Sequence[str] = CRITERIA) -> Selection:
    """Select one of the members' captions of a proposal.

    Args:
        sentences: one caption per member.
        lexicon: concepts and rarity of words.
        criteria: criteria in order; ties go to the earlier member.
    """
    scores = tuple(lexicon.score(sentence) for sentence in sentences)
    keys = [score.key(criteria) for score in scores]
    member = keys.index(max(keys))  # the first of equal ones
    others = keys[:member] + keys[member + 1 :]
    compared = zip(("words", *criteria), keys[member], max(others, default=keys[member]), strict=True)
    decided_by = next((name for name, value, other in compared if value > other), "order")
    return Selection(member, scores, decided_by)


def select_captions(
    members: Sequence[Predictions],
    lexicon: ConceptLexicon,
    criteria: Sequence[str] = CRITERIA,
    *,
    names: Sequence[str] | None = None,
) -> Ensemble:
    """Select a caption for each proposal.

    Args:
        members: captions of the same proposals.
        lexicon: concepts and rarity of words.
        criteria: criteria in order; ties go to the earlier member.
        names: names of the members; if given, every caption gets an explanation.

    Raises:
        PipelineError: the members did not caption the same proposals.
    """
    check_same_proposals(members)
    results: dict[str, list[dict[str, Any]]] = {}
    num_selected, num_empty = [0] * len(members), [0] * len(members)
    all_empty = []
    for video in members[0].results:
        results[video] = []
        for position, captions in enumerate(zip(*(member.results[video] for member in members), strict=True)):
            sentences = [caption["sentence"] for caption in captions]
            selection = select_caption(sentences, lexicon, criteria)
            caption = {key: value for key, value in captions[selection.member].items() if key not in SELECTION_KEYS}
            caption["selected"] = selection.summary()
            if names is not None:
                caption["explained"] = selection.explanation(names, sentences)
            results[video].append(caption)
            num_selected[selection.member] += 1
            for member in selection.empty_members:
                num_empty[member] += 1
            if selection.scores[selection.member].is_empty:
                all_empty.append((video, position))
    submission = {"version": members[0].version, "results": results, "external_data": _external_data(members)}
    return Ensemble(submission, num_selected, num_empty, all_empty)


def check_same_proposals(members: Sequence[Predictions]) -> None:
    """Check that all members have the same videos with the same proposals in the same order.

    Raises:
        PipelineError: names the file, the video and the proposal that differ.
    """
    first = members[0]
    for other in members[1:]:
        different = sorted(first.results.keys() ^ other.results.keys())
        if different:
            incomplete = first if different[0] in other.results else other
            raise PipelineError(f"{incomplete.path}: lacks video {different[0]}, which another member captions")
        for video, captions in first.results.items():
            other_captions = other.results[video]
            if len(captions) != len(other_captions):
                raise PipelineError(
                    f"{other.path}: video {video} has {len(other_captions)} captions, but {len(captions)} in "
                    f"{first.path}"
                )
            for index, (caption, other_caption) in enumerate(zip(captions, other_captions, strict=True)):
                if caption["timestamp"] != other_caption["timestamp"]:
                    raise PipelineError(
                        f"{other.path}: video {video}, caption {index}: timestamp {other_caption['timestamp']}, but "
                        f"{caption['timestamp']} in {first.path}; all members must caption the same proposals"
                    )


def _external_data(members: Sequence[Predictions]) -> dict[str, Any]:
    """Return the external data that any member used."""
    statements = [member.external_data for member in members]
    for member, statement in zip(members, statements, strict=True):
        is_valid = (
            isinstance(statement, dict)
            and isinstance(statement.get("used"), bool)
            and isinstance(statement.get("details"), str)
        )
        if not is_valid:
            raise PipelineError(f'{member.path}: external_data is not {{"used": true or false, "details": text}}')
    details = dict.fromkeys(statement["details"] for statement in statements if statement["details"])
    return {"used": any(statement["used"] for statement in statements), "details": " ".join(details)}


def read_idf(path: Path) -> dict[str, float]:
    """Read word -> inverse document frequency.

    Raises:
        PipelineError: malformed.
    """
    data = read_json(path, "IDF")
    idf = data.get("idf") if isinstance(data, dict) else None
    values = list(idf.values()) if isinstance(idf, dict) else [None]
    if not all(isinstance(value, int | float) and isfinite(value) for value in values):
        raise PipelineError(f'{path}: expected {{"sentences": N, "idf": {{word: number}}}}, as mine_concepts writes it')
    return {word: float(value) for word, value in data["idf"].items()}
