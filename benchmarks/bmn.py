"""Time a forward and backward pass of BMN against the published dense-mask implementation, on the same input.

In the published implementation, features are multiplied with a matrix [positions, samples * positions^2], of which
1.5 % is not zero, and the samples of all proposals are convolved with a kernel as deep as there are samples. Both
implementations have the same weights, the same layers before and after, and the loss of training. Output, loss and
gradients are compared.
"""

import argparse
import copy
import time

from pipeline.localization.bmn.model import BmnTargets, bmn_losses, bmn_targets, stack_targets
from pipeline.localization.bmn.network import (
    BmnOutput,
    BmnWidths,
    BoundaryMatching,
    BoundaryMatchingNetwork,
    sampling_matrix,
)
from pipeline.training.device import resolve_device

import torch
from torch import Tensor, nn

OUTPUTS = ("start", "end", "iou_reg", "iou_cls")


class DenseMatching(nn.Module):
    """Boundary matching by a dense matrix product and a convolution over the samples."""

    mask: Tensor

    def __init__(self, layer: BoundaryMatching, positions: int, samples: int) -> None:
        super().__init__()
        self.combine, self.samples = layer.combine, samples
        mask = sampling_matrix(positions, samples).float().to_dense().view(-1, samples, positions)
        self.register_buffer("mask", mask.permute(2, 1, 0).reshape(positions, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features of each proposal."""
        positions = x.shape[2]
        sampled = (x @ self.mask).view(*x.shape[:2], self.samples, positions, positions)
        maps: Tensor = self.combine(sampled)
        return maps.squeeze(2)


def dense_twin(network: BoundaryMatchingNetwork, positions: int, samples: int) -> BoundaryMatchingNetwork:
    """Return the same network with the same weights and dense boundary matching."""
    twin = copy.deepcopy(network)
    for index, layer in enumerate(twin.proposals):
        if isinstance(layer, BoundaryMatching):
            twin.proposals[index] = DenseMatching(layer, positions, samples)
    return twin


class TimedNetwork:
    """A network with the best time of its forward and backward pass."""

    def __init__(self, network: nn.Module, features: Tensor, targets: BmnTargets, draws: Tensor) -> None:
        self.network, self.features, self.targets, self.draws = network, features, targets, draws
        self.best_s = float("inf")

    def step(self) -> tuple[BmnOutput, Tensor]:
        """Run both passes; return output and loss, and leave the gradients in the network."""
        self.network.zero_grad()
        _synchronize(self.features)
        start = time.perf_counter()
        output: BmnOutput = self.network(self.features)
        loss = bmn_losses(output, self.targets, self.draws).total
        loss.backward()
        _synchronize(self.features)
        self.best_s = min(self.best_s, time.perf_counter() - start)
        return output, loss.detach()


def _synchronize(tensor: Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()


def gradient_difference(sparse: nn.Module, dense: nn.Module) -> float:
    """Return the largest difference of gradients, relative to the largest gradient of the same tensor."""
    differences = []
    for a, b in zip(sparse.parameters(), dense.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        differences.append(((a.grad - b.grad).abs().max() / b.grad.abs().max().clamp_min(1e-12)).item())
    return max(differences)


def main() -> None:
    """Run both implementations in turn, several times, and print the best time of each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--videos", type=int, default=1, help="videos per batch")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best time of each implementation counts")
    arguments.add_argument("--positions", type=int, default=100, help="positions of a video")
    arguments.add_argument("--dim", type=int, default=400, help="channels of the features")
    arguments.add_argument("--narrow", type=int, default=1, help="divide the published widths by this")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device, full = resolve_device(args.device), BmnWidths()
    widths = BmnWidths(**{name: width // args.narrow for name, width in vars(full).items()})
    network = BoundaryMatchingNetwork(args.dim, args.positions, widths).to(device)
    events = [(7.0, 40.0), (35.0, 93.0)]
    targets = stack_targets([bmn_targets(events, 100.0, args.positions)] * args.videos).to(device)
    draws = torch.rand(2, *targets.iou.shape, device=device)
    features = torch.randn(args.videos, args.positions, args.dim, device=device)
    dense_network = dense_twin(network, args.positions, widths.num_samples).to(device)
    sparse, dense = (TimedNetwork(each, features, targets, draws) for each in (network, dense_network))
    output_difference = 0.0
    for _ in range(args.rounds):
        (output, loss), (dense_output, dense_loss) = sparse.step(), dense.step()
        pairs = [(getattr(output, name), getattr(dense_output, name)) for name in OUTPUTS]
        differences = [(a - b).abs().max().item() for a, b in [*pairs, (loss, dense_loss)]]
        output_difference = max(output_difference, *differences)
    gradients = gradient_difference(network, dense_network)
    parameters = sum(value.numel() for value in network.parameters())
    print(f"{parameters:,} parameters, {args.videos} videos of {args.positions} positions, {device.type}")
    print(f"pipeline.localization.bmn   {sparse.best_s * 1000:9.1f} ms")
    print(f"dense mask                  {dense.best_s * 1000:9.1f} ms")
    print(f"ratio                       {dense.best_s / sparse.best_s:9.1f}")
    print(f"largest difference of outputs {output_difference:.1e}, of gradients {gradients:.1e} (relative)")
    if output_difference > 1e-4 or gradients > 1e-2:
        raise SystemExit("the two implementations differ")


if __name__ == "__main__":
    main()
