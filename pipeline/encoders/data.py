"""What a pretraining is given: labels, segments of both regions, the sampler that draws clips from them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config.errors import PipelineError
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clips import Sample, Sampler
from pipeline.encoders.concept_labels import Concept, ConceptLabels
from pipeline.encoders.reading import length
from pipeline.encoders.segments import Segment, action_segments, background_segments, long_enough
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
        val: of the split `val`; may be empty.
        sampler: draws clips.
    """

    labels: list[str]
    concepts: list[Concept]
    rows: dict[str, VideoRow]
    train: Segments
    val: Segments
    sampler: Sampler

    def epoch(self, number: int, config: PretrainEncoder) -> list[Sample]:
        """The training clips of an epoch, in their order."""
        rng = generator("pretrain_encoder", config.seed, "clips", number)
        return self.sampler.training(self.train.foreground, self.train.background, config.clips_per_segment, rng)

    def validation(self, config: PretrainEncoder) -> list[Sample]:
        """The validation clips."""
        return self.sampler.validation(self.val.all, config.clips_per_segment)

    def videos_by_use(self) -> list[str]:
        """Videos that clips are drawn from, those of training first."""
        return list(dict.fromkeys(segment.video for segment in self.train.all + self.val.all))


def gather(corpus: Corpus, rows: Mapping[str, VideoRow], config: PretrainEncoder, concepts: list[Concept]) -> Data:
    """Segments and labels for the videos that are there.

    Args:
        corpus: annotations; classes are all labels in it, whether training videos show them or not.
        rows: the re-encoded videos, by id.
        config: of the pretraining.
        concepts: none leaves the semantic head out.

    Raises:
        PipelineError: no training videos, no foreground in them, or a frame rate that does not fit.
    """
    of_split: dict[str, dict[str, VideoRow]] = {}
    for split in ("train", "val"):
        known = [row["video"] for row in corpus.of_splits(split)]
        of_split[split] = {video: rows[video] for video in known if video in rows}
        if len(of_split[split]) < len(known):
            logging.info("split %s: %d videos were rejected", split, len(known) - len(of_split[split]))
    if not of_split["train"]:
        raise PipelineError(
            f"{corpus.manifest.path}: no training videos; look at the rejects of build_corpus and reencode"
        )
    labels = sorted({row["label"] for row in corpus.segments})
    segments = {split: _segments(split, corpus, labels, of_split[split], config) for split in of_split}
    if not segments["train"].foreground:
        raise PipelineError(
            f"{corpus.manifest.path}: no foreground: none of {len(of_split['train'])} training videos has "
            f"an action segment as long as one clip ({config.clip.seconds:.2f} s)"
        )
    used = of_split["train"] | of_split["val"]
    lengths = {video: length(row, config.clip) for video, row in used.items()}
    labelled = ConceptLabels([row for row in corpus.captions if row["video"] in used], concepts)
    sampler = Sampler(config.clip, lengths, labelled)
    return Data(labels, concepts, used, segments["train"], segments["val"], sampler)


def _segments(
    split: str, corpus: Corpus, labels: list[str], rows: Mapping[str, VideoRow], config: PretrainEncoder
) -> Segments:
    durations = {video: row.duration for video, row in rows.items()}
    actions = action_segments(corpus.segments, durations, labels)
    foreground = long_enough(actions, config.clip.seconds)
    background: list[Segment] = []
    if config.alpha > 0:  # without the region head there is nothing to learn from background
        gaps = background_segments(actions, durations, config.background_gap)
        background = long_enough(gaps, config.clip.seconds)
        if foreground and not background:
            logging.warning("split %s: no background; its region head sees foreground only", split)
    logging.info(
        "split %s: %d videos; segments: %d foreground (%d shorter than a clip left out), %d background",
        split,
        len(rows),
        len(foreground),
        len(actions) - len(foreground),
        len(background),
    )
    return Segments(foreground, background)
