"""Time SGAlign against a plain loop over proposals, a training step of G-TAD, and its inference on 4,700 videos.

The loop computes what the published CUDA op computes, segment by segment: all samples of a segment, then the first 1x1
convolution. SGAlign applies the convolution to the sequence first. Output and gradients are compared. The training step
has the published sizes for ActivityNet: 16 videos of 100 positions and 400 channels.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config.localizers import GtadSettings
from pipeline.localization.gtad.localizer import GtadLocalizer
from pipeline.localization.gtad.network import gather_neighbours, nearest_positions
from pipeline.localization.gtad.sgalign import SegmentAlignment, bin_weights, segment_regions
from pipeline.localization.gtad.targets import gtad_losses, stack_targets, video_targets

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the usual name

VIDEOS = 4_700
"""Videos of ActivityNet's validation set, rounded."""


class AlignmentLoop:
    """SGAlign, segment by segment and in the published order: samples, then convolution.

    Args:
        layer: has the weights of the convolution.
    """

    def __init__(self, layer: SegmentAlignment) -> None:
        self.layer = layer
        regions = segment_regions(layer.positions, layer.max_duration)
        self.weights = [
            [
                bin_weights(region[None], bins, layer.positions).to_dense().view(bins, -1).float().T.contiguous()
                for bins in (layer.bins, layer.context_bins)
            ]
            for region in regions
        ]

    def __call__(self, x: Tensor, context: Tensor) -> Tensor:
        """Compute the features of each segment [duration, start]."""
        kernel = self.layer.combine.weight[..., 0, 0]
        cells = []
        for of_bins, of_context in self.weights:
            samples = torch.cat([x @ of_bins, context @ of_context], 2)
            cells.append(F.linear(samples.flatten(1), kernel, self.layer.combine.bias))
        return torch.stack(cells, 2).unflatten(2, (self.layer.max_duration, self.layer.positions))


class Stopwatch:
    """Measures time: on the clock, and of the processor, which other work on the machine changes less [s]."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return processor seconds (of all threads) and seconds on the clock since the start."""
        return time.process_time() - self._cpu, time.perf_counter() - self._wall


@dataclass
class Pass:
    """A forward and backward pass: its output, its gradients, and its processor and clock time [s]."""

    output: Tensor
    gradients: list[Tensor]
    seconds: tuple[float, float]


def describe_time(seconds: tuple[float, float]) -> str:
    """Return a text with both times."""
    return f"{seconds[0]:9.2f} processor s, {seconds[1]:.2f} s on the clock"


def run_pass(
    align: Callable[..., Tensor], layer: SegmentAlignment, inputs: tuple[Tensor, Tensor], upstream: Tensor
) -> Pass:
    """Run both passes of a way to align."""
    watch = Stopwatch()
    output = align(*inputs)
    gradients = list(torch.autograd.grad(output, (*inputs, *layer.parameters()), upstream))
    return Pass(output.detach(), gradients, watch.read())


def compare_alignments(args: argparse.Namespace) -> list[str]:
    """Print the time of SGAlign and of the loop; return the aim if it is missed; exit if the two differ."""
    sizes = GtadSettings(features=["-"])
    hidden, sampled = sizes.hidden_dim_1d // args.narrow, sizes.hidden_dim_3d // args.narrow
    layer = SegmentAlignment(args.positions, args.positions, sizes.bins, sizes.context_bins, hidden, sampled)
    x, context = (torch.randn(1, hidden, args.positions, requires_grad=True) for _ in range(2))
    upstream = torch.randn(1, sampled, args.positions, args.positions)
    passes = [run_pass(lambda *of: layer.to_map(layer(*of)), layer, (x, context), upstream) for _ in range(args.rounds)]
    fast = min(passes, key=lambda one: one.seconds)
    plain = run_pass(AlignmentLoop(layer), layer, (x, context), upstream)
    difference = (fast.output - plain.output).abs().max().item()
    relative = max(
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(fast.gradients, plain.gradients, strict=True)
    )
    ratio = plain.seconds[0] / fast.seconds[0]
    print(f"SGAlign, forward and backward, 1 video of {args.positions} positions, {torch.get_num_threads()} threads")
    print(f"  pipeline.localization.gtad  {describe_time(fast.seconds)}")
    print(f"  loop over segments          {describe_time(plain.seconds)}")
    print(f"  ratio                       {ratio:9.1f} (processor), {plain.seconds[1] / fast.seconds[1]:.1f} (clock)")
    print(f"  largest difference of outputs {difference:.1e}, of gradients {relative:.1e} (relative)")
    if difference > 1e-5 or relative > 1e-4:
        raise SystemExit("the two differ")
    return [f"SGAlign is {ratio:.1f} times as fast, not {args.min_ratio:g} times"] if ratio < args.min_ratio else []


def build_localizer(args: argparse.Namespace) -> GtadLocalizer:
    """Build G-TAD with the published sizes, divided by `--narrow`."""
    full = GtadSettings(features=["-"])
    widths = {f"hidden_dim_{name}": getattr(full, f"hidden_dim_{name}") // args.narrow for name in ("1d", "2d", "3d")}
    sizes = {"temporal_scale": args.positions, "max_duration": args.positions, **widths}
    return GtadLocalizer(full.model_copy(update=sizes), args.dim, 1)


def time_training_step(args: argparse.Namespace) -> list[str]:
    """Print the time of a training step and the share of SGAlign in it; there is no aim."""
    localizer = build_localizer(args)
    network, optimizer = localizer.network.train(), localizer.build_optimizer()
    features = torch.randn(args.batch, args.positions, args.dim)
    actions = np.array([[0.07, 0.4], [0.35, 0.93]]) * args.positions
    targets = stack_targets([video_targets(actions, args.positions, args.positions)] * args.batch)
    step_s, align_s = [], []
    for _ in range(args.rounds):
        watch = Stopwatch()
        draws = torch.rand(2, *targets.iou.shape)
        total = gtad_losses(network(features), targets, draws, 0).total(localizer.loss_weights)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        step_s.append(watch.read())
        with torch.no_grad():
            x = network.refine(network.base(features.transpose(1, 2)))
            context = gather_neighbours(x, nearest_positions(x)).mean(3)
            upstream = torch.randn_like(network.align(x, context))
        inputs = (x.requires_grad_(), context.requires_grad_())
        align_s.append(run_pass(network.align, network.align, inputs, upstream).seconds)
    parameters = sum(value.numel() for value in network.parameters())
    print(f"training step of G-TAD, {parameters:,} parameters, {args.batch} videos of {args.positions} x {args.dim}")
    share = 100 * min(align_s)[0] / min(step_s)[0]
    print(f"  step                        {describe_time(min(step_s))}")
    print(f"  SGAlign, both passes        {describe_time(min(align_s))}: {share:.0f} % of the step")
    return []


def time_inference(args: argparse.Namespace) -> list[str]:
    """Print the time of detecting actions in many videos, from rescaled features to the soft-NMS, and the memory.

    There is no aim.
    """
    localizer = build_localizer(args)
    localizer.network.eval()
    watch, count = Stopwatch(), 0
    with torch.no_grad():
        while count < args.videos:
            batch = torch.randn(min(args.batch, args.videos - count), args.positions, args.dim)
            scores = localizer.predict(list(batch))
            for index in range(len(batch)):
                localizer.select({name: array[index] for name, array in scores.items()}, 1.0)
            count += len(batch)
    seconds = watch.read()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"inference of G-TAD, {count:,} videos of {args.positions} positions, random weights and features")
    print(f"  {describe_time(seconds)}; peak memory of the process {peak_gb:.2f} GB")
    if count < VIDEOS:
        print(f"  extrapolated to {VIDEOS:,} videos: {seconds[0] / count * VIDEOS:.0f} processor s")
    return []


PARTS = {"align": compare_alignments, "step": time_training_step, "inference": time_inference}


def main() -> None:
    """Run the parts; exit with an error if an aim is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=PARTS, help="one part (default: all)")
    arguments.add_argument("--videos", type=int, default=VIDEOS, help="videos of the inference")
    arguments.add_argument("--batch", type=int, default=16, help="videos per batch")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best time counts")
    arguments.add_argument("--positions", type=int, default=100, help="positions of a video")
    arguments.add_argument("--dim", type=int, default=400, help="channels of the features")
    arguments.add_argument("--narrow", type=int, default=1, help="divide the published widths by this")
    arguments.add_argument("--min-ratio", type=float, default=10.0, help="speed of SGAlign that is demanded")
    arguments.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    missed = [aim for name, part in PARTS.items() if args.only in (None, name) for aim in part(args)]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
