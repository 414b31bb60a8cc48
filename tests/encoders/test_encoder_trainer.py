"""Tests of training and validating an encoder: schedule, micro-batches, frozen stem, metrics."""

from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, write_video_corpus
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.concepts import read_concepts
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_loader import ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_training import microbatches_of_rank, split_microbatches, track_bn_stats
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.pretraining_data import PretrainingData, build_pretraining_data
from pipeline.encoders.trainer import EncoderTrainer, build_optimizer, lr_factor
from pipeline.errors import PipelineError
from pipeline.training.distributed import ProcessGroup
from pipeline.video.shard import ReencodedVideos

CPU = torch.device("cpu")


def parse_config(**changes: object) -> EncoderEntry:
    return EncoderEntry.parse({**SMALL, **changes}, "")


def build_trainer(folder: Path, config: EncoderEntry) -> tuple[EncoderTrainer, PretrainingData]:
    paths = write_video_corpus(folder, {"train": 2, "val": 2})
    concepts = read_concepts(paths.concepts) if config.learns_concepts else []
    data = build_pretraining_data(
        Corpus.open(paths.corpus), ReencodedVideos.open(paths.videos, 2).by_id, config, concepts
    )
    torch.manual_seed(0)
    model = PretrainingModel(config, data.num_labels)
    loader = ClipLoader(ClipReader(data.videos, config.clip), config.clip, CPU, 0)
    optimizer = build_optimizer(model, config, config.head_lr[0])
    return EncoderTrainer(model, optimizer, config, loader, CPU), data


def test_lr_factor_follows_the_published_schedule() -> None:
    """The starts of TSP's epochs on two GPUs: 2,437 steps per epoch, a peak rate of 2e-4."""
    config, steps_per_epoch = EncoderEntry(), 2437
    rates = [lr_factor(epoch * steps_per_epoch, steps_per_epoch, config) * 2e-4 for epoch in range(8)]
    assert rates == pytest.approx([2e-9, 1e-4, 2e-4, 2e-4, 2e-6, 2e-6, 2e-8, 2e-8], rel=1e-4)


def test_lr_factor_without_warmup_starts_at_the_full_rate() -> None:
    config = EncoderEntry(warmup_epochs=0.0, milestones=[0.5, 0.25], decay=0.1)
    assert [lr_factor(step, 4, config) for step in range(4)] == pytest.approx([1, 0.1, 0.01, 0.01])


def test_train_epoch_uses_separate_rates_and_keeps_the_weights_of_a_frozen_stem(tmp_path: Path) -> None:
    config = parse_config(freeze_stem=True, initial_weights="absent.pth", backbone_lr=0.0, head_lr=[0.1])
    trainer, data = build_trainer(tmp_path, config)
    initial_state = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train_epoch(1, data.train_samples(1, trainer.config))
    trainer.train_epoch(2, data.train_samples(2, trainer.config))
    changed = {
        name for name, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, initial_state[name])
    }
    weights = {name for name in changed if not any(part in name for part in ("running", "num_batches"))}
    assert weights == {name for name in initial_state if name.startswith("heads.")}
    assert "encoder.stem.1.running_mean" in changed, "the batch statistics of the stem are updated, as in TSP"


def test_train_epoch_trains_a_free_stem(tmp_path: Path) -> None:
    trainer, data = build_trainer(tmp_path, parse_config())
    initial_weight = trainer.model.encoder.stem[0].weight.clone()
    trainer.train_epoch(2, data.train_samples(1, trainer.config))
    assert not torch.equal(trainer.model.encoder.stem[0].weight, initial_weight)


def test_validate_changes_no_weight_and_measures_every_head(tmp_path: Path) -> None:
    trainer, data = build_trainer(tmp_path, parse_config())
    samples = data.val_samples(trainer.config)
    assert len(samples) == 2 * 2 * 3, "two clips of each of three segments of two videos"
    initial_state = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    metrics = trainer.validate(samples)
    assert all(torch.equal(tensor, initial_state[name]) for name, tensor in trainer.model.state_dict().items())
    heads = [metrics["val_action_accuracy"], metrics["val_region_accuracy"]]
    assert metrics["val_score"] == pytest.approx(sum(heads) / 2), "the concepts take no part in the selection"
    assert 0 <= metrics["val_concepts_map"] <= 1
    assert metrics["val_loss"] == pytest.approx(
        metrics["val_action_loss"] + metrics["val_region_loss"] + 0.1 * metrics["val_concepts_loss"], rel=0.2
    )


def test_validate_gives_the_same_metrics_for_any_batch_size(tmp_path: Path) -> None:
    trainer, data = build_trainer(tmp_path, parse_config())
    samples = data.val_samples(trainer.config)
    whole = trainer.validate(samples)
    object.__setattr__(trainer, "config", parse_config(batch_size=5))
    parts = trainer.validate(samples)
    for name in ("val_action_loss", "val_action_accuracy", "val_region_loss", "val_concepts_loss", "val_concepts_map"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-4)


BCE = {"gamma_neg": 0.0, "gamma_pos": 0.0, "margin": 0.0}


@pytest.mark.parametrize(
    ("losses", "heads"),
    [
        ({"action": 1.0}, {"action"}),  # TAC, which is TSP without the region head
        ({"action": 1.0, "region": 1.0}, {"action", "region"}),  # TSP
        ({"action": 0.0, "region": 1.0}, {"region"}),  # TSP without the action head
        ({"action": 1.0, "region": 1.0, "concepts": 0.1}, {"action", "region", "concepts"}),  # SA-TSP
        ({"action": 1.0, "region": 1.0, "concepts": BCE}, {"action", "region", "concepts"}),
        ({"concepts": 0.1}, {"concepts"}),
    ],
)
def test_losses_of_the_papers_variants_determine_heads_curves_and_score(
    tmp_path: Path, losses: dict[str, object], heads: set[str]
) -> None:
    trainer, data = build_trainer(tmp_path, parse_config(losses=losses))
    metrics = trainer.train_epoch(1, data.train_samples(1, trainer.config))
    metrics |= trainer.validate(data.val_samples(trainer.config))
    assert {name.split("_")[1] for name in metrics if name.endswith("_loss") and name.count("_") == 2} == heads
    assert {name.split(".")[1] for name in trainer.model.state_dict() if name.startswith("heads.")} == heads
    scores = {name: metrics[f"val_{name}_accuracy"] for name in heads & {"action", "region"}}
    expected = sum(scores.values()) / len(scores) if scores else metrics["val_concepts_map"]
    assert metrics["val_score"] == pytest.approx(expected)


def test_train_epoch_stops_at_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    trainer, data = build_trainer(tmp_path, parse_config(backbone_lr=1e30, head_lr=[1e30]))
    with pytest.raises(PipelineError, match="loss of epoch 2 is not finite"):
        for epoch in (1, 2):
            trainer.train_epoch(2, data.train_samples(epoch, trainer.config))


@given(items=st.integers(0, 100), batch_size=st.integers(1, 7), accumulate_steps=st.integers(1, 6))
def test_split_microbatches_contains_every_item_once_in_order(
    items: int, batch_size: int, accumulate_steps: int
) -> None:
    steps = split_microbatches(range(items), batch_size, accumulate_steps)
    assert [item for parts in steps for part in parts for item in part] == list(range(items))
    assert len(steps) == -(-items // (batch_size * accumulate_steps))
    for parts in steps[:-1]:
        assert [len(part) for part in parts] == [batch_size] * accumulate_steps
    for parts in steps[-1:]:
        sizes = [len(part) for part in parts]
        assert len(sizes) <= accumulate_steps
        assert 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
        assert max(sizes) <= batch_size


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("parts", [8, 3, 1])
def test_microbatches_of_rank_are_shared_among_the_processes(world_size: int, parts: int) -> None:
    by_rank = [microbatches_of_rank(range(parts), 8, ProcessGroup(rank, world_size)) for rank in range(world_size)]
    assert [part for of_rank in by_rank for part in of_rank] == list(range(parts))
    assert all(len(of_rank) <= 8 // world_size for of_rank in by_rank)


def test_track_bn_stats_does_not_change_the_output() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    batch = torch.randn(4, 3)
    with track_bn_stats(model, enabled=False):
        output = model(batch)
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert int(model[0].num_batches_tracked) == 0
    with track_bn_stats(model, enabled=True):
        assert torch.equal(model(batch), output)
    assert not torch.equal(model[0].running_mean, torch.zeros(3))


def test_step_has_the_mean_gradient_of_its_microbatches_and_the_statistics_of_the_first(tmp_path: Path) -> None:
    config = EncoderEntry.parse(
        {**SMALL, "accumulate_steps": 2, "batch_size": 6, "momentum": 0.0, "weight_decay": 0.0}, ""
    )
    paths = write_video_corpus(tmp_path, {"train": 3})
    data = build_pretraining_data(Corpus.open(paths.corpus), ReencodedVideos.open(paths.videos, 2).by_id, config, [])
    loader = ClipLoader(ClipReader(data.videos, config.clip), config.clip, CPU, 0)
    samples = data.train_samples(1, config)
    assert len(samples) == 12

    def train(samples: list, config: EncoderEntry) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = PretrainingModel(config, data.num_labels)
        EncoderTrainer(model, build_optimizer(model, config, 0.05), config, loader, CPU).train_epoch(3, samples)
        return model.state_dict()

    torch.manual_seed(0)
    initial = PretrainingModel(config, data.num_labels)
    weights = {name for name, _ in initial.named_parameters()}
    single = config.model_copy(update={"accumulate_steps": 1})
    both, first, second = train(samples, config), train(samples[:6], single), train(samples[6:], single)
    for name, value in initial.state_dict().items():
        if name in weights:  # the rate is doubled, so the mean gradient gives the sum of the two changes
            expected = first[name] + second[name] - value
            torch.testing.assert_close(both[name], expected, atol=1e-6, rtol=1e-5)
        else:
            assert torch.equal(both[name], first[name]), name
