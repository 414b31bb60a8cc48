"""Which of the members' captions stands for a proposal, and why (section 1.3).

The paper names two criteria, the number of unique semantic concepts and the largest IDF of all unigrams, and does not
say how they work together. Here the first decides, and the second between captions that are equal in the first, as the
paper's order suggests; the settings may turn them round or leave one out. Captions that are equal in all of them go to
the earlier member. A caption without words loses against every caption with words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.captioning.lexicon import Lexicon, Worth

CRITERIA = ("concepts", "idf")


@dataclass(frozen=True)
class Choice:
    """What was chosen for one proposal.

    Attributes:
        member: number of the member whose caption it is.
        worth: of every member's caption.
        by: the criterion in which it is above the best of the others: `words` (the others have none), `concepts`,
            `idf`; `order` where it is above them in nothing but its place.
    """

    member: int
    worth: tuple[Worth, ...]
    by: str

    @property
    def empty(self) -> list[int]:
        """Members whose caption has no word."""
        return [member for member, worth in enumerate(self.worth) if worth.empty]

    def short(self) -> dict[str, Any]:
        """What stands beside every caption: member, how many concepts, IDF; `empty`, if any member said nothing."""
        worth = self.worth[self.member]
        found: dict[str, Any] = {"member": self.member, "concepts": len(worth.concepts), "idf": worth.idf}
        return {**found, "empty": self.empty} if self.empty else found

    def explained(self, names: Sequence[str], sentences: Sequence[str]) -> dict[str, Any]:
        """All that was compared.

        Args:
            names: of the members.
            sentences: theirs.

        Returns:
            name (of the chosen member), by, concepts (the words themselves), word and its idf; losers: of every other
            member its name and sentence, its number of concepts, its word and idf.
        """
        chosen = self.worth[self.member]
        losers = [
            {
                "name": names[member],
                "sentence": sentences[member],
                "concepts": len(worth.concepts),
                "word": worth.word,
                "idf": worth.idf,
            }
            for member, worth in enumerate(self.worth)
            if member != self.member
        ]
        return {
            "name": names[self.member],
            "by": self.by,
            "concepts": list(chosen.concepts),
            "word": chosen.word,
            "idf": chosen.idf,
            "losers": losers,
        }


def choose(sentences: Sequence[str], lexicon: Lexicon, criteria: Sequence[str] = CRITERIA) -> Choice:
    """Choose one of the members' captions for a proposal.

    Args:
        sentences: one per member.
        lexicon: what is known of words.
        criteria: what decides, in this order; then the earlier member.
    """
    worth = tuple(lexicon.worth(sentence) for sentence in sentences)
    keys = [_key(one, criteria) for one in worth]
    member = keys.index(max(keys))  # the first of equals
    others = keys[:member] + keys[member + 1 :]
    compared = zip(("words", *criteria), keys[member], max(others, default=keys[member]), strict=True)
    by = next((name for name, mine, theirs in compared if mine > theirs), "order")
    return Choice(member, worth, by)


def _key(worth: Worth, criteria: Sequence[str]) -> tuple[float, ...]:
    values = {"concepts": float(len(worth.concepts)), "idf": worth.idf}
    return (float(not worth.empty), *(values[name] for name in criteria))
