"""What a pretraining is given: labels, segments of both regions, the sampler that draws clips from them."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_reader import length
from pipeline.encoders.clips import Sample, Sampler
from pipeline.encoders.concept_labels import Concept, ConceptLabels
from pipeline.encoders.segments import (
    Segment,
    action_segments,
    background_segments,
    given_background,
    long_enough,
)
from pipeline.errors import PipelineError
from pipeline.features.pooled import Globals
from pipeline.training.seeds import generator
from pipeline.video.shard import VideoRow


@dataclass(frozen=True)
class Segments:
    """What the clips of a split are drawn from: segments of at least a clip's length."""

    foreground: list[Segment]
    background: list[Segment]

    @property
    def all(self) -> list[Segment]:
        """Both, the foreground first."""
        return self.foreground + self.background


@dataclass(frozen=True)
class Data:
    """What a pretraining is given.

    Attributes:
        labels: action classes, in the order of their numbers.
        concepts: in the order of their numbers; none where the semantic head is left out.
        rows: the re-encoded videos that are used.
        train: of the split `train`.
        val: of the splits that epochs are chosen on; may be empty.
        sampler: draws clips.
        dropped: videos that no clip is drawn from, and why; rows of `REJECTS`.
    """

    labels: list[str]
    concepts: list[Concept]
    rows: dict[str, VideoRow]
    train: Segments
    val: Segments
    sampler: Sampler
    dropped: list[dict[str, Any]]

    def epoch(self, number: int, config: PretrainEncoder) -> list[Sample]:
        """The training clips of an epoch, in their order."""
        rng = generator("pretrain_encoder", config.seed, "clips", number)
        segments, per_segment = self.train, config.clips_per_segment
        return self.sampler.training(segments.foreground, segments.background, per_segment, rng, balance=config.balance)

    def validation(self, config: PretrainEncoder) -> list[Sample]:
        """The validation clips."""
        return self.sampler.validation(self.val.all, config.clips_per_segment)

    def videos_by_use(self) -> list[str]:
        """Videos that clips are drawn from, those of training first."""
        return list(dict.fromkeys(segment.video for segment in self.train.all + self.val.all))


def gather(
    corpus: Corpus,
    rows: Mapping[str, VideoRow],
    config: PretrainEncoder,
    concepts: list[Concept],
    known: Globals | None = None,
) -> Data:
    """Segments and labels for the videos that are there.

    Args:
        corpus: annotations, and the action classes.
        rows: the re-encoded videos, by id.
        config: of the pretraining.
        concepts: none leaves the semantic head out.
        known: global features, where they are to be seen; videos without are left out.

    Raises:
        PipelineError: no training videos, no foreground in them, a class that they do not show (where config does not
            allow that), or a frame rate that does not fit. An encoder that is not trained needs none of these.
    """
    seen = rows.keys() if known is None else rows.keys() & set(known.videos)
    splits: dict[str, list[str]] = {"train": ["train"], "val": [*config.val_splits]}
    of_part = {
        part: {row["video"]: rows[row["video"]] for row in corpus.of_splits(*names) if row["video"] in seen}
        for part, names in splits.items()
    }
    if not of_part["train"] and config.epochs:
        raise PipelineError(
            f"{corpus.manifest.path}: no training videos; look at the rejects of build_corpus and reencode"
        )
    segments = {part: _segments(part, corpus, of_part[part], config) for part in of_part}
    if config.epochs:
        _check_classes(corpus, segments["train"].foreground, len(of_part["train"]), config)
    used = of_part["train"] | of_part["val"]
    dropped = _dropped(corpus, splits, rows, used, segments, config)
    lengths = {video: length(row, config.clip) for video, row in used.items()}
    labelled = ConceptLabels([row for row in corpus.captions if row["video"] in used], concepts)
    sizes = {video: config.clip.resized(row.height, row.width) for video, row in used.items()}
    sampler = Sampler(config.clip, lengths, sizes, labelled)
    return Data(corpus.labels, concepts, used, segments["train"], segments["val"], sampler, dropped)


def _check_classes(corpus: Corpus, foreground: list[Segment], videos: int, config: PretrainEncoder) -> None:
    if not foreground:
        raise PipelineError(
            f"{corpus.manifest.path}: no foreground: none of {videos} training videos has "
            f"an action segment as long as one clip ({config.clip.seconds:.2f} s)"
        )
    shown = {segment.action for segment in foreground}
    empty = [label for number, label in enumerate(corpus.labels) if number not in shown]
    if empty and config.empty_classes == "fail":
        raise PipelineError(
            f"{corpus.manifest.path}: {len(empty)} of {len(corpus.labels)} action classes have no training segment as "
            f"long as one clip: {', '.join(empty[:3])}{', ...' if empty[3:] else ''}; add videos, or config: "
            "pretrain_encoder.empty_classes: allow"
        )


def _dropped(
    corpus: Corpus,
    splits: Mapping[str, list[str]],
    rows: Mapping[str, VideoRow],
    used: Mapping[str, VideoRow],
    segments: Mapping[str, Segments],
    config: PretrainEncoder,
) -> list[dict[str, Any]]:
    """Every video of the splits that no clip is drawn from, with the reason; counts are said in the log."""
    wanted = {name for names in splits.values() for name in names}
    sources = {segment.video for part in segments.values() for segment in part.all}
    found = []
    for row in corpus.videos:
        video = row["video"]
        if row["split"] not in wanted or video in sources:
            continue
        if row["path"] is None:
            why = ("missing", "there is no file")
        elif video not in rows:
            why = ("rejected", "by reencode")
        elif video not in used:
            why = ("no_global_feature", "there is none")
        elif used[video].duration < config.clip.seconds:
            why = ("too_short", f"{used[video].duration:.2f} s; a clip lasts {config.clip.seconds:.2f} s")
        else:
            why = ("no_segment", "none is annotated that is as long as a clip")
        found.append({"video": video, "source": row["split"], "reason": why[0], "detail": why[1]})
    for reason, count in sorted(Counter(row["reason"] for row in found).items()):
        logging.info("%d videos are not used: %s", count, reason)
    return found


def _segments(part: str, corpus: Corpus, rows: Mapping[str, VideoRow], config: PretrainEncoder) -> Segments:
    durations = {video: row.duration for video, row in rows.items()}
    actions = action_segments(corpus.segments, durations, corpus.labels)
    foreground = long_enough(actions, config.clip.seconds)
    background: list[Segment] = []
    if config.alpha > 0:  # without the region head there is nothing to learn from background
        stated = (
            given_background(corpus.segments, durations)
            if corpus.background_given
            else background_segments(actions, durations, config.background_gap)
        )
        background = long_enough(stated, config.clip.seconds)
        if foreground and not background:
            logging.warning("split %s: no background; its region head sees foreground only", part)
    logging.info(
        "split %s: %d videos; segments: %d foreground (%d shorter than a clip left out), %d background",
        part,
        len(rows),
        len(foreground),
        len(actions) - len(foreground),
        len(background),
    )
    return Segments(foreground, background)
