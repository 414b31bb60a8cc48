"""Grad-CAM of the words of a caption over the frames of its clip (Yang et al., 2022): from words back to pixels.

The score of a word is its log-probability at its step, where the captioner reads the caption that it has written
(teacher forcing). The score is differentiated with respect to the feature rows of the clip, and from there through the
network that made them (`pipeline.features.networks.activation_maps`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from pipeline.captioning.base import Captioner
from pipeline.captioning.bundle import CaptionerBundle
from pipeline.captioning.generation import decode
from pipeline.captioning.streams import EventBatch, EventSequence, StreamCache
from pipeline.config.feature_combination import name_streams
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.encoders.grad_cam import overlay_map, scale_map
from pipeline.errors import PipelineError
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.extraction.windows import Window, read_windows
from pipeline.features.networks.activation_maps import DifferentiableExtractor, map_rows
from pipeline.training.device import resolve_device
from pipeline.video.shard import ReencodedVideo

TIMEOUT_S = 300.0
"""Longest time to wait for a frame of a clip [s]."""
TOLERANCE = 0.02
"""Largest difference of a feature from the stored one, relative to the largest stored value: batches differ."""


@dataclass(frozen=True)
class WordMaps:
    """The words of a caption, over the frames that the captioner has seen.

    Attributes:
        sentence: the caption.
        words: its words.
        frames: of each word, the frames with the heat of its map.
    """

    sentence: str
    words: list[str]
    frames: list[UInt8[np.ndarray, "rows size size 3"]]


def find_stream(bundle: CaptionerBundle, feature: str) -> str:
    """Return the name of the stream that is a feature alone.

    Raises:
        PipelineError: there is none.
    """
    streams = name_streams(bundle.features)
    stream = next((name for name, features in streams.items() if list(features) == [feature]), None)
    if stream is None:
        names = " | ".join("+".join(features) for features in streams.values())
        raise PipelineError(
            f"config: analyze_clips.word_maps: {feature} is no stream of its own of this captioner, which reads {names}"
        )
    return stream


def map_words(
    bundle: CaptionerBundle,
    clip: EventSequence,
    cache: StreamCache,
    decoding: GenerateCaptions,
    stream: str,
    extractor: DifferentiableExtractor,
    video: ReencodedVideo,
) -> WordMaps:
    """Caption a clip, and map its words over its frames.

    Args:
        bundle: the captioner.
        clip: the clip, as one event.
        cache: the features.
        decoding: how the clip is captioned.
        stream: stream of the feature whose network is differentiated.
        extractor: makes that feature, on the device of `decoding`.
        video: file of the clip.

    Raises:
        PipelineError: the video cannot be read, or the extractor makes another feature than the captioner read.
    """
    device = resolve_device(decoding.device)
    captioner = bundle.captioner.to(device)
    batch = cache.collate([clip]).to(device)
    captions = decode(bundle, batch, {clip.video: 1}, decoding)
    [ids] = captions.word_ids()
    tokens = torch.tensor([ids], device=device)
    gradients = differentiate_words(captioner, batch, tokens, stream)
    rows = gradients.abs().sum((0, 2)).nonzero().squeeze(1)  # of all rows, the captioner samples some
    windows = _read_windows(extractor, VideoSource(video.video, video.path, video), rows.tolist(), device)
    features, maps = map_rows(extractor.network, windows, gradients[:, rows])
    _check_features(features, batch.streams[stream].values[0, rows], clip.video)
    pixels = _pixels(windows)
    frames = [overlay_map(pixels, scale_map(of_word, pixels.shape[-1])) for of_word in maps]
    return WordMaps(bundle.vocabulary.decode(ids), [bundle.vocabulary.decode([word]) for word in ids], frames)


def differentiate_words(
    captioner: Captioner, batch: EventBatch, tokens: Int64[Tensor, "1 words"], stream: str
) -> Float[Tensor, "words rows dim"]:
    """Return the gradient of the log-probability of each word with respect to the feature rows of a clip.

    Args:
        captioner: in evaluation mode.
        batch: one clip.
        tokens: its caption.
        stream: stream of the rows.
    """
    values = batch.streams[stream].values.detach().clone().requires_grad_()
    streams = {**batch.streams, stream: replace(batch.streams[stream], values=values)}
    # cuDNN computes gradients of an LSTM in training mode only.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        log_probs = captioner(replace(batch, streams=streams), tokens)
        scores = log_probs.gather(2, tokens[..., None])[0, :, 0]
        return torch.stack([torch.autograd.grad(score, values, retain_graph=True)[0][0] for score in scores])


def _read_windows(
    extractor: DifferentiableExtractor, source: VideoSource, rows: Sequence[int], device: torch.device
) -> Tensor:
    """Return the prepared windows of some feature rows of a video, as a batch."""
    prepared = {}
    for index, item in enumerate(read_windows([source], [extractor], "pad", 1, TIMEOUT_S)):
        if not isinstance(item, Window):
            if item.rejection is not None:
                raise PipelineError(f"{source.path}: {item.rejection.detail}; encode the videos again")
        elif index in rows:
            prepared[index] = extractor.prepare(torch.from_numpy(np.concatenate(item.chunks)).to(device))
    if len(prepared) < len(rows):
        raise PipelineError(f"{source.path}: has fewer windows than the feature has rows; extract the feature again")
    return extractor.collate([prepared[row] for row in rows])


def _check_features(features: Tensor, stored: Tensor, clip: str) -> None:
    """Check that the network is the one that made the feature."""
    difference, largest = (features - stored).abs().max().item(), stored.abs().max().item()
    if difference > TOLERANCE * largest:
        raise PipelineError(
            f"clip {clip}: the network computes other features than the captioner read (they differ by "
            f"{difference:.2g}, values are up to {largest:.2g}); extract the feature again"
        )


def _pixels(windows: Float[Tensor, "rows 3 ..."]) -> Float[Tensor, "3 rows size size"]:
    """Return the frame in the middle of each window, its colours stretched to 0 .. 255 over the clip, divided by 64."""
    images = windows if windows.ndim == 4 else windows[:, :, windows.shape[2] // 2]
    low, high = (bound(images, (0, 2, 3)) for bound in (torch.amin, torch.amax))
    scaled = (images - low[:, None, None]) / (high - low).clamp_min(1e-6)[:, None, None]
    return (255 / 64 * scaled).transpose(0, 1)
