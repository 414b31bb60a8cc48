"""Event sequences: from the corpus and from proposals; their sentences as tokens; the shuffled control."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.captioning.streams import EventSequence
from pipeline.datasets.corpus import CaptionedEvent, Corpus
from pipeline.datasets.vocabulary import EOS, PAD, UNK, Vocabulary
from pipeline.errors import PipelineError
from pipeline.localization.proposals import Proposal
from pipeline.training.seeds import numpy_generator

MAX_LISTED = 3
"""Number of videos that a log line names."""
END_TOLERANCE_S = 1.0
"""A proposal may end this long after its video [s]: annotators and players round."""


def annotated_sequences(corpus: Corpus, splits: Sequence[str], videos: Collection[str]) -> list[EventSequence]:
    """Return the captioned events of some splits, one sequence per video and annotator, sorted by both.

    Args:
        corpus: the corpus.
        splits: names of the splits.
        videos: ids of the videos that have features. Other videos are left out; the log counts them.
    """
    events = corpus.events(*splits)
    left_out = sorted(video for video in events if video not in videos)
    if left_out:
        names = ", ".join(left_out[:MAX_LISTED])
        logging.info("%s: %d captioned videos have no features (%s ...)", "+".join(splits), len(left_out), names)
    return [
        EventSequence(
            video,
            tuple((event.start, event.end) for event in sorted(of_annotator, key=_time_and_sentence)),
            tuple(event.sentence for event in sorted(of_annotator, key=_time_and_sentence)),
        )
        for video, annotators in sorted(events.items())
        if video in videos
        for _, of_annotator in sorted(annotators.items())
    ]


def _time_and_sentence(event: CaptionedEvent) -> tuple[float, float, str]:
    return event.start, event.end, event.sentence


def sentences_of(sequences: Sequence[EventSequence]) -> list[str]:
    """Return the sentences of all events, in the order of a batch."""
    return [sentence for sequence in sequences for sentence in sequence.sentences]


def encode_sentences(sentences: Sequence[str], vocabulary: Vocabulary, max_words: int) -> Int64[Tensor, "events words"]:
    """Return the token ids of sentences, truncated to `max_words` words; each row ends with at least one EOS.

    A sentence without a word becomes one unknown word, because a caption has at least one.
    """
    ids = [vocabulary.encode(sentence, max_words) or [UNK] for sentence in sentences]
    rows = [torch.tensor([*row, EOS]) for row in ids]
    return pad_sequence(rows, batch_first=True, padding_value=PAD)


def check_proposal_ends(
    proposals: Mapping[str, Sequence[Proposal]], corpus: Corpus, durations: Mapping[str, float], path: Path
) -> None:
    """Check that proposals end within their videos.

    The annotators saw some videos longer than they are now: the largest known duration counts.

    Args:
        proposals: proposals by video, at least one each.
        corpus: the corpus, with the annotated durations and events.
        durations: measured durations by video [s].
        path: the file of the proposals, for the error.

    Raises:
        PipelineError: a proposal ends after its video; names the file and the video.
    """
    longest = defaultdict(float, durations)
    ends = [(row.video, row.duration) for row in corpus.videos if row.duration is not None]
    for video, end in ends + [(row.video, row.end) for row in corpus.captions]:
        longest[video] = max(longest[video], end)
    for video, of_video in proposals.items():
        last = max(proposal.end for proposal in of_video)
        if last > longest[video] + END_TOLERANCE_S:
            raise PipelineError(
                f"{path}: video {video}: a proposal ends at {last:.2f} s, the video at {longest[video]:.2f} s; check "
                "that the times are in seconds and of this video"
            )


def draw_derangement(videos: Sequence[str], others: Sequence[str], seed: int) -> dict[str, str]:
    """Draw another video for each video: the shuffled control captions a video from the features of another.

    Args:
        videos: sorted ids; they are permuted in one cycle, so that no video keeps its own features.
        others: sorted ids; if there is only one video, its source is drawn from these.
        seed: seed of the draw.

    Returns:
        video -> the video whose features it gets.

    Raises:
        PipelineError: there is no second video.
    """
    draw = numpy_generator("control", seed)
    if len(videos) > 1:
        cycle = [videos[index] for index in draw.permutation(len(videos))]
        return dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    candidates = [video for video in others if video not in videos]
    if not candidates:
        raise PipelineError(f"the control needs the features of a second video; there is only {', '.join(videos)}")
    return {video: candidates[int(draw.integers(len(candidates)))] for video in videos}


def move_to_video(sequence: EventSequence, source_video: str, durations: Mapping[str, float]) -> EventSequence:
    """Move a sequence to another video; its events keep their position relative to the duration."""
    factor = durations[source_video] / durations[sequence.video]
    return EventSequence(source_video, tuple((start * factor, end * factor) for start, end in sequence.times))
