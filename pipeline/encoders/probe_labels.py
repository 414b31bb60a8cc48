"""What stored clip features show, by the annotations: the labels of linear probes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from pipeline.datasets.corpus import Corpus
from pipeline.encoders.concept_labels import Concept, ConceptLabels
from pipeline.encoders.losses import BACKGROUND, FOREGROUND, NO_ACTION
from pipeline.encoders.probe import Labelled
from pipeline.encoders.segments import Segment, action_segments, background_segments, given_background
from pipeline.features.combined import Features

ACROSS = -1
"""Region of a clip that crosses a border of an action, or lies where nobody says which region it is."""


def labelled(corpus: Corpus, features: Features, splits: Sequence[str], concepts: list[Concept]) -> Labelled:
    """The clips of some splits, in the order of the videos' ids.

    A clip belongs to a region if it lies wholly inside; of several actions that it lies inside it shows the first. It
    shows the concepts of the sentences that cover its centre, as in pretraining.

    Args:
        corpus: annotations.
        features: of the videos; those without are passed over.
        splits: whose clips.
        concepts: in the order of their numbers.
    """
    videos = [row["video"] for row in corpus.of_splits(*splits) if row["video"] in features.videos]
    durations = {video: features.videos[video] for video in videos}
    actions = action_segments(corpus.segments, durations, corpus.labels)
    background = (
        given_background(corpus.segments, durations)
        if corpus.background_given
        else background_segments(actions, durations, features.grid.frames / features.grid.fps)
    )
    of_video: dict[str, list[Segment]] = {video: [] for video in videos}
    for segment in [*actions, *background]:
        of_video[segment.video].append(segment)
    known = ConceptLabels([row for row in corpus.captions if row["video"] in durations], concepts)
    parts = [_of_video(video, features, of_video[video], known, len(concepts)) for video in videos]
    none = _of_clips(np.zeros((0, features.dim), np.float32), len(concepts))
    return Labelled(*(np.concatenate(rows) for rows in zip(*map(_rows, [none, *parts]), strict=True)))


def _rows(part: Labelled) -> tuple[np.ndarray, ...]:
    return part.features, part.action, part.region, part.concepts, part.covered


def _of_clips(features: Float[np.ndarray, "clips dim"], concepts: int) -> Labelled:
    """Clips of which nothing is known."""
    clips = len(features)
    return Labelled(
        features,
        np.full(clips, NO_ACTION),
        np.full(clips, ACROSS),
        np.zeros((clips, concepts), bool),
        np.zeros(clips, bool),
    )


def _of_video(video: str, features: Features, segments: list[Segment], known: ConceptLabels, concepts: int) -> Labelled:
    found = _of_clips(features.read(video), concepts)
    centres = features.grid.centres(len(found.features))
    half = features.grid.frames / 2 / features.grid.fps
    for segment in reversed(segments):  # the first comes last, and stays
        inside = _inside(centres, half, segment)
        found.action[inside] = segment.action
        found.region[inside] = BACKGROUND if segment.action == NO_ACTION else FOREGROUND
    for clip, centre in enumerate(centres):
        shown = known.at(video, float(centre))
        if shown is not None:
            found.covered[clip] = True
            found.concepts[clip, list(shown)] = True
    return found


def _inside(centres: Float[np.ndarray, "clips"], half: float, segment: Segment) -> Bool[np.ndarray, "clips"]:
    return (centres - half >= segment.start - _ROUNDING) & (centres + half <= segment.end + _ROUNDING)


_ROUNDING = 1e-9
"""Seconds by which a sum of two decimal times may miss a border."""
