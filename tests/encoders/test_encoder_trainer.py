"""Rates follow the schedule, a frozen stem stays, and scores are of the right clips."""

from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, write_filmed

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.data import Data, gather
from pipeline.encoders.loader import Loader
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.trainer import Fitting, optimiser, rate_factor
from pipeline.errors import PipelineError
from pipeline.video.shard import Videos


def settings(**changes: object) -> PretrainEncoder:
    return PretrainEncoder.parse({**SMALL, **changes}, "")


def made(folder: Path, config: PretrainEncoder) -> tuple[Fitting, Data]:
    paths = write_filmed(folder, {"train": 2, "val": 2})
    concepts = read_concepts(paths.concepts) if config.beta > 0 else []
    data = gather(Corpus.open(paths.corpus), Videos.open(paths.videos, 2).rows, config, concepts)
    torch.manual_seed(0)
    model = PretrainingModel(config, len(data.labels), len(concepts))
    loader = Loader(ClipReader(data.rows, config.clip), config.clip, torch.device("cpu"), 0)
    return Fitting(
        model, optimiser(model, config, config.head_lr[0]), config, len(concepts), loader, torch.device("cpu")
    ), data


def test_the_published_schedule() -> None:
    """Epoch starts of TSP on two GPUs: 2,437 steps an epoch, rates of 2e-4 and 4e-3."""
    config, steps = PretrainEncoder(), 2437
    rates = [rate_factor(epoch * steps, steps, config) * 2e-4 for epoch in range(8)]
    assert rates == pytest.approx([2e-9, 1e-4, 2e-4, 2e-4, 2e-6, 2e-6, 2e-8, 2e-8], rel=1e-4)


def test_without_warmup_the_first_step_has_the_full_rate() -> None:
    config = PretrainEncoder(warmup_epochs=0.0, milestones=[0.5, 0.25], decay=0.1)
    assert [rate_factor(step, 4, config) for step in range(4)] == pytest.approx([1, 0.1, 0.01, 0.01])


def test_parts_have_their_own_rates_and_a_frozen_stem_keeps_its_weights(tmp_path: Path) -> None:
    fitting, data = made(
        tmp_path, settings(freeze_stem=True, initial_weights="given.pth", backbone_lr=0.0, head_lr=[0.1])
    )
    before = {name: tensor.clone() for name, tensor in fitting.model.state_dict().items()}
    fitting.train(1, data.epoch(1, fitting.config))
    fitting.train(2, data.epoch(2, fitting.config))
    changed = {name for name, tensor in fitting.model.state_dict().items() if not torch.equal(tensor, before[name])}
    weights = {name for name in changed if not any(part in name for part in ("running", "num_batches"))}
    assert weights == {name for name in before if name.startswith("heads.")}
    assert "encoder.stem.1.running_mean" in changed, "the stem's batch statistics follow the data, as in TSP"


def test_a_free_stem_is_trained(tmp_path: Path) -> None:
    fitting, data = made(tmp_path, settings())
    before = fitting.model.encoder.stem[0].weight.clone()
    fitting.train(2, data.epoch(1, fitting.config))
    assert not torch.equal(fitting.model.encoder.stem[0].weight, before)


def test_validation_changes_nothing_and_scores_every_head(tmp_path: Path) -> None:
    fitting, data = made(tmp_path, settings())
    samples = data.validation(fitting.config)
    assert len(samples) == 2 * 2 * 3, "two clips of each of three segments of two videos"
    before = {name: tensor.clone() for name, tensor in fitting.model.state_dict().items()}
    found = fitting.validate(samples)
    assert all(torch.equal(tensor, before[name]) for name, tensor in fitting.model.state_dict().items())
    heads = [found["val_action_accuracy"], found["val_region_accuracy"]]
    assert found["val_score"] == pytest.approx(sum(heads) / 2), "concepts are reported beside"
    assert 0 <= found["val_concept_map"] <= 1
    assert found["val_loss"] == pytest.approx(
        found["val_action_loss"] + found["val_region_loss"] + 0.1 * found["val_semantic_loss"], rel=0.2
    )


def test_losses_and_accuracies_do_not_depend_on_the_batches(tmp_path: Path) -> None:
    fitting, data = made(tmp_path, settings())
    samples = data.validation(fitting.config)
    whole = fitting.validate(samples)
    object.__setattr__(fitting, "config", settings(batch_size=5))
    parts = fitting.validate(samples)
    for name in ("val_action_loss", "val_action_accuracy", "val_region_loss", "val_semantic_loss", "val_concept_map"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-4)


BCE = {"gamma_neg": 0.0, "gamma_pos": 0.0, "margin": 0.0}


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({"alpha": 0.0, "beta": 0.0}, {"action"}),  # tac, which is tsp without the region head
        ({"beta": 0.0}, {"action", "region"}),  # tsp
        ({"action": 0.0, "beta": 0.0}, {"region"}),  # tsp without the action head
        ({}, {"action", "region", "semantic"}),  # sa_tsp
        ({"semantic_loss": BCE}, {"action", "region", "semantic"}),
        ({"action": 0.0, "alpha": 0.0}, {"semantic"}),
    ],
)
def test_the_variants_have_their_heads_and_a_score(tmp_path: Path, changes: dict[str, object], heads: set[str]) -> None:
    fitting, data = made(tmp_path, settings(**changes))
    found = fitting.train(1, data.epoch(1, fitting.config)) | fitting.validate(data.validation(fitting.config))
    assert {name.split("_")[1] for name in found if name.endswith("_loss") and name.count("_") == 2} == heads
    assert {name.split(".")[1] for name in fitting.model.state_dict() if name.startswith("heads.")} == heads
    scores = {name: found[f"val_{name}_accuracy"] for name in heads & {"action", "region"}}
    expected = sum(scores.values()) / len(scores) if scores else found["val_concept_map"]
    assert found["val_score"] == pytest.approx(expected)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    fitting, data = made(tmp_path, settings(backbone_lr=1e30, head_lr=[1e30]))
    with pytest.raises(PipelineError, match="loss of epoch 2 is not finite"):
        for epoch in (1, 2):
            fitting.train(2, data.epoch(epoch, fitting.config))
