"""The data of a pretraining: labels, segments of both regions, and the sampler that draws clips from them."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.concepts import Concept
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.encoders.clip_reader import num_clip_frames
from pipeline.encoders.losses import NumLabels
from pipeline.encoders.sampling import (
    ClipSample,
    ClipSampler,
    ConceptLabels,
    RegionSegment,
    action_segments,
    annotated_background,
    background_segments,
    drop_short,
)
from pipeline.errors import PipelineError
from pipeline.features.pooled import PooledVideoFeatures
from pipeline.training.seeds import numpy_generator
from pipeline.video.shard import ReencodedVideo


@dataclass(frozen=True)
class SplitSegments:
    """The segments of a split that are at least as long as a clip."""

    foreground: list[RegionSegment]
    background: list[RegionSegment]

    @property
    def all(self) -> list[RegionSegment]:
        """All segments, the foreground first."""
        return self.foreground + self.background


@dataclass(frozen=True)
class PretrainingData:
    """The data of a pretraining.

    Attributes:
        labels: action classes, by index.
        concepts: concepts, by index; empty if no term of the loss needs them.
        videos: the re-encoded videos in use, by id.
        train: segments of the split `train`.
        val: segments of the splits on which the epoch is selected; may be empty.
        sampler: draws clips.
        unused: videos without any clip, with the reason.
    """

    labels: list[str]
    concepts: list[Concept]
    videos: dict[str, ReencodedVideo]
    train: SplitSegments
    val: SplitSegments
    sampler: ClipSampler
    unused: list[RejectedVideo]

    @property
    def num_labels(self) -> NumLabels:
        """Numbers of action classes and concepts."""
        return NumLabels(len(self.labels), len(self.concepts))

    def train_samples(self, epoch: int, config: EncoderEntry) -> list[ClipSample]:
        """Draw the training clips of an epoch, in their order."""
        rng = numpy_generator("pretrain_encoder", config.seed, "clips", epoch)
        return self.sampler.draw_training(
            self.train.foreground, self.train.background, config.clips_per_segment, rng, balance=config.balance
        )

    def val_samples(self, config: EncoderEntry) -> list[ClipSample]:
        """Return the validation clips, the same for every epoch."""
        return self.sampler.validation_samples(self.val.all, config.clips_per_segment)

    def videos_with_clips(self) -> list[str]:
        """Return the videos that clips are drawn from, the training videos first."""
        return list(dict.fromkeys(segment.video for segment in self.train.all + self.val.all))


def build_pretraining_data(
    corpus: Corpus,
    videos: Mapping[str, ReencodedVideo],
    config: EncoderEntry,
    concepts: list[Concept],
    global_features: PooledVideoFeatures | None = None,
) -> PretrainingData:
    """Collect the segments and labels of the available videos.

    Args:
        corpus: annotations and action classes.
        videos: the re-encoded videos, by id.
        config: section of the stage.
        concepts: the concepts; empty if no term of the loss needs them.
        global_features: features of whole videos, if the region head sees them; videos without one are left out.

    Raises:
        PipelineError: there is no training video or no foreground; a class has no training segment (unless config
            allows it); or a frame rate does not fit. An encoder of 0 epochs needs none of these.
    """
    available = videos.keys() if global_features is None else videos.keys() & set(global_features.videos)
    splits: dict[str, list[str]] = {"train": ["train"], "val": [*config.val_splits]}
    by_split = {
        split: {row.video: videos[row.video] for row in corpus.videos_of_splits(*names) if row.video in available}
        for split, names in splits.items()
    }
    if not by_split["train"] and config.epochs:
        raise PipelineError(
            f"{corpus.manifest.path}: no training videos; look at the rejects of build_corpus and reencode"
        )
    segments = {split: _collect_segments(split, corpus, by_split[split], config) for split in by_split}
    if config.epochs:
        _check_classes(corpus, segments["train"].foreground, len(by_split["train"]), config)
    used = by_split["train"] | by_split["val"]
    unused = _list_unused(corpus, splits, videos, used, segments, config)
    num_frames = {video: num_clip_frames(row, config.clip) for video, row in used.items()}
    concept_labels = ConceptLabels([event for event in corpus.captions if event.video in used], concepts)
    sizes = {video: config.clip.resized(row.height, row.width) for video, row in used.items()}
    sampler = ClipSampler(config.clip, num_frames, sizes, concept_labels)
    return PretrainingData(corpus.labels, concepts, used, segments["train"], segments["val"], sampler, unused)


def _check_classes(corpus: Corpus, foreground: list[RegionSegment], num_videos: int, config: EncoderEntry) -> None:
    if not foreground:
        raise PipelineError(
            f"{corpus.manifest.path}: no foreground: none of {num_videos} training videos has "
            f"an action segment as long as one clip ({config.clip.seconds:.2f} s)"
        )
    trained = {segment.action for segment in foreground}
    empty = [label for index, label in enumerate(corpus.labels) if index not in trained]
    if empty and config.empty_classes == "fail":
        raise PipelineError(
            f"{corpus.manifest.path}: {len(empty)} of {len(corpus.labels)} action classes have no training segment as "
            f"long as one clip: {', '.join(empty[:3])}{', ...' if empty[3:] else ''}; add videos, or set "
            "pretrain_encoder.empty_classes: allow"
        )


def _list_unused(
    corpus: Corpus,
    splits: Mapping[str, list[str]],
    videos: Mapping[str, ReencodedVideo],
    used: Mapping[str, ReencodedVideo],
    segments: Mapping[str, SplitSegments],
    config: EncoderEntry,
) -> list[RejectedVideo]:
    """List the videos of the splits that no clip is drawn from, with the reason; log the counts."""
    names = {name for of_split in splits.values() for name in of_split}
    with_clips = {segment.video for of_split in segments.values() for segment in of_split.all}
    unused = []
    for row in corpus.videos:
        video = row.video
        if row.split not in names or video in with_clips:
            continue
        if row.path is None:
            reason, detail = "missing", "there is no file"
        elif video not in videos:
            reason, detail = "rejected", "by reencode"
        elif video not in used:
            reason, detail = "no_global_feature", "there is none"
        elif used[video].duration < config.clip.seconds:
            reason, detail = "too_short", f"{used[video].duration:.2f} s; a clip lasts {config.clip.seconds:.2f} s"
        else:
            reason, detail = "no_segment", "none is annotated that is as long as a clip"
        unused.append(RejectedVideo(video, row.split, reason, detail))
    for reason, count in sorted(Counter(row.reason for row in unused).items()):
        logging.info("%d videos are not used: %s", count, reason)
    return unused


def _collect_segments(
    split: str, corpus: Corpus, videos: Mapping[str, ReencodedVideo], config: EncoderEntry
) -> SplitSegments:
    durations = {video: row.duration for video, row in videos.items()}
    actions = action_segments(corpus.segments, durations, corpus.labels)
    foreground = drop_short(actions, config.clip.seconds)
    background: list[RegionSegment] = []
    if config.learns_regions:
        gaps = (
            annotated_background(corpus.segments, durations)
            if corpus.has_annotated_background
            else background_segments(actions, durations, config.background_gap)
        )
        background = drop_short(gaps, config.clip.seconds)
        if foreground and not background:
            logging.warning("split %s: no background; its region head sees foreground only", split)
    logging.info(
        "split %s: %d videos; segments: %d foreground (%d shorter than a clip left out), %d background",
        split,
        len(videos),
        len(foreground),
        len(actions) - len(foreground),
        len(background),
    )
    return SplitSegments(foreground, background)
