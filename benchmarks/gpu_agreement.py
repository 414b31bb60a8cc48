"""Section `agreement` of gpu.py: compare every network on the device with the same network on the CPU."""

import copy
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.config.encoders import ENCODERS
from pipeline.config.extractors import EXTRACTORS, ExtractorSpec
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import NumLabels, pretraining_loss
from pipeline.encoders.model import PretrainingModel
from pipeline.errors import PipelineError
from pipeline.features.networks.flow import build_flow_method
from pipeline.features.networks.weights import WeightSource
from pipeline.training.precision import autocast

import torch
from gpu_common import (
    Row,
    Setting,
    build_random_extractor,
    clip_samples,
    continue_after_crash,
    distinct_extractors,
    random_window,
)
from gpu_networks import NetworkCase, Objective, Precision, list_networks, same_draws, to_device
from torch import Tensor, nn

SECTION = "agreement"
FLOAT32_TOLERANCE = 2e-3
"""Largest norm of a difference, relative to the norm of the CPU's value. TF32 is off while networks are compared."""
GRADIENT_TOLERANCE = 2e-2
"""The same for gradients in float32. Rounding decides the sign of a few inputs of ReLUs: an input that changes by 1e-6
changes the gradients of R(2+1)D-34 with random weights by 5e-4."""
BFLOAT16_TOLERANCE = 1e-1
NUM_ACTIONS, NUM_CONCEPTS = 20, 50


def run_agreement(setting: Setting) -> Iterator[Row]:
    """Compare outputs, losses and gradients of every network."""
    cudnn_tf32, matmul_tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        for subject, rows in _cases(setting):
            yield from continue_after_crash(SECTION, subject, rows)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn_tf32, matmul_tf32


def _cases(setting: Setting) -> Iterator[tuple[str, Iterator[Row]]]:
    torch.manual_seed(0)
    for architecture in ("r2plus1d_narrow",) if setting.is_small else ENCODERS:
        yield architecture, _compare_encoder(setting, architecture)
    for name, build in list_networks(setting):
        yield name, _compare_network(setting, build)
    for name, spec in distinct_extractors(setting).items():
        yield name, _compare_extractor(setting, name, spec)
    if not setting.is_small:
        yield "optical flow", _compare_flow(setting)


def _compare_network(setting: Setting, build: Callable[[], NetworkCase]) -> Iterator[Row]:
    case = build()
    yield from _compare(setting, case.name, case.network, case.inputs, case.objective, case.precisions)


def _compare(
    setting: Setting,
    subject: str,
    network: nn.Module,
    inputs: Any,
    objective: Objective,
    precisions: tuple[Precision, ...] = ("float32",),
) -> Iterator[Row]:
    """Compare a network in evaluation mode; its gradients in bfloat16 are noisy and not compared."""
    reference = _evaluate(network, inputs, objective, torch.device("cpu"), "float32")
    for precision in precisions:
        values = _evaluate(network, inputs, objective, setting.device, precision)
        if precision == "bfloat16":
            del values["gradient"]
        for name, value in values.items():
            tolerance = GRADIENT_TOLERANCE if name == "gradient" else FLOAT32_TOLERANCE
            tolerance = BFLOAT16_TOLERANCE if precision == "bfloat16" else tolerance
            yield _row(f"{subject}, {precision}", name, relative_error(value, reference[name]), tolerance)


def _row(subject: str, figure: str, error: float, tolerance: float) -> Row:
    return Row(SECTION, subject, figure, error, "relative error", f"<= {tolerance:g}", passed=error <= tolerance)


def _evaluate(
    network: nn.Module, inputs: Any, objective: Objective, device: torch.device, precision: Precision
) -> dict[str, Tensor]:
    """Return the outputs, the loss and the gradients of a copy of a network on a device."""
    network = copy.deepcopy(network).to(device).eval()
    with autocast(device, precision), same_draws(0):
        outputs, loss = objective(network, to_device(inputs, device))
    loss.float().backward()
    gradients = [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
    return {
        "output": torch.cat([output.detach().float().flatten() for output in outputs]),
        "loss": loss.detach().float(),
        "gradient": torch.cat(gradients),
    }


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return |value - reference| / |reference|; infinite if a value is not finite."""
    value, reference = value.double().cpu(), reference.double().cpu()
    if not torch.isfinite(value).all():
        return math.inf
    return ((value - reference).norm() / reference.norm().clamp_min(1e-12)).item()


def _compare_encoder(setting: Setting, architecture: str) -> Iterator[Row]:
    """Compare an encoder with all heads."""
    clips, side = (2, 64) if setting.is_small else (4, 112)
    config = EncoderEntry(architecture=architecture, initial_weights=None, freeze_stem=False)
    model = PretrainingModel(config, NumLabels(NUM_ACTIONS, NUM_CONCEPTS))
    pixels = torch.randn(clips, 3, 8, side, side)
    yield from _compare(setting, architecture, model, pixels, _pretraining_objective, ("float32", "bfloat16"))


def _pretraining_objective(model: nn.Module, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
    assert isinstance(model, PretrainingModel)
    samples = clip_samples(len(pixels), NUM_ACTIONS, NUM_CONCEPTS)
    logits = model(pixels)
    targets = {name: term.targets(samples, pixels.device) for name, term in model.loss_terms.items()}
    return list(logits.values()), pretraining_loss(logits, targets, model.loss_terms).total


def _compare_extractor(setting: Setting, name: str, spec: ExtractorSpec) -> Iterator[Row]:
    """Compare the network of an extractor on two windows, which the device prepares: RAFT is slow on a CPU."""
    try:
        extractor = build_random_extractor(name, setting.device)
    except PipelineError as error:  # an optional library is not installed
        print(f"{name}: left out: {error}", file=sys.stderr)
        return
    windows = [random_window(spec, (128, 171)).to(setting.device) for _ in range(2)]
    inputs = extractor.collate([extractor.prepare(window) for window in windows]).cpu()
    yield from _compare(setting, name, extractor.network.cpu().requires_grad_(True), inputs, _feature_objective)


def _feature_objective(network: nn.Module, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
    features = network(inputs)
    return [features], features.float().square().mean()


def _compare_flow(setting: Setting) -> Iterator[Row]:
    """Compare RAFT on two pairs of frames."""
    source = WeightSource(next(name for name in EXTRACTORS if name.endswith("_flow")), "random")
    frames = torch.nn.functional.interpolate(torch.rand(3, 3, 16, 20) * 255, size=(128, 160), mode="bicubic")
    flows = [
        build_flow_method("raft", source, device)[0](frames.to(device))
        for device in (torch.device("cpu"), setting.device)
    ]
    yield _row("optical flow (RAFT), float32", "output", relative_error(flows[1], flows[0]), FLOAT32_TOLERANCE)
