"""A step is the same whoever computes its parts."""

from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, write_filmed
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.data import gather
from pipeline.encoders.loader import Loader
from pipeline.encoders.microbatches import dealt, own, statistics
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.trainer import Fitting, optimiser
from pipeline.training.distributed import Group
from pipeline.video.shard import Videos


@given(items=st.integers(0, 100), batch_size=st.integers(1, 7), replicas=st.integers(1, 6))
def test_every_item_is_dealt_once_in_order_and_evenly(items: int, batch_size: int, replicas: int) -> None:
    steps = dealt(range(items), batch_size, replicas)
    assert [item for parts in steps for part in parts for item in part] == list(range(items))
    assert len(steps) == -(-items // (batch_size * replicas))
    for parts in steps[:-1]:
        assert [len(part) for part in parts] == [batch_size] * replicas
    for parts in steps[-1:]:
        sizes = [len(part) for part in parts]
        assert len(sizes) <= replicas
        assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
        assert max(sizes) <= batch_size


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("parts", [8, 3, 1])
def test_processes_share_the_parts_of_a_step(world: int, parts: int) -> None:
    shared = [own(range(parts), 8, Group(rank, world)) for rank in range(world)]
    assert [part for of_one in shared for part in of_one] == list(range(parts))
    assert all(len(of_one) <= 8 // world for of_one in shared)


def test_held_statistics_do_not_change_what_a_batch_gives() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    batch = torch.randn(4, 3)
    with statistics(model, moving=False):
        held = model(batch)
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert int(model[0].num_batches_tracked) == 0
    with statistics(model, moving=True):
        assert torch.equal(model(batch), held)
    assert not torch.equal(model[0].running_mean, torch.zeros(3))


def test_a_step_is_the_mean_gradient_of_its_parts_and_the_statistics_of_the_first(tmp_path: Path) -> None:
    config = PretrainEncoder.parse({**SMALL, "replicas": 2, "batch_size": 6, "momentum": 0.0, "weight_decay": 0.0}, "")
    paths = write_filmed(tmp_path, {"train": 3})
    data = gather(Corpus.open(paths.corpus), Videos.open(paths.videos, 2).rows, config, [])
    loader = Loader(ClipReader(data.rows, config.clip), config.clip, torch.device("cpu"), 0)
    samples = data.epoch(1, config)
    assert len(samples) == 12

    def trained(samples: list, config: PretrainEncoder) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = PretrainingModel(config, len(data.labels), 0)
        Fitting(model, optimiser(model, config, 0.05), config, 0, loader, torch.device("cpu")).train(3, samples)
        return model.state_dict()

    torch.manual_seed(0)
    start = PretrainingModel(config, len(data.labels), 0)
    weights = {name for name, _ in start.named_parameters()}
    alone = config.model_copy(update={"replicas": 1})
    both, first, second = trained(samples, config), trained(samples[:6], alone), trained(samples[6:], alone)
    for name, before in start.state_dict().items():
        if name in weights:  # of twice the rate, the mean of two is their sum
            expected = first[name] + second[name] - before
            torch.testing.assert_close(both[name], expected, atol=1e-6, rtol=1e-5)
        else:
            assert torch.equal(both[name], first[name]), name
