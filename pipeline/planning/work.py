"""The work of a job, in units that a rate per second is measured in. It follows from the job's own settings.

A job may consist of parts that run at the same time, for example a network and the decoding of its input. The job takes
as long as the slowest of its parts. The first part is the one by which past jobs are compared.

Not counted: validation between epochs (a few percent of a training), and the first compilation of a network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.encoders import ENCODERS
from pipeline.config.extract_features import EncoderFeatureSettings
from pipeline.config.extractors import EXTRACTORS, PublishedFeatureSettings, WindowGrid
from pipeline.config.load import Config
from pipeline.config.propose_events import GroundTruthProposalSettings, LearnedProposalSettings
from pipeline.planning.corpus_size import CorpusSize

EVENTS_PER_STEP = 16
"""Events of the step of a captioner whose rate is measured. A step of fewer events counts as one, of more as more."""
VIDEO_FPS = 30.0
"""Frame rate of re-encoded videos."""
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class WorkPart:
    """A part of a job.

    Attributes:
        kind: what decides the rate, within the stage: the network and its size, for example.
        unit: what is counted.
        amount: how many of them.
        is_main: whether the part is computed on the job's GPU, if the job has one.
    """

    kind: str
    unit: str
    amount: float
    is_main: bool = True


@dataclass(frozen=True)
class JobContext:
    """What the work of a job depends on.

    Attributes:
        settings: the checked section of the job, or its entry.
        wildcards: values of the wildcards.
        size: the size of its dataset.
        config: the configuration of its dataset, for entries that the section names.
    """

    settings: Any
    wildcards: Mapping[str, str]
    size: CorpusSize
    config: Config

    @property
    def num_shards(self) -> int:
        """Number of shards of the dataset."""
        return self.config.build_corpus.shards


def find_work(rule: str, context: JobContext) -> list[WorkPart]:
    """Return the parts of a job, the main part first.

    The work of a stage that nobody has described is its number of videos times its epochs: past jobs can be scaled by
    it.
    """
    return _WORK.get(rule, _any_stage)(context)


def _any_stage(context: JobContext) -> list[WorkPart]:
    epochs = max(1, getattr(context.settings, "epochs", 1))
    shards = context.num_shards if "shard" in context.wildcards else 1
    kind = str(getattr(context.settings, "kind", ""))
    return [WorkPart(kind, "videos", context.size.num_videos * epochs / shards)]


def _mine_concepts(context: JobContext) -> list[WorkPart]:
    captions = context.size.count("train", "enlarged") * context.size.events_per_video
    return [WorkPart(context.settings.tagger, "captions", captions)]


def _reencode(context: JobContext) -> list[WorkPart]:
    size = "" if context.settings.short_side is None else f", short side {context.settings.short_side}"
    return [WorkPart(f"{context.settings.preset}{size}", "s of video", context.size.seconds / context.num_shards)]


def _pretrain_encoder(context: JobContext) -> list[WorkPart]:
    entry = context.settings
    segments = context.size.segments_per_video * context.size.count("train", *entry.val_splits)
    clips = segments * entry.clips_per_segment * (2 if entry.learns_regions else 1)
    if entry.steps_per_epoch is not None:
        clips = min(clips, entry.steps_per_epoch * entry.batch_size * entry.accumulate_steps)
    clips *= entry.epochs * len(entry.head_lr)
    kind = f"{entry.architecture}, {entry.precision}{', compiled' if entry.compile else ''}"
    parts = [WorkPart(kind, "clips", clips / entry.world_size)]
    if not entry.cache_gb:  # with a cache, clips are decoded only once
        parts.append(WorkPart("loading", "clips", clips / max(1, entry.workers) / entry.world_size, is_main=False))
    return parts


@dataclass(frozen=True)
class _FeatureRows:
    """The rows of a feature that a network makes.

    Attributes:
        network: the network, and what else decides its rate.
        amount: number of rows of the whole dataset.
        dim: channels of a row.
        reads_frames: whether the network reads frames; false: sound.
    """

    network: str
    amount: float
    dim: int
    reads_frames: bool


def _feature_rows(feature: Any, context: JobContext) -> _FeatureRows | None:
    """Return the rows of a feature; None for one that is imported, or made by a recognizer."""
    if isinstance(feature, EncoderFeatureSettings):
        encoder = context.config.pretrain_encoder[feature.encoder]
        grid = WindowGrid(encoder.clip.fps, encoder.clip.frames, feature.stride)
        network, dim, reads_frames = encoder.architecture, ENCODERS[encoder.architecture].dim, True
    elif isinstance(feature, PublishedFeatureSettings):
        spec = EXTRACTORS[feature.extractor]
        grid = WindowGrid(spec.grid.fps, spec.grid.frames, feature.stride or spec.grid.stride)
        network, dim, reads_frames = spec.arguments.get("architecture", spec.name), spec.dim, spec.modality == "frames"
        if (flow := getattr(feature, "flow", "raft")) != "raft":
            network = f"{network}, {flow}"
    else:
        return None
    amount = context.size.seconds * grid.fps / grid.stride
    if feature.snippets is not None:
        amount = context.size.num_videos * float(feature.snippets)
    return _FeatureRows(network, amount, dim, reads_frames)


def _extract_features(context: JobContext) -> list[WorkPart]:
    rows = _feature_rows(context.settings, context)
    if rows is None:
        return _any_stage(context)
    parts = [WorkPart(rows.network, "rows", rows.amount / context.num_shards)]
    if rows.reads_frames:
        frames = context.size.seconds * VIDEO_FPS / context.num_shards
        parts.append(WorkPart("decoding", "frames", frames / context.settings.workers, is_main=False))
    return parts


def _pool_features(context: JobContext) -> list[WorkPart]:
    rows = _feature_rows(context.config.extract_features[context.wildcards["feature"]].root, context)
    return [WorkPart("", "rows", rows.amount)] if rows else _any_stage(context)


def _train_proposer(context: JobContext) -> list[WorkPart]:
    entry = context.settings
    videos = context.size.count("train")
    if entry.steps_per_epoch is not None:
        videos = min(videos, entry.steps_per_epoch * entry.batch_size)
    return [WorkPart(entry.kind, "videos", videos * entry.epochs)]


def _propose_events(context: JobContext) -> list[WorkPart]:
    proposals, videos = context.settings, context.size.num_videos
    if isinstance(proposals, LearnedProposalSettings):
        return [WorkPart(context.config.train_proposer[proposals.proposer].root.kind, "videos", videos)]
    kind = "annotated" if isinstance(proposals, GroundTruthProposalSettings) else "file"
    return [WorkPart(kind, "videos", videos)]


def _captioner_kind(context: JobContext) -> str:
    captioner = context.config.train_captioner[context.wildcards["captioner"]].root
    hidden = getattr(captioner, "hidden", None)
    return captioner.architecture if hidden is None else f"{captioner.architecture}, hidden {hidden}"


def _captioner_steps(context: JobContext, copies: int) -> float:
    """Return the steps of a training, a step of up to `EVENTS_PER_STEP` events.

    Args:
        context: the job.
        copies: captions of each event in a step.
    """
    entry = context.settings
    steps = context.size.count(*entry.splits) / entry.batch_videos
    if entry.steps_per_epoch is not None:
        steps = min(steps, entry.steps_per_epoch)
    events = entry.batch_videos * context.size.events_per_video * copies
    return steps * entry.epochs * max(1.0, events / EVENTS_PER_STEP)


def _train_captioner(context: JobContext) -> list[WorkPart]:
    return [WorkPart(_captioner_kind(context), f"steps of {EVENTS_PER_STEP} events", _captioner_steps(context, 1))]


def _finetune_scst(context: JobContext) -> list[WorkPart]:
    entry = context.settings
    sequences = 1 if entry.proposals == "gt" else entry.event_sequences
    # A measured step generates two captions of each event: a sample, and the greedy one.
    generated = entry.samples / 2 if entry.baseline == "samples" else (entry.samples + 1) / 2
    steps = _captioner_steps(context, sequences) * max(1.0, generated)
    return [WorkPart(_captioner_kind(context), f"steps of {EVENTS_PER_STEP} events", steps)]


def _num_proposals(context: JobContext, proposals: str) -> float:
    """Return the proposals of a video: annotated events, or as many as a proposer may select."""
    if proposals in ("gt", "control"):
        return context.size.events_per_video
    entry = context.config.propose_events[proposals].root
    if isinstance(entry, LearnedProposalSettings):
        return float(entry.max_proposals)
    return context.size.events_per_video


def _generate_captions(context: JobContext) -> list[WorkPart]:
    entry, wildcards = context.settings, context.wildcards
    captions = context.size.count(wildcards["split"]) * _num_proposals(context, wildcards["proposals"])
    decoding = f"beam of {entry.beam}" if entry.decoding == "beam" else entry.decoding
    return [WorkPart(f"{_captioner_kind(context)}, {decoding}", "captions", captions)]


def _select_captions(context: JobContext) -> list[WorkPart]:
    wildcards = context.wildcards
    captions = context.size.count(wildcards["split"]) * _num_proposals(context, wildcards["proposals"])
    return [WorkPart("", "captions of members", captions * len(context.config.select_captions.members))]


def _evaluate(context: JobContext) -> list[WorkPart]:
    per_video = sum(_num_proposals(context, proposals) for proposals in ("gt", "learned", "control"))
    return [WorkPart("", "captions", context.size.count(context.wildcards["split"]) * per_video)]


_WORK: dict[str, Callable[[JobContext], list[WorkPart]]] = {
    "mine_concepts": _mine_concepts,
    "reencode": _reencode,
    "pretrain_encoder": _pretrain_encoder,
    "extract_features": _extract_features,
    "pool_features": _pool_features,
    "train_proposer": _train_proposer,
    "propose_events": _propose_events,
    "train_captioner": _train_captioner,
    "finetune_scst": _finetune_scst,
    "generate_captions": _generate_captions,
    "select_captions": _select_captions,
    "evaluate": _evaluate,
}
"""Stage -> the function that returns the work of a job."""


def count_feature_bytes(context: JobContext) -> float:
    """Return the size of the feature that a job of `extract_features` writes [bytes]."""
    rows = _feature_rows(context.settings, context)
    return rows.amount / context.num_shards * rows.dim * FLOAT32_BYTES if rows else 0.0
