"""Grad-CAM in time: where the 3D channel looks for a class, or for one word of a caption (Selvaraju et al., 2016).

The maps are of a convolution of the 3D channel, after BatchNorm and ReLU: A[c, t] are its activations, and the weights
w come from the gradient of a score. Mahdisoltani et al. (2018) show such maps in their Figures 9 to 12; the formulas of
their published notebooks add 1 to each map and divide the weights by their largest one, which turns a map over if all
weights are negative. Their script adds 1 too. So there are three methods, of the last convolution but for the script:

- `plain`: relu(sum over c of w[c] A[c]), w the mean gradient over time and space.
- `notebook`: of a class relu(1 + sum over c of w[c, t] / max(w) A[c]), w the mean gradient over space; of a word
  1 + sum over c of w[c] / max(w) A[c].
- `script`: relu(1 + sum over c of w[c] A[c]) of the fourth convolution, w the mean gradient over time and space.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from matplotlib import colormaps
from torch import Tensor, nn
from torch.nn import functional

from pipeline.datasets.caption_tokens import GO
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.errors import PipelineError

Method = Literal["plain", "notebook", "script"]
Target = Literal["class", "word"]

LAYERS: dict[Method, str] = {"plain": "conv6", "notebook": "conv6", "script": "conv4"}
"""The convolution of each method."""

HEAT = 0.45
"""Share of the heat in an overlay."""


@dataclass(frozen=True)
class ScoredActivations:
    """A score with the activations that it depends on.

    Attributes:
        score: the score.
        activations: of the convolution.
        gradients: of the score.
    """

    score: float
    activations: Float[Tensor, "channels frames height width"]
    gradients: Float[Tensor, "channels frames height width"]


def score_class(
    network: TwoChannelNetwork, clip: Float[Tensor, "3 frames height width"], label: int, method: Method
) -> ScoredActivations:
    """Score a class of a clip.

    The score is the logit of the class if the network averages features over time, and else the mean log-probability.

    Args:
        network: in evaluation mode.
        clip: pixels divided by 64.
        label: id of the class.
        method: decides which convolution is recorded.

    Raises:
        PipelineError: the network has no classifier, or no 3D channel.
    """
    classifier = network.classifier
    if classifier is None:
        raise PipelineError("Grad-CAM of a class: this recognizer has no classifier")
    with _ActivationRecorder(network, LAYERS[method]) as recorder:
        features = network.encoder(clip[None])
        if classifier.pooling == "features":
            score = classifier.linear(features.mean(1))[0, label]
        else:
            score = classifier(features)[0, label]
        return recorder.differentiate(score)


def score_words(
    network: TwoChannelNetwork,
    clip: Float[Tensor, "3 frames height width"],
    caption: Int64[Tensor, " steps"],
    words: Sequence[tuple[int, int]],
    method: Method,
    *,
    forced: bool,
) -> Iterator[ScoredActivations]:
    """Score words of a caption by their log-probability at their step.

    Args:
        network: in evaluation mode.
        clip: pixels divided by 64.
        caption: token ids of the caption, with its padding.
        words: step and token id of each word.
        method: decides which convolution is recorded.
        forced: whether the decoder reads the caption (teacher forcing), or the most likely token of each step before.

    Raises:
        PipelineError: the network has no decoder, or no 3D channel.
    """
    decoder = network.decoder
    if decoder is None:
        raise PipelineError("Grad-CAM of a word: this recognizer has no decoder")
    for step, token in words:
        with _ActivationRecorder(network, LAYERS[method]) as recorder:
            features = network.encoder(clip[None])
            if forced:
                inputs = torch.cat([caption.new_full((1,), GO), caption[:-1]])[None]
                log_probs = decoder(features, inputs)
            else:
                log_probs, _ = decoder.generate(features, GO, len(caption))
            yield recorder.differentiate(log_probs[0, step, token])


class _ActivationRecorder:
    """Context manager that records the activations of a convolution of the 3D channel.

    cuDNN computes gradients of an LSTM in training mode only, so it is off in the context.
    """

    def __init__(self, network: TwoChannelNetwork, layer: str) -> None:
        channel = network.encoder.channel_3d
        if channel is None:
            raise PipelineError("Grad-CAM: this recognizer has no 3D channel")
        self._layer: nn.Module = channel.get_submodule(layer)
        self._activations = torch.zeros(0)
        self._cudnn = torch.backends.cudnn.flags(enabled=False)

    def __enter__(self) -> "_ActivationRecorder":
        self._hook = self._layer.register_forward_hook(self._keep)
        self._cudnn.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._cudnn.__exit__(None, None, None)
        self._hook.remove()

    def _keep(self, _module: object, _inputs: object, output: Tensor) -> None:
        self._activations = output

    def differentiate(self, score: Float[Tensor, ""]) -> ScoredActivations:
        """Return the activations and the gradient of a score."""
        [gradient] = torch.autograd.grad(score, self._activations)
        return ScoredActivations(score.item(), self._activations[0].detach(), gradient[0])


def compute_map(scored: ScoredActivations, method: Method, target: Target) -> Float[Tensor, "frames height width"]:
    """Compute the map of a score.

    Args:
        scored: the score.
        method: see the module.
        target: what the score is of; the notebooks differ.
    """
    activations, gradients = scored.activations, scored.gradients
    if method != "notebook":
        weights = gradients.mean((1, 2, 3))[:, None, None, None]
        return functional.relu((weights * activations).sum(0) + (1 if method == "script" else 0))
    if target == "class":
        weights = gradients.mean((2, 3))
        return functional.relu(1 + (weights[:, :, None, None] / weights.max() * activations).sum(0))
    weights = gradients.mean((1, 2, 3))[:, None, None, None]
    return 1 + (weights / weights.max() * activations).sum(0)


def scale_map(
    cam: Float[Tensor, "frames height width"], size: int, *, per_frame: bool = False
) -> Float[Tensor, "frames size size"]:
    """Enlarge a map bilinearly, and scale it to 0 .. 1 over the clip or, as in the notebook of words, in each frame.

    A constant map is 0.
    """
    resized = functional.interpolate(cam[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
    axes = (1, 2) if per_frame else (0, 1, 2)
    low, high = resized.amin(axes, keepdim=True), resized.amax(axes, keepdim=True)
    span = high - low
    return torch.where(span > 0, (resized - low) / span.clamp(min=torch.finfo(span.dtype).tiny), 0.0)


def overlay_map(
    clip: Float[Tensor, "3 frames size size"], heat: Float[Tensor, "frames size size"]
) -> UInt8[np.ndarray, "frames size size 3"]:
    """Draw a scaled map over the frames of a clip, blue for 0 and red for 1.

    Args:
        clip: pixels divided by 64.
        heat: the map, 0 to 1.
    """
    frames = (clip * 64).clamp(0, 255).permute(1, 2, 3, 0).cpu().numpy()
    colours = 255 * colormaps["jet"](heat.cpu().numpy())[..., :3]
    return np.rint((1 - HEAT) * frames + HEAT * colours).astype(np.uint8)
