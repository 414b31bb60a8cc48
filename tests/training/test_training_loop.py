"""Tests of the training loop: selection, resumption, and which weights are kept."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.training.checkpoints import CheckpointManager
from pipeline.training.training_loop import BestCheckpoint, TrainingLoop, ValidationPlan, train_on_batches


class NoiseRun:
    """A run that learns noise: the weights depend on every random number drawn."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        torch.manual_seed(9)
        self.module = nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.1)
        self.metrics = folder / "metrics.jsonl"
        checkpoints = CheckpointManager(folder / "state", {"run": "1"})
        self.loop = TrainingLoop(self.module, self.optimizer, checkpoints, self.metrics, ("noise", seed))

    def train(self, epoch: int) -> dict[str, float]:
        loss = self.module(torch.randn(4, 3)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def run_and_interrupt(self, epochs: int) -> None:
        """Train until the job is killed in the middle of the epoch after `epochs`."""

        def train(epoch: int) -> dict[str, float]:
            metrics = self.train(epoch)
            if epoch > epochs:
                raise KeyboardInterrupt
            return metrics

        with pytest.raises(KeyboardInterrupt):
            self.loop.run(10, train)

    def run_with_scores(self, scores: list[float], interval: int = 1, *, at_start: bool = False) -> BestCheckpoint:
        values: Iterator[float] = iter(scores)
        validation = ValidationPlan(lambda: {"score": next(values)}, interval, metric="score", at_start=at_start)
        return self.loop.run(4, self.train, validation)


def tensors(checkpoint: BestCheckpoint) -> list[Tensor]:
    return list(checkpoint.weights.values())


def are_equal(first: BestCheckpoint, second: BestCheckpoint) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def test_training_loop_resumed_after_an_epoch_equals_an_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    uninterrupted = NoiseRun(tmp_path / "a")
    expected = uninterrupted.loop.run(5, uninterrupted.train)
    NoiseRun(tmp_path / "b").run_and_interrupt(2)
    resumed = NoiseRun(tmp_path / "b")
    assert resumed.loop.num_epochs_done == 2
    best = resumed.loop.run(5, resumed.train)
    assert are_equal(best, expected)
    assert resumed.metrics.read_text() == uninterrupted.metrics.read_text()


def test_training_loop_resumed_within_an_epoch_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    uninterrupted, interrupted = NoiseRun(tmp_path / "a"), NoiseRun(tmp_path / "b")
    expected = uninterrupted.loop.run(3, train_in_steps(uninterrupted))
    with pytest.raises(KeyboardInterrupt):
        interrupted.loop.run(3, train_in_steps(interrupted, stop_at=(2, 3)))
    resumed = NoiseRun(tmp_path / "b")
    steps: list[tuple[int, int]] = []
    assert are_equal(resumed.loop.run(3, train_in_steps(resumed, steps=steps)), expected)
    assert steps == [(2, 2), (2, 3), (3, 0), (3, 1), (3, 2), (3, 3)], "resumes at the third step of the second epoch"
    assert resumed.metrics.read_text() == uninterrupted.metrics.read_text()


def train_in_steps(
    run: NoiseRun, stop_at: tuple[int, int] | None = None, steps: list[tuple[int, int]] | None = None
) -> Callable[[int], dict[str, float]]:
    """Return an epoch of four steps that saves its state after each second one."""

    def train(epoch: int) -> dict[str, float]:
        epoch_state = run.loop.mid_epoch.epoch_state() or {"step": 0, "loss": 0.0}
        loss = epoch_state["loss"]
        for step in range(epoch_state["step"], 4):
            if (epoch, step) == stop_at:
                raise KeyboardInterrupt
            if steps is not None:
                steps.append((epoch, step))
            loss += run.train(epoch)["loss"]
            if step % 2:
                run.loop.mid_epoch.save({"step": step + 1, "loss": loss})
        return {"loss": loss}

    return train


def test_training_loop_with_another_seed_gives_other_weights(tmp_path: Path) -> None:
    first, second = NoiseRun(tmp_path / "a", 0), NoiseRun(tmp_path / "b", 1)
    assert not are_equal(first.loop.run(1, first.train), second.loop.run(1, second.train))


def test_training_loop_keeps_the_last_epoch_without_selection(tmp_path: Path) -> None:
    run = NoiseRun(tmp_path)
    best = run.loop.run(3, run.train)
    assert (best.epoch, best.score) == (3, None)
    assert torch.equal(best.weights["weight"], run.module.weight)


def test_training_loop_keeps_the_best_epoch_and_the_earliest_of_equals(tmp_path: Path) -> None:
    run = NoiseRun(tmp_path)
    best = run.run_with_scores([0.1, 0.4, 0.2, 0.4])
    assert (best.epoch, best.score) == (2, 0.4)
    assert not torch.equal(best.weights["weight"], run.module.weight)


def test_validator_at_start_makes_the_initial_weights_a_candidate(tmp_path: Path) -> None:
    run = NoiseRun(tmp_path)
    initial_weight = run.module.weight.detach().clone()
    best = run.run_with_scores([0.9, 0.1, 0.2, 0.3, 0.4], at_start=True)
    assert best.epoch == 0
    assert torch.equal(best.weights["weight"], initial_weight)


def test_validator_interval_counts_epochs_and_includes_the_last(tmp_path: Path) -> None:
    run = NoiseRun(tmp_path)
    assert run.run_with_scores([0.1, 0.2], interval=3).epoch == 4
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows if "score" in row] == [3, 4]


def test_best_checkpoint_of_an_earlier_job_is_restored(tmp_path: Path) -> None:
    first = NoiseRun(tmp_path)
    first.run_with_scores([0.9, 0.1, 0.2, 0.3])
    first.metrics.unlink()
    resumed = NoiseRun(tmp_path)
    best = resumed.run_with_scores([])
    assert (best.epoch, best.score) == (1, 0.9)
    assert len(resumed.metrics.read_text().splitlines()) == 4, "the file of metrics is written again"


def squared_error(batch: Tensor, module: nn.Linear) -> tuple[Tensor, dict[str, float]]:
    loss = module(batch).square().mean()
    return loss, {"loss": loss.item()}


def test_train_on_batches_returns_the_mean_of_each_metric_over_its_steps() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    batches = [torch.full((4, 3), float(number)) for number in range(5)]
    losses = [squared_error(batch, module)[1]["loss"] for batch in batches]
    metrics = train_on_batches(batches, lambda batch: squared_error(batch, module), optimizer)
    assert metrics == {"loss": sum(losses) / 5}
    limited = train_on_batches(batches, lambda batch: squared_error(batch, module), optimizer, max_steps=2)
    assert limited == {"loss": sum(losses[:2]) / 2}


def test_train_on_batches_clips_gradients_by_value() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    weight = module.weight.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    train_on_batches([torch.full((1, 3), 100.0)], lambda x: squared_error(x, module), optimizer, clip_gradient=0.01)
    torch.testing.assert_close((module.weight - weight).abs(), torch.full_like(weight, 0.01))
