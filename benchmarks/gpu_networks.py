"""The networks of gpu.py that learn from features or captions, made from the registries, with random inputs.

A captioner, a proposer or a localizer that is registered is tested without an edit here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal
from unittest import mock

from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.captioning.targets import CaptionTargets
from pipeline.config.attributes import AttributeSettings
from pipeline.config.base import Settings
from pipeline.config.bimodal import VISUAL_AND_AUDIO
from pipeline.config.captioners import CAPTIONERS
from pipeline.config.localizers import LOCALIZERS
from pipeline.config.proposers import PROPOSERS
from pipeline.config.two_channel import TwoChannelWidths, parse_size
from pipeline.encoders.two_channel.losses import caption_loss, class_loss
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.features.time_grid import ClipGrid
from pipeline.localization.localizer import LabelledSegment, LocalizerInputs
from pipeline.localization.localizer_training import build_localizer
from pipeline.localization.proposals import Proposal
from pipeline.localization.proposer import ProposerInputs
from pipeline.localization.proposer_training import build_proposer

import numpy as np
import torch
from gpu_common import MAX_WORDS, Setting
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
Objective = Callable[[nn.Module, Any], tuple[list[Tensor], Tensor]]
"""From a network and its inputs to its outputs and a loss."""
SMALL: dict[str, Any] = {
    "hidden": 32,
    "embedding": 32,
    "feedforward": 32,
    "temporal_scale": 16,
    "max_duration": 16,
    "hidden_dim_1d": 16,
    "hidden_dim_2d": 16,
    "hidden_dim_3d": 16,
    "visual_anchors": 4,
    "audio_anchors": 4,
    "visual_kernels": [1, 5],
    "audio_kernels": [5],
    "head_channels": [16],
}
"""Settings of small networks, for a test of the script on a CPU; each network has some of them."""
NUM_CLASSES = 20
EVENTS = ((0.5, 2.0), (7.0, 40.0), (35.0, 93.0))
"""Start and end of the events of each video [s]."""


@dataclass(frozen=True)
class NetworkCase:
    """A network with inputs.

    Attributes:
        name: the name in the table.
        network: the network, on the CPU.
        inputs: what the objective reads; it has a method `to`, or it is a tuple of values that have one.
        objective: computes outputs and a loss.
        precisions: number formats in which the pipeline trains the network.
    """

    name: str
    network: nn.Module
    inputs: Any
    objective: Objective
    precisions: tuple[Precision, ...] = ("float32",)


def list_networks(setting: Setting) -> Iterator[tuple[str, Callable[[], NetworkCase]]]:
    """Yield each network's name, and a function that builds it."""
    for name, spec in CAPTIONERS.items():
        yield name, lambda name=name: _captioner_case(setting, name, with_attributes=False)
        if "attributes" in spec.settings.model_fields:
            yield f"{name} with attributes", lambda name=name: _captioner_case(setting, name, with_attributes=True)
    for name in PROPOSERS:
        yield f"proposer {name}", lambda name=name: _proposer_case(setting, name)
    for name in LOCALIZERS:
        yield f"localizer {name}", lambda name=name: _localizer_case(setting, name)
    yield "two-channel network", lambda: _two_channel_case(setting)


def to_device(inputs: Any, device: torch.device) -> Any:
    """Copy inputs to a device."""
    return tuple(value.to(device) for value in inputs) if isinstance(inputs, tuple) else inputs.to(device)


@contextmanager
def same_draws(seed: int) -> Iterator[None]:
    """Seed all generators, and draw what a loss draws by `torch.rand` on the CPU: the same numbers on every device."""
    draw = torch.rand

    def draw_on_cpu(*size: Any, device: Any = None, **options: Any) -> Tensor:
        return draw(*size, **options).to(device or "cpu")

    torch.manual_seed(seed)
    with mock.patch.object(torch, "rand", draw_on_cpu):
        yield


def _parse(setting: Setting, model: type[Settings], name: str, data: dict[str, Any]) -> Any:
    """Return settings; small ones for a test of the script."""
    small = {key: value for key, value in SMALL.items() if key in model.model_fields} if setting.is_small else {}
    return model.parse({**small, **data}, name)


def _captioner_case(setting: Setting, name: str, *, with_attributes: bool) -> NetworkCase:
    spec, label = CAPTIONERS[name], f"{name}{' with attributes' * with_attributes}"
    num_ids, num_rows, dim = (50, 20, 24) if setting.is_small else (5747, 120, 1024)
    attributes = {"attributes": AttributeSettings(count=20).model_dump(mode="json")} if with_attributes else {}
    settings = _parse(setting, spec.settings, name, {"architecture": name, **attributes})
    try:
        streams = sorted(VISUAL_AND_AUDIO)
        settings.check_streams(streams)
    except ValueError:
        streams = ["features"]
    sizes = CaptionerSizes(dict.fromkeys(streams, dim), num_ids, MAX_WORDS, settings.num_attributes)
    batch, tokens = random_events(streams, num_rows, dim, num_ids)
    lengths = torch.full((len(tokens), MAX_WORDS + 1), 1 / (MAX_WORDS + 1))
    words = [["a", "red", "ball"] for _ in tokens]
    labels = (torch.arange(sizes.attributes) % 3 == 0).float().repeat(len(tokens), 1)
    targets = CaptionTargets(tokens, words, lengths, labels)
    return NetworkCase(label, spec.load()(sizes, settings), (batch, targets), _captioning_objective)


def random_events(streams: Sequence[str], num_rows: int, dim: int, num_ids: int) -> tuple[EventBatch, Tensor]:
    """Return four videos of four events with random features, and captions of the events."""
    num_videos, events_per_video, length = 4, 4, 0.25
    starts = torch.linspace(0.0, 0.7, events_per_video).repeat(num_videos)
    relative_times = torch.stack([starts, starts + length, torch.full_like(starts, length)], 1)
    event_rows = torch.stack([(starts * num_rows).long(), ((starts + length) * num_rows).long()], 1)
    lengths = torch.full((num_videos,), num_rows)
    of_streams = {
        name: BatchStream(torch.randn(num_videos, num_rows, dim), lengths, event_rows.clone()) for name in streams
    }
    tokens = torch.randint(2, num_ids, (num_videos * events_per_video, 12))
    tokens[:, -1] = 0
    return EventBatch(of_streams, torch.arange(num_videos).repeat_interleave(events_per_video), relative_times), tokens


def _captioning_objective(captioner: nn.Module, inputs: Any) -> tuple[list[Tensor], Tensor]:
    batch, targets = inputs
    log_probs = captioner(batch, targets.tokens)
    losses: Mapping[str, Tensor] = captioner.compute_losses(batch, targets)  # type: ignore[operator]
    return [log_probs[torch.isfinite(log_probs)]], torch.stack(list(losses.values())).sum()


class RandomInputs(LocalizerInputs):
    """Videos of 100 s with a row of random features for each second."""

    def __init__(self, dim: int, streams: Sequence[str] = ()) -> None:
        self.dim = dim
        self.streams: dict[str, ProposerInputs] = {name: RandomInputs(dim) for name in streams}

    @property
    def grid(self) -> ClipGrid:
        """The times of the rows."""
        return ClipGrid(fps=1.0, frames=1, stride=1)

    def is_empty(self, _video: str) -> bool:
        """Return False: every video has features."""
        return False

    def features(self, video: str) -> Tensor:
        """Return the features of a video."""
        return torch.randn(100, self.dim, generator=torch.Generator().manual_seed(int(video)))

    def centres(self, _video: str) -> np.ndarray:
        """Return the middle of each row [s]."""
        return np.arange(100) + 0.5

    def duration(self, _video: str) -> float:
        """Return the duration of a video [s]."""
        return 100.0

    def proposals(self, _video: str) -> Sequence[Proposal]:
        """Return segments of several lengths, in time order."""
        segments = [(float(start), float(start + length)) for length in (6, 20, 55) for start in range(0, 45, 5)]
        return [Proposal(start, end, 1.0) for start, end in sorted(segments)]


class FeatureNetwork(nn.Module):
    """A proposer or a localizer as a module, so that it can be copied to a device.

    Args:
        part: the proposer or localizer; its network is the module's only child.
    """

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.network = part.network
        self.part = part

    def run(self, compute_loss: Callable[[Any], Tensor]) -> tuple[list[Tensor], Tensor]:
        """Compute a loss, and return what the network returned meanwhile, with the loss."""
        outputs: list[Tensor] = []
        handle = self.network.register_forward_hook(lambda *call: outputs.extend(_float_tensors(call[-1])))
        try:
            with same_draws(0):
                loss = compute_loss(self.part)
        finally:
            handle.remove()
        return outputs, loss


def _float_tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        yield from _float_tensors(list(value.values()))
    elif isinstance(value, Sequence):
        yield from (tensor for item in value for tensor in _float_tensors(item))
    elif is_dataclass(value):
        yield from _float_tensors([getattr(value, field.name) for field in fields(value)])


def _proposer_case(setting: Setting, name: str) -> NetworkCase:
    model, dim = PROPOSERS[name].settings, 24 if setting.is_small else 400
    streams = sorted(VISUAL_AND_AUDIO) if model.reads_streams else []
    features = {stream: [stream] for stream in streams} or ["features"]
    settings = _parse(setting, model, name, {"kind": name, "features": features})
    proposer = build_proposer(settings, dict.fromkeys(streams, dim) if streams else dim)
    inputs, events = RandomInputs(dim, streams), {str(video): list(EVENTS) for video in range(2)}
    proposer.fit(inputs, events)

    def objective(module: nn.Module, _inputs: Any) -> tuple[list[Tensor], Tensor]:
        assert isinstance(module, FeatureNetwork)
        return module.run(lambda part: part.compute_losses(inputs, events).total)

    return NetworkCase(f"proposer {name}", FeatureNetwork(proposer), (), objective)


def _localizer_case(setting: Setting, name: str) -> NetworkCase:
    model, dim = LOCALIZERS[name].settings, 24 if setting.is_small else 400
    settings = _parse(setting, model, name, {"kind": name, "features": ["features"]})
    localizer, inputs = build_localizer(settings, dim, NUM_CLASSES), RandomInputs(dim)
    segments = {
        str(video): [LabelledSegment(start, end, index) for index, (start, end) in enumerate(EVENTS)]
        for video in range(2)
    }
    items = list(dict.fromkeys(localizer.training_items(inputs, segments)))[:4]

    def objective(module: nn.Module, _inputs: Any) -> tuple[list[Tensor], Tensor]:
        assert isinstance(module, FeatureNetwork)
        return module.run(lambda part: part.compute_losses(inputs, segments, items).total)

    return NetworkCase(f"localizer {name}", FeatureNetwork(localizer), (), objective)


def _two_channel_case(setting: Setting) -> NetworkCase:
    size, clips, frames, side = ("M(16-16)", 2, 8, 64) if setting.is_small else ("M(256-256)", 2, 48, 96)
    small = {"encoder": 32, "embedding": 16, "decoder": 32} if setting.is_small else {}
    network = TwoChannelNetwork(TwoChannelWidths(*parse_size(size), **small), 174, 2880, "features")
    inputs = (torch.randn(clips, 3, frames, side, side), torch.randint(2, 2880, (clips, 14)), torch.arange(clips))
    return NetworkCase("two-channel network", network, inputs, _two_channel_objective, ("float32", "bfloat16"))


def _two_channel_objective(network: nn.Module, inputs: Any) -> tuple[list[Tensor], Tensor]:
    pixels, tokens, labels = inputs
    output = network(pixels, tokens)
    loss = class_loss(output.class_log_probs, labels) + caption_loss(output.token_log_probs, tokens)
    return [output.features, output.class_log_probs, output.token_log_probs], loss
