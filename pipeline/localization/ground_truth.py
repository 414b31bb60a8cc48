"""The annotated events themselves as proposals."""

from collections import defaultdict

from pipeline.datasets.corpus import Corpus
from pipeline.localization.proposals import Proposal


def annotated_events(corpus: Corpus, annotator: int) -> dict[str, list[Proposal]]:
    """One annotator's events of every captioned video whose file is there, or else another's."""
    present = {row["video"] for row in corpus.videos if row["path"] is not None}
    found: dict[str, dict[int, list[Proposal]]] = defaultdict(lambda: defaultdict(list))
    for row in corpus.captions:
        if row["video"] in present:
            found[row["video"]][row["annotator"]].append(Proposal(row["start"], row["end"], 1.0))
    return {video: given.get(annotator) or given[min(given)] for video, given in found.items()}
