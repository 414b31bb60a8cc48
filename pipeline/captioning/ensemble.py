"""The members of an ensemble: that they caption the same proposals, and one file made of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.captioning.lexicon import Lexicon
from pipeline.captioning.selection import CRITERIA, choose
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import Predictions

ADDED = ("selected", "explained")
"""What stands beside a caption that was selected; a member that is an ensemble itself may have it already."""


@dataclass(frozen=True)
class Selected:
    """What was chosen of all captions.

    Attributes:
        submission: the captions, in submission format; `selected` beside each says which and why.
        shares: how many are of each member.
        empty: how many captions without words each member has.
        silent: proposals to which no member has said a word, as video and number in its list.
    """

    submission: dict[str, Any]
    shares: list[int]
    empty: list[int]
    silent: list[tuple[str, int]]


def select(
    members: Sequence[Predictions],
    lexicon: Lexicon,
    criteria: Sequence[str] = CRITERIA,
    *,
    names: Sequence[str] | None = None,
) -> Selected:
    """Choose a caption for each proposal.

    Args:
        members: captions of the same proposals.
        lexicon: what is known of words.
        criteria: what decides, in this order; then the earlier member.
        names: of the members; if given, every caption is `explained` besides.

    Raises:
        PipelineError: the members did not caption the same proposals.
    """
    check_same_proposals(members)
    results: dict[str, list[dict[str, Any]]] = {}
    shares, empty = [0] * len(members), [0] * len(members)
    silent = []
    for video in members[0].results:
        results[video] = []
        for place, captions in enumerate(zip(*(member.results[video] for member in members), strict=True)):
            sentences = [caption["sentence"] for caption in captions]
            choice = choose(sentences, lexicon, criteria)
            row = {key: value for key, value in captions[choice.member].items() if key not in ADDED}
            row["selected"] = choice.short()
            if names is not None:
                row["explained"] = choice.explained(names, sentences)
            results[video].append(row)
            shares[choice.member] += 1
            for member in choice.empty:
                empty[member] += 1
            if choice.worth[choice.member].empty:
                silent.append((video, place))
    submission = {"version": members[0].version, "results": results, "external_data": _external_data(members)}
    return Selected(submission, shares, empty, silent)


def check_same_proposals(members: Sequence[Predictions]) -> None:
    """Refuse members that do not hold the same videos with the same proposals in the same order.

    Raises:
        PipelineError: names the file, the video and the proposal that differ.
    """
    first = members[0]
    for other in members[1:]:
        different = sorted(first.results.keys() ^ other.results.keys())
        if different:
            lacking = first if different[0] in other.results else other
            raise PipelineError(f"{lacking.path}: lacks video {different[0]}, which another member captions")
        for video, captions in first.results.items():
            theirs = other.results[video]
            if len(captions) != len(theirs):
                raise PipelineError(
                    f"{other.path}: video {video} has {len(theirs)} captions, but {len(captions)} in {first.path}"
                )
            for index, (one, two) in enumerate(zip(captions, theirs, strict=True)):
                if one["timestamp"] != two["timestamp"]:
                    raise PipelineError(
                        f"{other.path}: video {video}, caption {index}: timestamp {two['timestamp']}, but "
                        f"{one['timestamp']} in {first.path}; all members must caption the same proposals"
                    )


def _external_data(members: Sequence[Predictions]) -> dict[str, Any]:
    """External data that any member used."""
    said = [member.external_data for member in members]
    for member, data in zip(members, said, strict=True):
        good = isinstance(data, dict) and isinstance(data.get("used"), bool) and isinstance(data.get("details"), str)
        if not good:
            raise PipelineError(f'{member.path}: external_data is not {{"used": true or false, "details": text}}')
    details = dict.fromkeys(data["details"] for data in said if data["details"])
    return {"used": any(data["used"] for data in said), "details": " ".join(details)}
