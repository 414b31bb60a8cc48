r"""Select one caption per proposal from those of several captioners (section 1.3).

In: captions of the same proposals by every member of the ensemble; the concepts; the IDF of words.
Out: captions in the same format. Each says which member it comes from, and why: `selected` holds the member's
number, its count of distinct concepts and its largest IDF.

A word is a concept if it is one of that concept's forms in concepts.json. A word that idf.json does not know
has an IDF of 0: a caption is not to win by a word that no training sentence holds.

Alone:
    python -m pipeline.select_captions --config '{"members": [{"captioner": "a"}, {"captioner": "b"}]}' \
        --concepts concepts.json --idf idf.json --captions a.json b.json --output ensemble.json
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.select_captions import SelectCaptions
from pipeline.datasets.text import words
from pipeline.metrics.predictions import Predictions, read_predictions
from pipeline.store.atomic import read_json, write_json
from pipeline.store.provenance import record

STAGE = "select_captions"


def choose(
    sentences: Sequence[str],
    concept_of: Mapping[str, str],
    idf: Mapping[str, float],
    criteria: Sequence[str] = ("concepts", "idf"),
) -> dict[str, Any]:
    """Choose one of the members' captions for a proposal.

    Args:
        sentences: one per member.
        concept_of: word -> the concept that it is a form of.
        idf: word -> inverse document frequency over training sentences.
        criteria: what decides, in this order; then the earlier member.

    Returns:
        member (its number), and its caption's concepts (how many distinct ones) and idf (the largest of its
        words).
    """
    explained = []
    for member, sentence in enumerate(sentences):
        found = words(sentence)
        concepts = len({concept_of[word] for word in found if word in concept_of})
        largest = max((idf.get(word, 0.0) for word in found), default=0.0)
        explained.append({"member": member, "concepts": concepts, "idf": largest})
    return max(explained, key=lambda caption: [caption[criterion] for criterion in criteria])  # the first of equals


def select(
    members: Sequence[Predictions],
    concept_of: Mapping[str, str],
    idf: Mapping[str, float],
    criteria: Sequence[str] = ("concepts", "idf"),
) -> dict[str, Any]:
    """Captions of an ensemble, in submission format.

    Raises:
        PipelineError: the members did not caption the same proposals.
    """
    check_same_proposals(members)
    results: dict[str, list[dict[str, Any]]] = {}
    for video in members[0].results:
        results[video] = []
        for captions in zip(*(member.results[video] for member in members), strict=True):
            chosen = choose([caption["sentence"] for caption in captions], concept_of, idf, criteria)
            results[video].append({**captions[chosen["member"]], "selected": chosen})
    return {"version": members[0].version, "results": results, "external_data": _external_data(members)}


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


def read_concepts(path: Path) -> dict[str, str]:
    """Word -> the concept that it is a form of; a concept without forms is its word alone.

    Raises:
        PipelineError: malformed, or with a form of two concepts.
    """
    data = read_json(path, "concepts")
    if not isinstance(data, list):
        raise PipelineError(f"{path}: expected a list of concepts, as mine_concepts makes it")
    concept_of: dict[str, str] = {}
    for entry in data:
        word = entry.get("word") if isinstance(entry, dict) else None
        forms = entry.get("forms", [word]) if isinstance(word, str) else None
        if not isinstance(forms, list):
            raise PipelineError(f"{path}: {entry!r} has no word and forms; make the concepts with mine_concepts")
        for form in forms:
            if concept_of.setdefault(form, entry["word"]) != entry["word"]:
                raise PipelineError(f"{path}: {form!r} is a form of {concept_of[form]!r} and of {entry['word']!r}")
    return concept_of


def read_idf(path: Path) -> dict[str, float]:
    """Word -> inverse document frequency.

    Raises:
        PipelineError: malformed.
    """
    data = read_json(path, "IDF")
    idf = data.get("idf") if isinstance(data, dict) else None
    if not isinstance(idf, dict) or not all(isinstance(value, int | float) for value in idf.values()):
        raise PipelineError(f'{path}: expected {{"sentences": N, "idf": {{word: number}}}}, as mine_concepts makes it')
    return {word: float(value) for word, value in idf.items()}


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, SelectCaptions, STAGE)
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--idf", type=Path, required=True, help="idf.json")
    arguments.add_argument(
        "--captions", type=Path, nargs="+", required=True, help="one file per member, in their order"
    )
    arguments.add_argument("--output", type=Path, required=True, help="captions to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, SelectCaptions, STAGE)
    if len(args.captions) != len(config.members):
        raise PipelineError(
            f"--captions: {len(args.captions)} files, but config: select_captions.members names "
            f"{len(config.members)}; give one file per member"
        )
    members = [read_predictions(path) for path in args.captions]
    made = select(members, read_concepts(args.concepts), read_idf(args.idf), config.criteria)
    write_json(args.output, made)
    record(args.output, STAGE, config, [args.concepts, args.idf, *args.captions])
    shares = Counter(caption["selected"]["member"] for captions in made["results"].values() for caption in captions)
    logging.info("captions by member: %s", ", ".join(f"{member}: {shares[member]}" for member in range(len(members))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
