"""The loop over epochs: selection, resumption, what is kept."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.training.checkpoints import TrainingState
from pipeline.training.trainer import Epochs, Selected, Validation


class Toy:
    """A module that learns noise: its weights depend on every random number drawn."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        torch.manual_seed(9)
        self.module = nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.1)
        self.metrics = folder / "metrics.jsonl"
        state = TrainingState(folder / "state", {"toy": "1"})
        self.epochs = Epochs(self.module, self.optimizer, state, self.metrics, ("toy", seed))

    def train(self, epoch: int) -> dict[str, float]:
        loss = self.module(torch.randn(4, 3)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def stopped_after(self, epochs: int) -> None:
        """Train until the job is killed in the middle of the next epoch."""

        def train(epoch: int) -> dict[str, float]:
            row = self.train(epoch)
            if epoch > epochs:
                raise KeyboardInterrupt
            return row

        with pytest.raises(KeyboardInterrupt):
            self.epochs.run(10, train)

    def scored(self, scores: list[float], every: int = 1, *, before: bool = False) -> Selected:
        values: Iterator[float] = iter(scores)
        validation = Validation(lambda: {"score": next(values)}, every, select="score", before=before)
        return self.epochs.run(4, self.train, validation)


def weights(selected: Selected) -> list[Tensor]:
    return list(selected.weights.values())


def same(one: Selected, other: Selected) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(tmp_path: Path) -> None:
    undisturbed = Toy(tmp_path / "a")
    expected = undisturbed.epochs.run(5, undisturbed.train)
    Toy(tmp_path / "b").stopped_after(2)
    resumed = Toy(tmp_path / "b")
    assert resumed.epochs.done == 2
    found = resumed.epochs.run(5, resumed.train)
    assert same(found, expected)
    assert resumed.metrics.read_text() == undisturbed.metrics.read_text()


def test_a_run_resumed_within_an_epoch_equals_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed, stopped = Toy(tmp_path / "a"), Toy(tmp_path / "b")
    expected = undisturbed.epochs.run(3, in_steps(undisturbed))
    with pytest.raises(KeyboardInterrupt):
        stopped.epochs.run(3, in_steps(stopped, stop=(2, 3)))
    resumed = Toy(tmp_path / "b")
    steps: list[tuple[int, int]] = []
    assert same(resumed.epochs.run(3, in_steps(resumed, made=steps)), expected)
    assert steps == [(2, 2), (2, 3), (3, 0), (3, 1), (3, 2), (3, 3)], "on from the second step of the second epoch"
    assert resumed.metrics.read_text() == undisturbed.metrics.read_text()


def in_steps(
    toy: Toy, stop: tuple[int, int] | None = None, made: list[tuple[int, int]] | None = None
) -> Callable[[int], dict[str, float]]:
    """An epoch of four steps that keeps its state after each second one."""

    def train(epoch: int) -> dict[str, float]:
        begun = toy.epochs.within.load() or {"step": 0, "loss": 0.0}
        loss = begun["loss"]
        for step in range(begun["step"], 4):
            if (epoch, step) == stop:
                raise KeyboardInterrupt
            if made is not None:
                made.append((epoch, step))
            loss += toy.train(epoch)["loss"]
            if step % 2:
                toy.epochs.within.save({"step": step + 1, "loss": loss})
        return {"loss": loss}

    return train


def test_seeds_make_a_difference(tmp_path: Path) -> None:
    one, other = Toy(tmp_path / "a", 0), Toy(tmp_path / "b", 1)
    assert not same(one.epochs.run(1, one.train), other.epochs.run(1, other.train))


def test_the_last_epoch_is_kept_where_nothing_selects(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    selected = toy.epochs.run(3, toy.train)
    assert (selected.epoch, selected.score) == (3, None)
    assert torch.equal(selected.weights["weight"], toy.module.weight)


def test_the_best_epoch_is_kept_and_the_earliest_of_equals(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    selected = toy.scored([0.1, 0.4, 0.2, 0.4])
    assert (selected.epoch, selected.score) == (2, 0.4)
    assert not torch.equal(selected.weights["weight"], toy.module.weight)


def test_the_start_is_a_candidate_if_asked_for(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    before = toy.module.weight.detach().clone()
    selected = toy.scored([0.9, 0.1, 0.2, 0.3, 0.4], before=True)
    assert selected.epoch == 0
    assert torch.equal(selected.weights["weight"], before)


def test_looks_come_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    assert toy.scored([0.1, 0.2], every=3).epoch == 4
    rows = [json.loads(line) for line in toy.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows if "score" in row] == [3, 4]


def test_what_was_selected_before_a_stop_is_remembered(tmp_path: Path) -> None:
    first = Toy(tmp_path)
    first.scored([0.9, 0.1, 0.2, 0.3])
    first.metrics.unlink()
    again = Toy(tmp_path)
    selected = again.scored([])
    assert (selected.epoch, selected.score) == (1, 0.9)
    assert len(again.metrics.read_text().splitlines()) == 4, "metrics are written anew"
