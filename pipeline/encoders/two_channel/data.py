"""The clips of a recognizer: targets of each, drawn or central crops in time and space.

Training draws 48 consecutive frames and a crop, uniformly, both ends included; evaluation uses the central ones
(Mahdisoltani et al., 2018, section 5). There is no mirroring: some classes tell left from right.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.caption_tokens import CaptionTokens
from pipeline.datasets.clip_labels import ClipLabels, LabelledClip
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.encoders.clip_reader import num_clip_frames
from pipeline.encoders.clip_transforms import central_crop_offset
from pipeline.encoders.sampling import NO_ACTION, ClipSample
from pipeline.errors import PipelineError
from pipeline.training.seeds import numpy_generator
from pipeline.video.shard import ReencodedVideo


@dataclass(frozen=True)
class RecognitionTarget:
    """What a recognizer learns of a clip.

    Attributes:
        label: id of the class or group; NO_ACTION without a classifier.
        tokens: ids of the caption; empty without a decoder.
    """

    label: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class RecognitionData:
    """The data of a training.

    Attributes:
        classes: names of the classes or groups, by id; empty without a classifier.
        tokens: vocabulary of the captions; None without a decoder.
        videos: the re-encoded videos in use, by id.
        targets: of each video in use.
        train: ids of the training videos.
        val: ids of the videos on which the epoch is selected; may be empty.
        unused: videos of these splits without a clip, with the reason.
    """

    classes: list[str]
    tokens: CaptionTokens | None
    videos: dict[str, ReencodedVideo]
    targets: dict[str, RecognitionTarget]
    train: list[str]
    val: list[str]
    unused: list[RejectedVideo]

    def train_samples(self, epoch: int, config: RecognizerEntry) -> list[ClipSample]:
        """Draw a clip of each training video, in random order."""
        rng = numpy_generator("train_recognizer", config.seed, "clips", epoch)
        order = rng.permutation(len(self.train))
        return [self._draw(self.train[index], config.clip, rng) for index in order]

    def val_samples(self, config: RecognizerEntry) -> list[ClipSample]:
        """Return the central clip of each validation video."""
        return [central_sample(self.videos[video], config.clip, self.targets[video].label) for video in self.val]

    def _draw(self, video: str, clip: ClipGeometry, rng: np.random.Generator) -> ClipSample:
        row = self.videos[video]
        height, width = clip.resized(row.height, row.width)
        start = rng.integers(0, max(0, num_clip_frames(row, clip) - clip.frames), endpoint=True)
        top = rng.integers(0, height - clip.crop, endpoint=True)
        left = rng.integers(0, width - clip.crop, endpoint=True)
        return ClipSample(video, int(start), self.targets[video].label, None, int(top), int(left), flip=False)


def central_sample(video: ReencodedVideo, clip: ClipGeometry, label: int = NO_ACTION) -> ClipSample:
    """Return the central clip of a video, with a central crop."""
    start = max(0, (num_clip_frames(video, clip) - clip.frames) // 2)
    offset = central_crop_offset(clip, clip.resized(video.height, video.width))
    return ClipSample(video.video, start, label, None, *offset, flip=False)


def build_recognition_data(
    corpus: Corpus, labels: ClipLabels, videos: Mapping[str, ReencodedVideo], config: RecognizerEntry
) -> RecognitionData:
    """Collect the clips of a training.

    Words are collected from the captions and class names of all training clips, as in the authors' code.

    Args:
        corpus: splits of the videos.
        labels: labels of the clips.
        videos: the re-encoded videos, by id.
        config: settings of the training.

    Raises:
        PipelineError: there are no groups although the classifier shall learn them, or no training clips.
    """
    if config.classes == "groups" and not labels.group_of:
        raise PipelineError("train_recognizer.classes = groups, but label_clips.groups names no file of groups")
    rows = {row.video: row for row in labels.clips}
    splits = {row.video: row.split for row in corpus.videos}
    train = [video for video, split in splits.items() if split in config.train_splits]
    tokens = _build_tokens([rows[video] for video in train if video in rows], config)
    encoder = tokens.encoder() if tokens else None
    names = {"classes": labels.labels, "groups": labels.groups, None: []}[config.classes]
    ids = {name: index for index, name in enumerate(names)}
    targets: dict[str, RecognitionTarget] = {}
    unused: list[RejectedVideo] = []
    for row in corpus.videos:
        if row.split not in (*config.train_splits, "val"):
            continue
        reason = _reason_unused(row.video, row.path, rows, videos, needs_caption=encoder is not None)
        if reason:
            unused.append(RejectedVideo(row.video, row.split, *reason))
            continue
        clip = rows[row.video]
        name = labels.group_of[clip.label] if config.classes == "groups" else clip.label
        caption = encoder.encode(clip.caption(config.captions)) if encoder and config.captions else []
        targets[row.video] = RecognitionTarget(ids.get(name, NO_ACTION), tuple(caption))
    for code, count in sorted(Counter(row.reason for row in unused).items()):
        logging.info("%d videos are not used: %s", count, code)
    data = RecognitionData(
        classes=names,
        tokens=tokens,
        videos={video: videos[video] for video in targets},
        targets=targets,
        train=[video for video in train if video in targets],
        val=[video for video in targets if splits[video] == "val"],
        unused=unused,
    )
    if not data.train:
        raise PipelineError(f"{corpus.manifest.path}: no clips of {' or '.join(config.train_splits)} to train on")
    return data


def _build_tokens(clips: Sequence[LabelledClip], config: RecognizerEntry) -> CaptionTokens | None:
    if config.captions is None:
        return None
    texts = [text for clip in clips for text in (clip.label, clip.caption(config.captions)) if text]
    return CaptionTokens.build(texts, config.cutoff, config.max_length)


def _reason_unused(
    video: str,
    path: str | None,
    rows: Mapping[str, LabelledClip],
    videos: Mapping[str, ReencodedVideo],
    *,
    needs_caption: bool,
) -> tuple[str, str] | None:
    """Return reason and detail why a video has no clip; None if it has one."""
    if path is None:
        return "missing", "there is no file"
    if video not in videos:
        return "rejected", "by reencode"
    if video not in rows:
        return "no_label", "no annotation gives its class"
    if needs_caption and not rows[video].full:
        return "no_caption", "no annotation gives its caption"
    return None
