"""Grad-CAM of words: from the score of a word through captioner and network to the last activations."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.captioning.base import Captioner, CaptionerSizes
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.captioning.word_maps import differentiate_words
from pipeline.config.captioners import CAPTIONERS
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.errors import PipelineError
from pipeline.features.networks.activation_maps import find_last_layer, map_rows

NUM_ROWS, DIM, SIDE = 5, 16, 32


def clip_resnet() -> tuple[nn.Module, Tensor]:
    """CLIP's ResNet by open_clip, small, with random weights; and windows."""
    network = open_clip("modified_resnet").ModifiedResNet((1, 1, 1, 1), DIM, 4, image_size=2 * SIDE, width=8)
    return network, torch.rand(NUM_ROWS, 3, 2 * SIDE, 2 * SIDE)


def clip_transformer() -> tuple[nn.Module, Tensor]:
    """CLIP's vision transformer by open_clip, small, with random weights; and windows."""
    network = open_clip("transformer").VisionTransformer(SIDE, 8, 24, 3, 2, 2.0, output_dim=DIM)
    return network, torch.rand(NUM_ROWS, 3, SIDE, SIDE)


def own_encoder() -> tuple[nn.Module, Tensor]:
    """An encoder of this project, with random weights; and windows of several frames."""
    network = build_encoder("r2plus1d_narrow")
    return network, torch.rand(NUM_ROWS, 3, 4, SIDE, SIDE)


def open_clip(module: str) -> Any:
    import_torchvision()
    pytest.importorskip("open_clip", reason="open_clip is an optional library")
    return importlib.import_module(f"open_clip.{module}")


def captioner_of(architecture: str, dim: int) -> Captioner:
    heads = {} if architecture == "topdown" else {"heads": 2, "feedforward": 16}
    spec = CAPTIONERS[architecture]
    settings = spec.settings.model_validate({"hidden": 8, "max_rows": 3, **heads})
    return spec.load()(CaptionerSizes({"image": dim, "audio": 4}, 12, 6, 0), settings).eval()


def one_clip(rows: Tensor) -> EventBatch:
    lengths, span = torch.tensor([NUM_ROWS]), torch.tensor([[0, NUM_ROWS]])
    audio = torch.rand(1, NUM_ROWS, 4, generator=torch.Generator().manual_seed(1))
    streams = {"image": BatchStream(rows[None], lengths, span), "audio": BatchStream(audio, lengths, span)}
    return EventBatch(streams, torch.tensor([0]), torch.tensor([[0.0, 1.0, 1.0]]))


@pytest.mark.parametrize(
    ("build", "architecture"),
    [(clip_resnet, "transformer"), (clip_transformer, "topdown"), (own_encoder, "nacf")],
    ids=["resnet", "vit", "r2plus1d"],
)
def test_maps_equal_the_gradient_of_the_whole_network(
    build: Callable[[], tuple[nn.Module, Tensor]], architecture: str
) -> None:
    torch.manual_seed(0)
    network, windows = build()
    network.eval()
    recorded: list[Tensor] = []
    handle = find_last_layer(network).register_forward_hook(lambda *call: recorded.append(call[-1]))
    rows = network(windows)
    handle.remove()
    captioner, tokens = captioner_of(architecture, rows.shape[1]), torch.tensor([[4, 7, 2, 0]])

    scores = captioner(one_clip(rows), tokens).gather(2, tokens[..., None])[0, :, 0]
    expected = []
    for score in scores:
        [gradient] = torch.autograd.grad(score, recorded[0], retain_graph=True)
        values = recorded[0]
        if values.ndim == 3:  # tokens, the first of which is that of the class
            side = int((values.shape[1] - 1) ** 0.5)
            values, gradient = (
                part[:, 1:].transpose(1, 2).reshape(NUM_ROWS, -1, 1, side, side) for part in (values, gradient)
            )
        elif values.ndim == 4:
            values, gradient = values[:, :, None], gradient[:, :, None]
        maps = [
            (gradient[row].mean((1, 2, 3))[:, None, None, None] * values[row]).sum(0).relu().mean(0)
            for row in range(NUM_ROWS)
        ]
        expected.append(torch.stack(maps))

    network.requires_grad_(False)
    gradients = differentiate_words(captioner, one_clip(rows.detach()), tokens, "image")
    computed_rows, maps = map_rows(network, windows, gradients)
    torch.testing.assert_close(computed_rows, rows.detach())
    torch.testing.assert_close(maps, torch.stack(expected).detach(), atol=1e-7, rtol=1e-4)
    assert maps.any()
    assert gradients.abs().sum((0, 2)).count_nonzero() == 3, "the captioner samples 3 of 5 rows"


def test_a_network_without_a_last_layer_to_map_is_one_plain_error() -> None:
    with pytest.raises(PipelineError, match="Linear"):
        map_rows(nn.Linear(2, 2), torch.rand(1, 2), torch.rand(1, 1, 2))
