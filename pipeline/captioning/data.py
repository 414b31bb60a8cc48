"""Events of videos, from the corpus or from proposals, and the batches that captioners read."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import END, UNK, Vocabulary
from pipeline.features.combined import Features
from pipeline.features.cache import ClipCache

SHOWN = 3
"""How many videos a log line names."""
SHORTEST_S = 0.1
"""Events count as this long at least, seconds."""


@dataclass(frozen=True)
class EventSequence:
    """Events of one video that are captioned together, in time order: one annotator's, or a set of proposals.

    Attributes:
        video: whose clip features are read.
        times: start and end of each event, seconds.
        sentences: what the annotator says of each event; empty where nobody does.
    """

    video: str
    times: tuple[tuple[float, float], ...]
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """The events of several sequences.

    Only clips are padded, up to the longest video of the batch; events stand one after another.

    Attributes:
        clips: features of each sequence's video, zeros after its last clip.
        sequence: which sequence an event belongs to.
        rows: first clip of each event, and the clip after its last.
        spans: start, end and length of each event, relative to its video's duration. Lengths are at least those of
            `SHORTEST_S`, so that they may divide and have logarithms.
    """

    clips: Float[Tensor, "sequences clips dim"]
    sequence: Int64[Tensor, " events"]
    rows: Int64[Tensor, "events 2"]
    spans: Float[Tensor, "events 3"]

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return replace(
            self,
            clips=self.clips.to(device),
            sequence=self.sequence.to(device),
            rows=self.rows.to(device),
            spans=self.spans.to(device),
        )


def annotated(corpus: Corpus, splits: Sequence[str], features: Features) -> list[EventSequence]:
    """Captioned events of some splits, one sequence for each video and annotator, ordered by both.

    Videos without a file or without features (rejected on the way) are left out; the log says how many.
    """
    inside = {row["video"] for row in corpus.videos if row["split"] in splits}
    found: dict[tuple[str, int], list[tuple[float, float, str]]] = defaultdict(list)
    for row in corpus.captions:
        if row["video"] in inside:
            found[row["video"], row["annotator"]].append((row["start"], row["end"], row["sentence"]))
    left_out = sorted({video for video, _ in found} - features.videos.keys())
    if left_out:
        names = ", ".join(left_out[:SHOWN])
        logging.info("%s: %d captioned videos have no features (%s ...)", "+".join(splits), len(left_out), names)
    return [
        EventSequence(
            video,
            tuple((start, end) for start, end, _ in sorted(events)),
            tuple(sentence for _, _, sentence in sorted(events)),
        )
        for (video, _), events in sorted(found.items())
        if video in features.videos
    ]


def collate(sequences: Sequence[EventSequence], cache: ClipCache) -> Batch:
    """Read the features of some sequences (each with an event at least) into one batch, on the CPU.

    Raises:
        PipelineError: damaged or absent features.
    """
    features = cache.features
    owners, rows, spans = [], [], []
    for index, sequence in enumerate(sequences):
        duration = features.videos[sequence.video]
        for start, end in sequence.times:
            first, last = (min(max(time / duration, 0.0), 1.0) for time in (start, end))
            owners.append(index)
            rows.append(features.rows(sequence.video, start, end))
            spans.append((first, last, max(last - first, SHORTEST_S / duration)))
    clips = pad_sequence([cache.read(sequence.video) for sequence in sequences], batch_first=True)
    return Batch(clips, torch.tensor(owners), torch.tensor(rows), torch.tensor(spans))


def sentences_of(sequences: Sequence[EventSequence]) -> list[str]:
    """The sentences of all events, in the order of `collate`."""
    return [sentence for sequence in sequences for sentence in sequence.sentences]


def targets(sentences: Sequence[str], vocabulary: Vocabulary, max_words: int) -> Int64[Tensor, "events words"]:
    """Ids of sentences, cut to `max_words` words, each followed by at least one END.

    A sentence without a word becomes one unknown word, since a caption has at least one.
    """
    ids = [vocabulary.encode(sentence, max_words) or [UNK] for sentence in sentences]
    rows = [torch.tensor([*row, END]) for row in ids]
    return pad_sequence(rows, batch_first=True, padding_value=END)
