"""The boundary-matching network."""

from pathlib import Path

import pytest
import torch

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.matching import BoundaryMatching
from pipeline.localization.bmn.network import BoundaryMatchingNetwork, Widths

SMALL = Widths(temporal=8, samples=4, combined=6, confidence=5)


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_published_widths_have_the_published_parameters(shared: Path) -> None:
    known = read_json(shared / "golden" / "bmn.json")
    network = BoundaryMatchingNetwork(400, 100, Widths())
    assert count(network) == known["bmn_params_trainable"] == 4_978_564
    matching = next(module for module in network.modules() if isinstance(module, BoundaryMatching))
    assert {
        "x_1d_b": count(network.base),
        "x_1d_s": count(network.start),
        "x_1d_e": count(network.end),
        "x_1d_p": count(network.proposals[0]),
        "x_3d_p": count(matching),
        "x_2d_p": count(network.proposals[3:]),
    } == known["bmn_params_by_module"]


@pytest.mark.parametrize("dim", [8, 6, 7])
def test_any_number_of_channels_is_seen(dim: int) -> None:
    torch.manual_seed(0)
    network = BoundaryMatchingNetwork(dim, 10, SMALL)
    x = torch.randn(2, 10, dim)
    said = network(x)
    assert said.start.shape == said.end.shape == (2, 10)
    assert said.overlap.shape == said.good.shape == (2, 10, 10)
    for channel in range(dim):
        other = x.clone()
        other[..., channel] += 3
        assert not torch.equal(network(other).good, said.good)


def test_company_changes_nothing() -> None:
    torch.manual_seed(0)
    network = BoundaryMatchingNetwork(4, 10, SMALL)
    x = torch.randn(3, 10, 4)
    together, alone = network(x), network(x[1:2])
    for name in ("start", "end", "overlap", "good"):
        torch.testing.assert_close(getattr(together, name)[1:2], getattr(alone, name), atol=1e-6, rtol=1e-5)
