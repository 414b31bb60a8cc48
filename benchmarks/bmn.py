"""Time a forward and backward pass of BMN against the dense-mask way, on the same input, in one run.

The dense way is the published one: features are multiplied with a matrix [positions, samples * positions^2], of which
1.5 % is not zero, and the samples of all proposals are convolved with a kernel as deep as there are samples. Ours is
`pipeline.localization.bmn`. Both have the same weights, the same layers before and after, and the loss of training.
Output, loss and gradients are compared.

"""

import argparse
import copy
import time

import torch
from torch import Tensor, nn

from pipeline.localization.bmn.losses import losses
from pipeline.localization.bmn.matching import BoundaryMatching, sampling
from pipeline.localization.bmn.network import BoundaryMatchingNetwork, Said, Widths
from pipeline.localization.bmn.targets import Wanted, labels, stack
from pipeline.training.device import pick

MAPS = ("start", "end", "overlap", "good")


class DenseMatching(nn.Module):
    """Boundary matching by a matrix product, and a convolution over the samples."""

    mask: Tensor

    def __init__(self, layer: BoundaryMatching, positions: int, samples: int) -> None:
        super().__init__()
        self.combine, self.samples = layer.combine, samples
        mask = sampling(positions, samples).float().to_dense().view(-1, samples, positions)
        self.register_buffer("mask", mask.permute(2, 1, 0).reshape(positions, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Features of each proposal."""
        positions = x.shape[2]
        sampled = (x @ self.mask).view(*x.shape[:2], self.samples, positions, positions)
        maps: Tensor = self.combine(sampled)
        return maps.squeeze(2)


def dense_twin(network: BoundaryMatchingNetwork, positions: int, samples: int) -> BoundaryMatchingNetwork:
    """The same network, with the same weights, the dense way."""
    twin = copy.deepcopy(network)
    for index, layer in enumerate(twin.proposals):
        if isinstance(layer, BoundaryMatching):
            twin.proposals[index] = DenseMatching(layer, positions, samples)
    return twin


class Side:
    """A network, and its forward and backward pass."""

    def __init__(self, network: nn.Module, features: Tensor, wanted: Wanted, draws: Tensor) -> None:
        self.network, self.features, self.wanted, self.draws = network, features, wanted, draws
        self.best = float("inf")

    def step(self) -> tuple[Said, Tensor]:
        """Output and loss; gradients are left in the network. The best time is kept."""
        self.network.zero_grad()
        _settle(self.features)
        start = time.perf_counter()
        said: Said = self.network(self.features)
        loss = losses(said, self.wanted, self.draws).total
        loss.backward()
        _settle(self.features)
        self.best = min(self.best, time.perf_counter() - start)
        return said, loss.detach()


def _settle(tensor: Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()


def difference(one: nn.Module, other: nn.Module) -> float:
    """Largest difference of gradients, as a share of the largest gradient of the same tensor."""
    shares = []
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        shares.append(((ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max().clamp_min(1e-12)).item())
    return max(shares)


def main() -> None:
    """Run both sides in turn, several times, and say the best of each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--videos", type=int, default=1, help="of a batch")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best of each side counts")
    arguments.add_argument("--positions", type=int, default=100, help="of a video")
    arguments.add_argument("--dim", type=int, default=400, help="channels of the features")
    arguments.add_argument("--narrow", type=int, default=1, help="divide the published widths by this")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where")
    arguments.add_argument("--threads", type=int, default=1, help="of the CPU")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device, full = pick(args.device), Widths()
    widths = Widths(*(width // args.narrow for width in (full.temporal, full.samples, full.combined, full.confidence)))
    network = BoundaryMatchingNetwork(args.dim, args.positions, widths).to(device)
    events = [[(0.07 * seconds, 0.4 * seconds), (0.35 * seconds, 0.93 * seconds)] for seconds in (100.0,)]
    wanted = stack([labels(events[0], 100.0, args.positions)] * args.videos).to(device)
    draws = torch.rand(2, *wanted.overlap.shape, device=device)
    features = torch.randn(args.videos, args.positions, args.dim, device=device)
    dense = dense_twin(network, args.positions, widths.samples).to(device)
    ours, plain = (Side(side, features, wanted, draws) for side in (network, dense))
    outputs = 0.0
    for _ in range(args.rounds):
        (said, loss), (said_plain, loss_plain) = ours.step(), plain.step()
        pairs = [(getattr(said, name), getattr(said_plain, name)) for name in MAPS]
        outputs = max(outputs, *((one - other).abs().max().item() for one, other in [*pairs, (loss, loss_plain)]))
    gradients = difference(network, dense)
    parameters = sum(value.numel() for value in network.parameters())
    print(f"{parameters:,} parameters, {args.videos} videos of {args.positions} positions, {device.type}")
    print(f"pipeline.localization.bmn   {ours.best * 1000:9.1f} ms")
    print(f"dense mask               {plain.best * 1000:9.1f} ms")
    print(f"ratio                    {plain.best / ours.best:9.1f}")
    print(f"largest difference of output and loss {outputs:.1e}, of a gradient {gradients:.1e} of its largest entry")
    if outputs > 1e-4 or gradients > 1e-2:
        raise SystemExit("the two ways differ")


if __name__ == "__main__":
    main()
