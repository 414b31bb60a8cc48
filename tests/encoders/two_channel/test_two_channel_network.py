"""The two-channel network: the published numbers, the seven sizes, and what either head does without the other."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.config.two_channel import TWO_CHANNEL_SIZES, Pooling, TwoChannelWidths, parse_size
from pipeline.encoders.two_channel.losses import caption_loss, class_loss
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from tests.helpers.two_channel_golden import (
    GO,
    assert_recorded,
    golden_clips,
    golden_network,
    published_name,
    read_golden,
)

RECIPES = ("plain", "strong", "sharp")
PUBLISHED_SWAP = {"M(0-512)": "M(0-256)", "M(0-256)": "M(0-512)"}
"""Table 2 prints the parameter counts of its last two rows in each other's place."""


@cache
def forward(recipe: str, pooling: Pooling) -> tuple[Any, TwoChannelNetwork]:
    network = golden_network(recipe, pooling)
    with torch.no_grad():
        return network(golden_clips(), decoder_inputs(CAPTIONS)), network


CAPTIONS = torch.tensor([[5, 9, 3, 12, 7, 1, 1, 1, 1], [4, 29, 2, 6, 18, 11, 10, 25, 1]])


def decoder_inputs(captions: Tensor) -> Tensor:
    return torch.cat([torch.full((len(captions), 1), GO), captions[:, :-1]], 1)


def count(module: torch.nn.Module | None) -> int:
    return sum(weight.numel() for weight in module.parameters()) if module else 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_features_and_outputs_are_the_published_ones(recipe: str, shared: Path) -> None:
    expected = read_golden(shared, "two_channel_small")
    assert expected["captions"] == CAPTIONS.tolist()
    of_recipe = expected[recipe]
    output, network = forward(recipe, "scores")
    # Activations near 100 have rounding errors of 1e-5 in float32; in float64 only those of the file remain.
    exact, clips = golden_network(recipe).double(), golden_clips().double()
    with torch.no_grad():
        assert_recorded(exact.encoder.channel_2d(clips), of_recipe["c2d_features"])
        assert_recorded(exact.encoder.channel_3d(clips), of_recipe["c3d_features"])
        assert_recorded(output.features, of_recipe["encoder_features"])
        log_probs, tokens = network.decoder.generate(output.features, GO, 9)
    assert_recorded(output.class_log_probs, of_recipe["class_log_probs_code (mean over time of log-softmax)"])
    assert_recorded(output.token_log_probs, of_recipe["decoder_log_probs_teacher_forced"])
    assert_recorded(log_probs, of_recipe["greedy_log_probs"])
    assert of_recipe["greedy_min_top2_gap"] > 1e-4
    assert tokens.tolist() == of_recipe["greedy_ids"]
    pooled = network.decoder.pool(output.features)
    assert_recorded(pooled, of_recipe["decoder_pooled_code (mean of ReLU(mapping))"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_scores_of_the_paper_average_features(recipe: str, shared: Path) -> None:
    of_recipe = read_golden(shared, "two_channel_small")[recipe]
    output, network = forward(recipe, "features")
    assert_recorded(
        output.class_log_probs, of_recipe["class_log_probs_paper (log-softmax of the linear layer on the time mean)"]
    )
    pooled = network.decoder.pool(output.features)
    assert_recorded(pooled, of_recipe["decoder_pooled_mean_first (ReLU(mapping(mean)))"])
    assert output.class_log_probs.exp().sum(1).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("recipe", RECIPES)
def test_losses_are_the_published_ones(recipe: str, shared: Path) -> None:
    expected = read_golden(shared, "two_channel_small")
    losses, targets = expected[recipe]["losses"], torch.tensor(expected["class_targets"])
    code, network = forward(recipe, "scores")
    paper, _ = forward(recipe, "features")
    caption = caption_loss(code.token_log_probs, CAPTIONS)
    with torch.no_grad():
        generated, _ = network.decoder.generate(code.features, GO, 9)
    free_running = caption_loss(generated, CAPTIONS)
    of_code, of_paper = class_loss(code.class_log_probs, targets), class_loss(paper.class_log_probs, targets)
    values = {
        "caption_teacher_forced": caption,
        "caption_free_running": free_running,
        "class_code": of_code,
        "class_paper": of_paper,
        "total_0.1_0.9_code": 0.1 * of_code + 0.9 * caption,
        "total_0.1_0.9_paper": 0.1 * of_paper + 0.9 * caption,
        "caption_sum_over_steps (not divided by num_steps)": 9 * caption,
    }
    assert {name: float(value) for name, value in values.items()} == pytest.approx(losses, abs=1e-5, rel=1e-5)


def test_a_training_step_has_the_published_gradients(shared: Path) -> None:
    expected = read_golden(shared, "two_channel_small")
    step = expected["strong_training_step"]
    network = golden_network("strong").train()
    network.encoder.dropout.p = 0.0
    output = network(golden_clips(), decoder_inputs(CAPTIONS))
    loss = 0.1 * class_loss(output.class_log_probs, torch.tensor(expected["class_targets"]))
    loss = loss + 0.9 * caption_loss(output.token_log_probs, CAPTIONS)
    assert loss.item() == pytest.approx(step["loss"], abs=1e-5, rel=1e-5)
    loss.backward()
    gradients = {published_name(name): weight.grad for name, weight in network.named_parameters()}
    assert gradients.keys() == step["grad_abs_sum"].keys()
    for name, expected_sum in step["grad_abs_sum"].items():
        # A bias before BatchNorm has a gradient of rounding errors only.
        tolerance = {"abs": 1e-5} if name.endswith("conv.bias") else {"rel": 1e-4}
        assert gradients[name].abs().sum().item() == pytest.approx(expected_sum, **tolerance), name


@pytest.mark.parametrize("size", TWO_CHANNEL_SIZES)
def test_parameter_counts_of_the_seven_sizes(size: str, shared: Path) -> None:
    detailed = read_golden(shared, "two_channel_small")["trainable_parameters"][size]
    published = read_json(shared / "golden" / "two_channel.json")
    base_3d, base_2d = parse_size(size)
    with torch.device("meta"):
        network = TwoChannelNetwork(TwoChannelWidths(base_3d, base_2d), 174, 2880, "features")
    assert count(network.encoder) == detailed["encoder"] == published[size]["params"]
    assert count(network.classifier) == detailed["classifier_174"]
    assert count(network.decoder) == detailed["decoder_V2880"] == published["decoder_params_V2880"]
    printed = published[PUBLISHED_SWAP.get(size, size)]["table2"]
    assert round(count(network.encoder) / 1e6, 1) == printed


def test_weights_have_the_published_names(shared: Path) -> None:
    expected = read_golden(shared, "two_channel_small")["state_dict_M(256-256) V=2880"]
    with torch.device("meta"):
        network = TwoChannelNetwork(TwoChannelWidths(*parse_size("M(256-256)")), 178, 2880, "features")
    shapes = {published_name(name): list(weight.shape) for name, weight in network.state_dict().items()}
    assert shapes == dict(expected)


def test_each_head_can_be_absent() -> None:
    widths = TwoChannelWidths(1, 0, encoder=4, embedding=3, decoder=5)
    clips = torch.rand(2, 3, 5, 56, 56)
    for num_classes, vocabulary in ((3, 0), (0, 7)):
        network = TwoChannelNetwork(widths, num_classes, vocabulary, "features").eval()
        output = network(clips, torch.zeros(2, 4, dtype=torch.int64))
        assert output.features.shape == (2, 5, 4)
        assert (output.class_log_probs is not None, output.token_log_probs is not None) == (
            bool(num_classes),
            bool(vocabulary),
        )


def test_batchnorm_makes_the_features_of_similar_clips_differ() -> None:
    widths = TwoChannelWidths(1, 1, encoder=8, embedding=3, decoder=5)
    clips = 2 + 0.01 * torch.rand(4, 3, 5, 56, 56)
    spread = {}
    for batchnorm in (False, True):
        torch.manual_seed(0)
        network = TwoChannelNetwork(widths, 3, 7, "features", batchnorm=batchnorm)
        network.encoder.dropout.p = 0.0
        spread[batchnorm] = network(clips).features.mean(1).std(0).mean()
    assert spread[True] > 3 * spread[False]


@pytest.mark.parametrize("size", ["M(0-0)", "M(12-0)", "256-256", "M(-8-8)"])
def test_another_size_is_an_error_that_names_it(size: str) -> None:
    with pytest.raises(PipelineError) as error:
        parse_size(size)
    assert size in str(error.value)
    assert "M(256-256)" in str(error.value)
